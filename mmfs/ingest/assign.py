"""Give every URI its shard: new ones join the one open shard until it is full, known ones stay where they are.

Who lists what at the same time does not matter: a commit that would put a URI into a second shard is planned again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ids import shard_name
from mmfs.ingest.filling import Filled, Int64s, Limits, room
from mmfs.ingest.holders import Holders
from mmfs.ingest.listed import Listed, Listing, merge_listed
from mmfs.ingest.listing_rows import listing_row, listing_table, read_listed
from mmfs.ingest.report import IngestReport
from mmfs.settings import Settings
from mmfs.store import Commit, Store

__all__ = ["IngestReport", "assign"]

#: Shards that a store is meant for.
MAX_SHARDS = 20_000
_WARN_SHARE = 0.75
_TABLE = "listings"
#: Shards read at a time, so that memory stays flat however many there are.
_SHARDS_AT_ONCE = 64


def assign(store: Store, listed: Iterable[Listed], *, added_by: str, now_us: int) -> IngestReport:
    """Put listed URIs into shards, in the order of their names.

    The open shard is the one with the highest number. It is sealed when it holds ``shard_target_mb`` of media or
    ``shard_max_files`` files (`mmfs.ingest.filling`).

    Args:
        added_by: Recorded with each new URI.
        now_us: Time of listing, microseconds since 1970.
    """
    items = {item.uri: item for item in sorted(listed, key=lambda item: item.uri)}
    holders = Holders(store.tables, _TABLE, "uri", items)
    homes = holders.at()
    waiting = [item for uri, item in items.items() if uri not in homes]
    changed: set[str] = set()
    new = commits = 0
    while waiting:
        shard, placed, waiting, commit = _fill(store, waiting, holders, added_by, now_us)
        new += placed
        commits += commit.changed
        changed |= {shard} if placed else set()
    updated = 0
    for shard, outdated in sorted(_outdated(store, homes, items).items()):
        count, commit = _refresh(store, shard, outdated, now_us)
        updated += count
        commits += commit.changed
        changed |= {shard} if count else set()
    return IngestReport(
        new=new,
        known=len(items) - new,
        updated=updated,
        shards=sorted(changed),
        ignored=listed.ignored if isinstance(listed, Listing) else 0,
        refused=sum(item.refused is not None for item in items.values()),
        warnings=(*(listed.warnings if isinstance(listed, Listing) else ()), *_too_many_shards(changed)),
        commits=commits,
    )


def _fill(
    store: Store, waiting: Sequence[Listed], holders: Holders, added_by: str, now_us: int
) -> tuple[str, int, list[Listed], Commit]:
    """Put as many as fit into the open shard: its name, how many, those that wait for the next one, and the commit."""
    shard = _open_shard(store)
    rest: list[Listed] = []
    chosen: list[Listed] = []

    def build(current: pa.Table) -> pa.Table:
        nonlocal rest, chosen
        homes = holders.at()
        unplaced = [item for item in waiting if item.uri not in homes]
        count = room(_limits(store.settings), _filled(current), _sizes(unplaced[: store.settings.shard_max_files]))
        chosen, rest = unplaced[:count], unplaced[count:]
        rows = [listing_row(item, added_by=added_by, listed_at_us=now_us) for item in chosen]
        return pa.concat_tables([current, listing_table(rows)]) if rows else current

    def check(version: int) -> None:
        holders.check((item.uri for item in chosen), shard, version)

    commit = store.tables.update(_TABLE, shard, build, check=check)
    return shard, len(chosen), rest, commit


def _open_shard(store: Store) -> str:
    """The shard with the highest number, or the one after it when that is sealed."""
    shards = [name for name in store.tables.shards(_TABLE) if name.isdecimal()]
    if not shards:
        return shard_name(0)
    last = max(shards, key=int)
    sizes = store.tables.read(_TABLE, columns=["size_bytes"], shard=last)
    return shard_name(int(last) + 1) if _limits(store.settings).is_sealed(_filled(sizes)) else last


def _too_many_shards(changed: Iterable[str]) -> list[str]:
    """A warning, while there is time to heed it, when a store comes near the number of shards it is meant for."""
    count = max((int(shard) + 1 for shard in changed if shard.isdecimal()), default=0)
    if count < _WARN_SHARE * MAX_SHARDS:
        return []
    return [
        f"there are {count:,} shards, and a store is meant for {MAX_SHARDS:,}: raise MMFS_SHARD_TARGET_MB and "
        "MMFS_SHARD_MAX_FILES, and shards that are opened from now on become larger"
    ]


def _sizes(items: Sequence[Listed]) -> Int64s:
    return np.array([item.size_bytes or 0 for item in items], np.int64)


def _filled(current: pa.Table) -> Filled:
    return Filled(current.num_rows, pc.sum(current.column("size_bytes")).as_py() or 0)


def _limits(settings: Settings) -> Limits:
    return Limits(settings.shard_target_mb << 20, settings.shard_max_files)


def _outdated(store: Store, homes: Mapping[str, str], items: Mapping[str, Listed]) -> dict[str, list[Listed]]:
    """By shard, those known URIs whose rows do not say what was listed now: of what is looked at again, few."""
    found: dict[str, list[Listed]] = defaultdict(list)
    uris = pa.array(homes, pa.string())
    shards = sorted(set(homes.values()))
    for start in range(0, len(shards), _SHARDS_AT_ONCE):
        rows = store.tables.read(_TABLE, shard=shards[start : start + _SHARDS_AT_ONCE])
        for row in rows.filter(pc.is_in(rows.column("uri"), uris)).to_pylist():
            known = read_listed(row)
            if homes[known.uri] == row["shard"] and merge_listed(known, items[known.uri]) != known:
                found[row["shard"]].append(items[known.uri])
    return found


def _refresh(store: Store, shard: str, items: Sequence[Listed], now_us: int) -> tuple[int, Commit]:
    """Update the rows of known URIs whose file or statements changed; how many did, and the commit."""
    by_uri = {item.uri: item for item in items}
    changed = 0

    def build(current: pa.Table) -> pa.Table:
        nonlocal changed
        concerned = pc.is_in(current.column("uri"), pa.array(by_uri, pa.string()))
        rows = []
        for row in current.filter(concerned).to_pylist():
            known = read_listed(row)
            merged = merge_listed(known, by_uri[known.uri])
            if merged != known:
                rows.append(listing_row(merged, added_by=row["added_by"], listed_at_us=now_us))
        changed = len(rows)
        if not rows:
            return current
        fresh = listing_table(rows)
        kept = pc.invert(pc.is_in(current.column("uri"), fresh.column("uri").combine_chunks()))
        return pa.concat_tables([current.filter(kept), fresh])

    commit = store.tables.update(_TABLE, shard, build)
    return changed, commit
