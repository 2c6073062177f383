"""What a space holds: rows of an embedding table as points, with the columns they can be filtered by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import SearchError
from mmfs.features.feature import FeatureSpec
from mmfs.features.fingerprint import FingerprintParts, static_fingerprint
from mmfs.features.inputs import find_rows, key_strings
from mmfs.features.registry import instantiate, registered
from mmfs.schemas import GRAIN_KEYS, GRAIN_TABLES, Column, Grain, TableSpec
from mmfs.search.points import point_id_bytes, row_hash
from mmfs.search.port import INDEX, MEDIA_ID, ROW_HASH, SHARD, Kind, PayloadColumn, SpaceSpec

if TYPE_CHECKING:
    from mmfs.store import DataFile, Store

#: Numbers are compared as float64, which holds whole numbers up to here exactly.
EXACT_INTEGER = 2**53
#: What people filter by most. Each column costs memory, links in the graph and time at every build, so that others are
#: left to SQL, which answers any condition.
_FILTERED = {
    "raw_media": ("kind", "container", "video_codec", "width", "height", "fps", "duration_s", "licence", "creator"),
    "frames": ("time_s", "is_keyframe"),
    "captions": ("source", "language"),
}


@dataclass(frozen=True)
class ShardSource:
    """The files a shard's points are made of, by table: equal contents mean equal points."""

    shard: str
    table_version: int
    files: dict[str, tuple[DataFile, ...]]

    @property
    def contents(self) -> dict[str, str]:
        """What the files hold, by table (`DataFile.content`): blobs that moved make no difference."""
        return {table: ",".join(file.content for file in files) for table, files in self.files.items()}


@dataclass(frozen=True)
class ShardPoints:
    """The points of one shard.

    Attributes:
        batch: What the engine is given, sorted by key: `id`, `vector`, `shard`, `media_id`, `index`, `row_hash` and
            the payload columns by their keys.
        fingerprints: Fingerprint of each row's embedding.
        inexact: Payload columns with values that no filter can compare exactly; they are left out of the batch.
    """

    batch: pa.RecordBatch
    fingerprints: pa.Array
    inexact: frozenset[str]


def table_name(space: FeatureSpec | str) -> str:
    """The embedding table of a space, by feature or by name."""
    return space if isinstance(space, str) else space.table


def vector_column(spec: TableSpec) -> Column:
    """The one vector column of an embedding table.

    Raises:
        SearchError: There is none, or more than one.
    """
    vectors = [column for column in spec.columns if column.vector]
    if len(vectors) != 1 or spec.grain is None:
        raise SearchError(
            f"{spec.name} is not a search space: it has {len(vectors)} vector columns",
            mend="name an embedding table, such as clip_embeddings",
        )
    return vectors[0]


def payload_columns(store: Store, grain: Grain) -> tuple[PayloadColumn, ...]:
    """What points of a grain can be filtered by inside the engine: columns of the media, and of the grain's table."""
    found = []
    for table in dict.fromkeys(("raw_media", GRAIN_TABLES[grain])):
        for column in _FILTERED.get(table, ()):
            found.append(PayloadColumn(table, column, _kind(store.tables.spec(table).column(column).type)))
    return tuple(found)


def recorded_fingerprint(store: Store, table: str, shard: str) -> str:
    """Static fingerprint of the feature that computed a shard's rows, as its last commit recorded it.

    Raises:
        SearchError: The commit says nothing of it.
    """
    found = fingerprint_in(store.tables.commit_info(table, shard))
    if found is None:
        raise SearchError(
            f"shard {shard} of {table} does not say which model computed it", mend=f"materialize {table} again"
        )
    return found


def fingerprint_in(info: Mapping[str, str]) -> str | None:
    """Static fingerprint of the feature that computed a shard's rows; None where its commit says nothing of it."""
    try:
        return FingerprintParts(
            **{part: info[f"fingerprint.{part}"] for part in FingerprintParts.__annotations__}
        ).digest
    except KeyError:
        return None


def model_of(store: Store, table: str, shard: str) -> str:
    """Name of the model that computed a shard's rows: as its last commit recorded it, else by today's settings."""
    if recorded := store.tables.commit_info(table, shard).get("model"):
        return recorded
    spec = registered(store.settings).get(table)
    if spec is None:
        return "unknown"
    feature = instantiate(spec, store.settings)
    fits = static_fingerprint(feature) == recorded_fingerprint(store, table, shard)
    return feature.model_name if fits else "unknown"


