"""One builder of a space at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmfs.errors import SearchError
from mmfs.ids import digest
from mmfs.store.objects import Objects

_POLL_S = 0.05


@contextmanager
def space_lock(objects: Objects, table: str, timeout_s: float) -> Iterator[None]:
    """Hold the builders' lock of an embedding table; others wait their turn. The system frees it when a holder dies.

    For a store in a bucket, only builders of this machine wait for one another: the pool ``index`` of the orchestrator
    keeps builders of several machines apart, and a build that finds another one published since it began is refused.

    Raises:
        SearchError: Another builder held it for ``timeout_s`` seconds.
    """
    path = objects.local_path(f"index/{table}.lock") or _of_this_machine(objects.url, table)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
                    raise SearchError(
                        f"another builder (process {holder}) has held the index of {table} for {timeout_s:g} s",
                        where=str(path),
                        mend="wait for it, or end that process; the lock goes with it",
                    ) from error
                time.sleep(_POLL_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _of_this_machine(url: str, table: str) -> Path:
    return Path(tempfile.gettempdir()) / f"mmfs-index-{os.getuid()}" / f"{digest(url)[:16]}-{table}.lock"
