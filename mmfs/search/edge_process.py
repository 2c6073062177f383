"""Building in a child process, because the embedded engine holds the GIL while it works.

The parent writes messages to the child's standard input: one letter, a length, and the bytes (points as an Arrow IPC
stream). Nothing is pickled. The child answers once, in JSON, when the build is sealed and read back; if the parent
dies, the child reads the end of its input and goes without a trace but the unfinished directory, which nobody reads.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO
from uuid import UUID

import pyarrow as pa

from mmfs.errors import SearchError
from mmfs.search.port import BuildStats, PayloadColumn, ShardDigest, SpaceSpec

#: What the child said, beside the build.
LOG = "build.log"
_SYNCED_AT_ONCE = 16
_HEAD = struct.Struct("<cQ")
_UPSERT, _DELETE, _TOUCHED, _FINISH = b"U", b"D", b"T", b"F"


class EdgeProcess:
    """The parent's end of a build.

    Args:
        directory: The build's directory: empty or absent when ``fresh``, else a copy of a finished build.
        space: The space.
        fresh: Whether the build begins empty.
    """

    def __init__(self, directory: Path, space: SpaceSpec, *, fresh: bool) -> None:
        self._directory = directory
        self._log = directory.parent / LOG
        self._log.parent.mkdir(parents=True, exist_ok=True)
        home = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mmfs.search.edge_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
            )
        job = {"directory": str(directory), "fresh": fresh, "space": asdict(space)}
        self._send(b"J", json.dumps(job).encode())

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def upsert(self, points: pa.RecordBatch) -> None:
        """Write points."""
        self._send(_UPSERT, _to_ipc(points))

    def delete(self, ids: Sequence[UUID]) -> None:
        """Remove points."""
        self._send(_DELETE, b"".join(point.bytes for point in ids))

    def finish(self, probes: pa.RecordBatch | None, touched: Sequence[str] | None) -> BuildStats:
        """Seal the build; what the child read back from it (see `IndexBuild.finish`)."""
        if touched is not None:
            self._send(_TOUCHED, json.dumps(list(touched)).encode())
        self._send(_FINISH, _to_ipc(probes) if probes is not None else b"")
        assert self._process.stdout is not None
        answer = self._process.stdout.read()
        self._process.wait()
        if self._process.returncode != 0 or not answer:
            raise self._died()
        read = json.loads(answer)
        return BuildStats(
            {shard: ShardDigest(**found) for shard, found in read["shards"].items()},
            read["recall"],
            tuple(UUID(lost) for lost in read["lost_probes"]),
        )

    def kill(self) -> None:
        """End the child, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # buffered words to a child that is gone
                if pipe is not None:
                    pipe.close()

    def _send(self, kind: bytes, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_HEAD.pack(kind, len(data)))
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            self._process.wait()
            raise self._died() from error

    def _died(self) -> SearchError:
        said = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
        return SearchError(
            f"the index build process {how}{': ' + said[-1] if said else ''}",
            where=str(self._directory.parent),
            mend="the published index still answers; look for memory and disk space, then run it again",
        )


def main() -> None:
    """The child: one build, from standard input."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answer
    messages = sys.stdin.buffer
    _, job = _receive(messages)
    described = json.loads(job)
    payload = tuple(PayloadColumn(**column) for column in described["space"].pop("payload"))
    space = SpaceSpec(**described["space"], payload=payload)
    stats = _build(Path(described["directory"]), space, described["fresh"], messages)
    replies.write(json.dumps(asdict(stats), default=str).encode())
    replies.close()


def _build(directory: Path, space: SpaceSpec, fresh: bool, messages: IO[bytes]) -> BuildStats:
    from mmfs.search.edge import EdgeIndex, EdgeWriter
    from mmfs.search.inspect_build import inspect_build

    writer = EdgeWriter(directory, space, fresh=fresh)
    touched: list[str] | None = None
    while True:
        kind, data = _receive(messages)
        if kind == _UPSERT:
            for batch in pa.ipc.open_stream(data):
                writer.upsert(batch)
        elif kind == _DELETE:
            writer.delete([UUID(bytes=data[start : start + 16]) for start in range(0, len(data), 16)])
        elif kind == _TOUCHED:
            touched = json.loads(data)
        else:
            break
    writer.seal()
    # Opening rewrites the engine's own configuration once; after this, readers change nothing.
    index = EdgeIndex(directory)
    probes = pa.ipc.open_stream(data).read_next_batch() if data else None
    stats = inspect_build(index, probes, touched)
    index.close()
    sync_tree(directory)
    return stats


def sync_tree(directory: Path) -> None:
    """Make every file and folder under a directory durable. Files shared with a finished build are so already."""
    own = [
        path
        for folder, _, files in os.walk(directory)
        for path in (*(os.path.join(folder, name) for name in files), folder)
        if os.path.isdir(path) or os.stat(path).st_nlink == 1
    ]
    # There are hundreds: file systems write many that wait at once about as fast as one.
    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
        list(pool.map(_sync, own))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _to_ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def _receive(messages: IO[bytes]) -> tuple[bytes, bytes]:
    head = messages.read(_HEAD.size)
    if len(head) < _HEAD.size:
        sys.exit(3)  # the parent is gone
    kind, length = _HEAD.unpack(head)
    data = messages.read(length)
    if len(data) < length:
        sys.exit(3)
    return kind, data


if __name__ == "__main__":
    main()