def shard_source(store: Store, space: SpaceSpec, shard: str) -> ShardSource:
    """The shard as it is now."""
    state = store.tables.state(space.table, shard)
    others = {column.table for column in space.payload} - {space.table}
    files = {table: store.tables.state(table, shard).files for table in sorted(others)}
    return ShardSource(shard, state.table_version, {space.table: state.files, **files})


def read_points(store: Store, space: SpaceSpec, source: ShardSource) -> ShardPoints:
    """The points of a shard, from exactly the files of ``source``."""
    spec = store.tables.spec(space.table)
    key, vector = list(spec.key), vector_column(spec).name
    rows = store.tables.read(space.table, columns=[*key, vector, "fingerprint"], files=source.files[space.table])
    rows = rows.filter(rows.column(vector).is_valid()).combine_chunks()
    vectors = _whole(rows.column(vector))
    if rows.num_rows and vectors.type.list_size != space.dim:
        raise SearchError(
            f"shard {source.shard} of {space.table} holds vectors of {vectors.type.list_size}, not {space.dim}",
            mend=f"materialize {space.table} again",
        )
    keys = key_strings(rows, key) if rows.num_rows else pa.array([], pa.string())
    values, inexact = _payload(store, space, source, rows)
    texts = _json_rows(values, rows.num_rows)
    width = space.dim * (vectors.type.value_type.bit_width // 8)
    data = np.ascontiguousarray(vectors.flatten().to_numpy(zero_copy_only=False)).tobytes()
    names = keys.to_pylist()
    hashes = [
        row_hash(name, data[number * width : (number + 1) * width], text)
        for number, (name, text) in enumerate(zip(names, texts, strict=True))
    ]
    ids = [point_id_bytes(store.namespace, name) for name in names]
    index = _whole(rows.column(key[1])) if len(key) > 1 else pa.nulls(rows.num_rows, pa.int64())
    batch = pa.RecordBatch.from_pydict(
        {
            "id": pa.array(ids, pa.binary(16)),
            "vector": vectors,
            SHARD: pa.array([source.shard] * rows.num_rows, pa.string()),
            MEDIA_ID: _whole(rows.column(GRAIN_KEYS[space.grain][0].name)),
            INDEX: index,
            ROW_HASH: pa.array(hashes, pa.string()),
            **values,
        }
    )
    return ShardPoints(batch, _whole(rows.column("fingerprint")), inexact)


def _payload(
    store: Store, space: SpaceSpec, source: ShardSource, rows: pa.Table
) -> tuple[dict[str, pa.Array], frozenset[str]]:
    """Payload columns by key, aligned with the rows; and the columns with values no filter compares exactly."""
    values: dict[str, pa.Array] = {}
    inexact = set()
    for table in dict.fromkeys(column.table for column in space.payload):
        spec = store.tables.spec(table)
        wanted = [column for column in space.payload if column.table == table]
        other = store.tables.read(
            table, columns=[*spec.key, *(column.column for column in wanted)], files=source.files[table]
        )
        positions = find_rows(rows, other, spec.key) if rows.num_rows and other.num_rows else None
        for column in wanted:
            found = other.column(column.column)
            if positions is None:
                taken = pa.nulls(rows.num_rows, found.type)
            else:
                taken = _whole(found.take(pa.array(positions, mask=positions < 0)))
            if column.kind == "truth":
                taken = taken.cast(pa.int64())
            elif column.kind == "number":
                taken = pc.add(taken, 0.0)  # -0.0 becomes 0.0: equal in SQL, and to be so in every engine
            if _is_exact(taken, column.kind):
                values[column.key] = taken
            else:
                inexact.add(column.key)
    return values, frozenset(inexact)


def _is_exact(values: pa.Array, kind: Kind) -> bool:
    """Whether filters compare these values as SQL does: finite, and not beyond what float64 holds."""
    if kind == "number":
        return bool(np.isfinite(values.drop_null().to_numpy(zero_copy_only=False)).all())
    if kind == "integer":
        return bool(pc.all(pc.less_equal(pc.abs(values), EXACT_INTEGER)).as_py() in (True, None))
    return True


def _json_rows(values: dict[str, pa.Array], rows: int) -> list[str]:
    columns = [column.to_pylist() for column in values.values()]
    encode = json.JSONEncoder(separators=(",", ":")).encode
    header = encode(list(values))
    return [header + encode(list(row)) for row in zip(*columns, strict=True)] if columns else [header] * rows


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_string(kind):
        return "text"
    if pa.types.is_boolean(kind):
        return "truth"
    return "integer" if pa.types.is_integer(kind) else "number"


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column
