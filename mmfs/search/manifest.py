"""What a build was made of: one JSON document a build, and one file of point ids and hashes a shard.

Both are written before the build is published and never change what it answers; they let the next build carry over
what is unchanged, and let an answer say how far the index lags behind the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmfs.errors import MissingObjectError
from mmfs.ids import digest
from mmfs.search.port import ROW_HASH, DamagedBuildError, PayloadColumn, SpaceSpec
from mmfs.search.spaces import ShardPoints
from mmfs.store.objects import is_own_name

if TYPE_CHECKING:
    from mmfs.store import Objects


@dataclass(frozen=True)
class ShardEntry:
    """One shard in a build.

    Attributes:
        build_id: Build that last wrote points of this shard.
        table_version: Version of the embedding table it read.
        rows: Points.
        digest: Order-free fingerprint of (id, row hash).
        sources: What the points were made of, by table: the contents of its files.
        points: File of ids, row hashes and fingerprints.
    """

    build_id: str
    table_version: int
    rows: int
    digest: str
    sources: dict[str, str]
    points: str


@dataclass(frozen=True)
class Manifest:
    """One build.

    Attributes:
        inexact: Payload keys that filters must not use, because some value cannot be compared exactly.
    """

    build_id: str
    space: SpaceSpec
    created_at_us: int
    shards: dict[str, ShardEntry] = field(default_factory=dict)
    inexact: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Points of all shards."""
        return sum(entry.rows for entry in self.shards.values())

    @property
    def table_version(self) -> int:
        """Newest version of the embedding table that any shard was read at."""
        return max((entry.table_version for entry in self.shards.values()), default=-1)


def manifest_path(space: str, build_id: str) -> str:
    """Name of the document of a build. Without it, nothing is known of the build, and the next run makes another."""
    return f"index/{space}/{build_id}/manifest.json"


def write_manifest(objects: Objects, manifest: Manifest) -> None:
    """Write the document of a build, whole."""
    objects.put(manifest_path(manifest.space.name, manifest.build_id), json.dumps(asdict(manifest)).encode())


def read_manifest(objects: Objects, space: str, build_id: str) -> Manifest:
    """The document of a build.

    Raises:
        DamagedBuildError: It is gone or damaged.
    """
    path = manifest_path(space, build_id)
    try:
        manifest = _parse(json.loads(objects.get(path)))
        if (manifest.build_id, manifest.space.name) != (build_id, space):
            raise ValueError(f"it describes build {manifest.build_id} of {manifest.space.name}")
        return manifest
    except MissingObjectError as error:
        raise DamagedBuildError(f"the description of build {build_id} is gone", where=path) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedBuildError(f"the description of build {build_id} is damaged: {error}", where=path) from error


def manifest_mark(objects: Objects, space: str, build_id: str) -> tuple[int, int] | None:
    """Changes when the document does; None where only reading it tells (in a bucket)."""
    path = objects.local_path(manifest_path(space, build_id))
    if path is None or not path.exists():
        return None
    found = path.stat()
    return found.st_mtime_ns, found.st_ino


def remove_manifest(objects: Objects, space: str, build_id: str) -> None:
    """Remove the document of a build."""
    objects.delete(manifest_path(space, build_id))


def spaces_of(objects: Objects, table: str) -> list[str]:
    """Names of the spaces of an embedding table, one a model."""
    return [name for name in objects.folders("index") if name.rpartition("-")[0] == table]


def points_table(points: ShardPoints) -> pa.Table:
    """Ids, row hashes and fingerprints of a shard's points."""
    return pa.table(
        {"id": points.batch.column("id"), ROW_HASH: points.batch.column(ROW_HASH), "fingerprint": points.fingerprints}
    )


def write_points(objects: Objects, space: str, engine: str, shard: str, table: pa.Table) -> str:
    """Keep ids, row hashes and fingerprints of a shard; the file's name, which follows from its content."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    data = bytes(sink.getvalue())
    path = f"{_points(space, engine)}/{shard}-{_mark(data)}.arrow"
    objects.put(path, data)  # also where it is there: its age tells that a build in the making may need it
    return path


def remove_unused_points(
    objects: Objects, space: str, engine: str, kept: Iterable[Manifest], *, before_us: int
) -> None:
    """Remove the files of points that none of these builds, the only published ones of this engine, names.

    Args:
        before_us: What was written later may belong to a build in the making, and is left.
    """
    used = {entry.points for manifest in kept for entry in manifest.shards.values()}
    for found in list(objects.list(_points(space, engine))):
        if found.path not in used and found.modified_us < before_us:
            objects.delete(found.path)


def read_points_file(objects: Objects, path: str) -> pa.Table:
    """What `write_points` kept.

    Raises:
        MissingObjectError: It is gone.
        DamagedBuildError: It is damaged.
    """
    data = objects.get(path)
    if not path.endswith(f"-{_mark(data)}.arrow"):
        raise DamagedBuildError("ids and hashes of the points are not those that were written", where=path)
    return pa.ipc.open_file(data).read_all()


def _mark(data: bytes) -> str:
    """What the name of a file of points says of its content."""
    return digest(data)[:16]


def _points(space: str, engine: str) -> str:
    return f"index/{space}/points-{engine}"


def _parse(document: dict[str, Any]) -> Manifest:
    space = document.pop("space")
    payload = tuple(PayloadColumn(**column) for column in space.pop("payload"))
    shards = {shard: _entry(**entry) for shard, entry in document.pop("shards").items()}
    inexact = tuple(document.pop("inexact"))
    return Manifest(**document, space=SpaceSpec(**space, payload=payload), shards=shards, inexact=inexact)


def _entry(rows: int, table_version: int, points: str, **others: Any) -> ShardEntry:
    if type(rows) is not int or type(table_version) is not int or (points and not is_own_name(points)):
        raise ValueError(f"{rows!r} rows of version {table_version!r}, described in {points!r}")
    return ShardEntry(rows=rows, table_version=table_version, points=points, **others)
