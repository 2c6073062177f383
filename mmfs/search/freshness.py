"""How far a build lags behind the tables it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.features.inputs import key_strings
from mmfs.search.manifest import Manifest, ShardEntry, read_points_file
from mmfs.search.now import Now
from mmfs.search.points import point_id_bytes
from mmfs.search.spaces import recorded_fingerprint

if TYPE_CHECKING:
    from mmfs.store import Store


def changed_tables(manifest: Manifest, now: Now) -> frozenset[str]:
    """Tables whose rows differ in some shard from those the build was made of."""
    indexed: dict[str, dict[str, str]] = {}
    for shard, entry in manifest.shards.items():
        for table, content in entry.sources.items():
            if content:
                indexed.setdefault(table, {})[shard] = content
    tables = {column.table for column in manifest.space.payload} | {manifest.space.table}
    return frozenset(table for table in tables if _contents(now, table) != indexed.get(table, {}))


def lag_rows(store: Store, manifest: Manifest, now: Now) -> int:
    """Rows by which the build differs from the embedding table: not indexed yet, indexed in an older state, or gone.

    Shards that another model has filled count with the rows they have in the index.
    """
    contents, lag = _contents(now, manifest.space.table), 0
    for shard in contents.keys() | manifest.shards.keys():
        entry = manifest.shards.get(shard)
        if entry is None or contents.get(shard, "") != entry.sources[manifest.space.table]:
            lag += _shard_lag(store, manifest, shard, entry)
    return lag


def _shard_lag(store: Store, manifest: Manifest, shard: str, entry: ShardEntry | None) -> int:
    table = manifest.space.table
    if (
        store.tables.state(table, shard).files
        and recorded_fingerprint(store, table, shard) != manifest.space.fingerprint
    ):
        return entry.rows if entry else 0
    key = store.tables.spec(table).key
    rows = store.tables.read(table, columns=[*key, "fingerprint"], shard=shard)
    if entry is None:
        return int(rows.num_rows)
    old = read_points_file(store.objects, entry.points)
    names = key_strings(rows, key).to_pylist() if rows.num_rows else []
    ids = pa.array([point_id_bytes(store.namespace, name) for name in names], pa.binary(16))
    found = pc.index_in(ids, value_set=old.column("id").combine_chunks())
    same = pc.fill_null(pc.equal(old.column("fingerprint").take(found), rows.column("fingerprint")), False)
    gone = old.num_rows - (len(found) - found.null_count)
    return int(gone + len(same) - (pc.sum(same).as_py() or 0))


def _contents(now: Now, table: str) -> dict[str, str]:
    return {shard: ",".join(file.content for file in files) for shard, files in now.files(table).items()}
