"""Give every URI its shard: new ones join the one open shard until it is full, known ones stay where they are.

Who lists what at the same time does not matter: a commit that would put a URI into a second shard is planned again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ids import shard_name
from mmfs.ingest.holders import Holders
from mmfs.ingest.listed import Listed, Listing, merge_listed
from mmfs.ingest.listing_rows import listing_row, listing_table, read_listed
from mmfs.ingest.report import IngestReport
from mmfs.settings import Settings
from mmfs.store import Store

__all__ = ["IngestReport", "assign"]

_TABLE = "listings"


def assign(store: Store, listed: Iterable[Listed], *, added_by: str, now_us: int) -> IngestReport:
    """Put listed URIs into shards, in the order of their names.

    The open shard is the one with the highest number. It is sealed by the first file that does not fit any more:
    beyond ``shard_max_files`` files or ``shard_target_mb`` of media (an empty shard takes a file of any size).

    Args:
        added_by: Recorded with each new URI.
        now_us: Time of listing, microseconds since 1970.
    """
    items = {item.uri: item for item in sorted(listed, key=lambda item: item.uri)}
    holders = Holders(store.tables, _TABLE, "uri", items)
    homes = holders.at()
    waiting = [item for uri, item in items.items() if uri not in homes]
    changed: set[str] = set()
    new = 0
    while waiting:
        shard, placed, waiting = _fill(store, waiting, holders, added_by, now_us)
        new += placed
        changed |= {shard} if placed else set()
    updated = 0
    known: dict[str, list[Listed]] = defaultdict(list)
    for uri, shard in homes.items():
        known[shard].append(items[uri])
    for shard in sorted(known):
        count = _refresh(store, shard, known[shard], now_us)
        updated += count
        changed |= {shard} if count else set()
    return IngestReport(
        new=new,
        known=len(items) - new,
        updated=updated,
        shards=sorted(changed),
        ignored=listed.ignored if isinstance(listed, Listing) else 0,
        refused=sum(item.refused is not None for item in items.values()),
        warnings=tuple(listed.warnings) if isinstance(listed, Listing) else (),
    )


def _fill(
    store: Store, waiting: Sequence[Listed], holders: Holders, added_by: str, now_us: int
) -> tuple[str, int, list[Listed]]:
    """Put as many as fit into the open shard: its name, how many, and those that wait for the next one."""
    shard = _open_shard(store, waiting[0])
    rest: list[Listed] = []
    chosen: list[Listed] = []

    def build(current: pa.Table) -> pa.Table:
        nonlocal rest, chosen
        homes = holders.at()
        unplaced = [item for item in waiting if item.uri not in homes]
        count = _room(store.settings, current, unplaced)
        chosen, rest = unplaced[:count], unplaced[count:]
        rows = [listing_row(item, added_by=added_by, listed_at_us=now_us) for item in chosen]
        return pa.concat_tables([current, listing_table(rows)]) if rows else current

    def check(version: int) -> None:
        holders.check((item.uri for item in chosen), shard, version)

    store.tables.update(_TABLE, shard, build, check=check)
    return shard, len(chosen), rest


def _open_shard(store: Store, first: Listed) -> str:
    """The shard with the highest number, or the one after it when that has no room for the first file."""
    shards = [name for name in store.tables.shards(_TABLE) if name.isdecimal()]
    if not shards:
        return shard_name(0)
    last = max(shards, key=int)
    sizes = store.tables.read(_TABLE, columns=["size_bytes"], shard=last)
    return last if _room(store.settings, sizes, [first]) else shard_name(int(last) + 1)


def _room(settings: Settings, current: pa.Table, items: Sequence[Listed]) -> int:
    """How many of these files, taken in order, still fit."""
    files, size_bytes = current.num_rows, pc.sum(current.column("size_bytes")).as_py() or 0
    target_bytes = settings.shard_target_mb << 20
    for count, item in enumerate(items):
        grown = size_bytes + (item.size_bytes or 0)
        if files >= settings.shard_max_files or (files and grown > target_bytes):
            return count
        files, size_bytes = files + 1, grown
    return len(items)


def _refresh(store: Store, shard: str, items: Sequence[Listed], now_us: int) -> int:
    """Update the rows of known URIs whose file or statements changed; how many did."""
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

    store.tables.update(_TABLE, shard, build)
    return changed
