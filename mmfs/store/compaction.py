"""Compaction: rewrite packs that are mostly dead, and many small ones into few. Rows keep their content.

A shard's chosen packs are copied in key order into new ones, some MiB at a time, each blob compared with its CRC-32;
one compare-and-swap commit then gives the rows their new places. Content digests leave places out, so nothing
downstream becomes stale. Old packs stay for pins and for the versions that vacuum keeps. Killed at any point, the shard
is as it was or as it should be, and packs that nobody names wait for vacuum. Packs that hold bytes of media that were
taken down stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mmfs.errors import IntegrityError, MissingObjectError, StalePlanError
from mmfs.store.compaction_choice import (
    END_BYTES,
    PackUse,
    member_bytes,
    merged_bytes,
    packs_made,
    packs_to_rewrite,
)
from mmfs.store.faults import fault_point
from mmfs.store.keys import Ids, media_ids
from mmfs.store.pack_copy import copy_blobs
from mmfs.store.packs import refs_of
from mmfs.store.tombstones import taken_down

if TYPE_CHECKING:
    from mmfs.store.commit import ShardState
    from mmfs.store.store import Store

_READERS = 8


@dataclass(frozen=True)
class ShardCompaction:
    """One shard of one table that was rewritten, or would be.

    Attributes:
        table, shard: Which.
        packs_before, packs_after: Packs that its rows name.
        copied_bytes: Bytes written into new packs.
        replaced_bytes: Size of the packs that its rows name no more; vacuum frees them when no pin and no kept version
            does either.
    """

    table: str
    shard: str
    packs_before: int
    packs_after: int
    copied_bytes: int
    replaced_bytes: int


@dataclass
class CompactionReport:
    """What a compaction found and did.

    Attributes:
        dry_run: Nothing was written.
        shards: Shards of tables with packs that were looked at.
        packs: Packs that their rows named before.
        pack_bytes: Size of these.
        dead_bytes: Bytes of these that no row named.
        rewritten: What was rewritten; with ``dry_run``, what would be.
        busy: ``table/shard`` that somebody else replaced meanwhile: for the next time.
        taken_down: By ``table/shard``, packs that would be rewritten if they held no bytes of media that were taken
            down.
        problems: What could not be rewritten, and the mend: damaged packs.
    """

    dry_run: bool
    shards: int = 0
    packs: int = 0
    pack_bytes: int = 0
    dead_bytes: int = 0
    rewritten: list[ShardCompaction] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    taken_down: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was damaged."""
        return not self.problems

    @property
    def notes(self) -> list[str]:
        """What was left and is as it should be, one line each."""
        return [
            f"packs of {place} that hold media that were taken down, and stay as they are: {packs}"
            for place, packs in self.taken_down.items()
        ]

    @property
    def dead_share(self) -> float:
        """Share of all pack bytes that no row named, 0 to 1."""
        return self.dead_bytes / self.pack_bytes if self.pack_bytes else 0.0

    @property
    def packs_after(self) -> int:
        """Packs that rows name afterwards."""
        return self.packs - sum(shard.packs_before - shard.packs_after for shard in self.rewritten)

    @property
    def copied_bytes(self) -> int:
        """Bytes written into new packs."""
        return sum(shard.copied_bytes for shard in self.rewritten)

    @property
    def replaced_bytes(self) -> int:
        """Size of the packs that are left for vacuum."""
        return sum(shard.replaced_bytes for shard in self.rewritten)

    def summary(self) -> str:
        """One line for people."""
        verb = "would rewrite" if self.dry_run else "rewrote"
        tail = f"; {len(self.problems)} problems" if self.problems else ""
        return (
            f"{verb} {len(self.rewritten):,} of {self.shards:,} shards: {self.packs:,} packs, {self.dead_share:.0%} of "
            f"their bytes dead, became {self.packs_after:,}{tail}"
        )


def compact(store: Store, *, dry_run: bool = False) -> CompactionReport:
    """Rewrite what is worth it in every table with packs (`compaction_choice`).

    Never raises for a damaged pack: the shard is left as it is and becomes a line of the report.

    Args:
        dry_run: Say what would be done.

    Raises:
        StoreError: The store cannot be read or written.
    """
    report, gone = CompactionReport(dry_run), taken_down(store)
    for table in store.tables.names():
        if store.tables.spec(table).blob is None:
            continue
        sizes = {info.path: info.size_bytes for info in store.objects.list(f"packs/{table}")}
        shards = [shard for shard, rows in store.tables.shards(table).items() if rows]

        def look(shard: str, table: str = table, sizes: Mapping[str, int] = sizes) -> _Look | str:
            try:
                return _look(store, table, shard, sizes, gone)
            except (IntegrityError, MissingObjectError) as error:
                return f"{table}/{shard}: {error.what}; {error.mend}"

        with ThreadPoolExecutor(_READERS) as pool:
            for found in pool.map(look, shards):
                _compact_shard(store, found, report)
    return report


@dataclass(frozen=True)
class _Look:
    """One shard of one table, before anything is done.

    Attributes:
        planned: Its state.
        packs: Its packs, by name.
        fixed: Those that hold bytes of media that were taken down.
    """

    planned: ShardState
    packs: Mapping[str, PackUse]
    fixed: frozenset[str]

    def size_bytes(self, packs: Iterable[str]) -> int:
        return sum(self.packs[path].size_bytes for path in packs)


def _look(store: Store, table: str, shard: str, sizes: Mapping[str, int], gone: Ids) -> _Look:
    """How the packs that a shard's rows name are used.

    Raises:
        IntegrityError: A pack is gone.
    """
    planned = store.tables.state(table, shard)
    columns = ["pack", "offset", "length", *(["media_id"] if len(gone) else [])]
    rows = store.tables.read(table, columns=columns, files=planned.files)
    live: dict[str, int] = {}
    for pack, _, length in set(zip(*(column.to_pylist() for column in rows.columns[:3]), strict=True)):
        live[pack] = live.get(pack, END_BYTES) + member_bytes(length)
    packs = {}
    for path in sorted(live):
        try:
            size = sizes[path] if path in sizes else store.objects.size(path)  # written after the listing
        except MissingObjectError as error:
            raise IntegrityError(
                f"{path} is gone, but rows name it", mend="run `mmfs verify --drop-damaged`, then `mmfs materialize`"
            ) from error
        packs[path] = PackUse(path, size, live[path])
    return _Look(planned, packs, _packs_holding(rows, gone) if len(gone) else frozenset())


def _packs_holding(rows: pa.Table, media: Ids) -> frozenset[str]:
    """The packs that hold bytes of some media."""
    theirs = np.isin(media_ids(rows.column("media_id")), media)
    return frozenset(rows.column("pack").filter(pa.array(theirs)).to_pylist())


def _compact_shard(store: Store, found: _Look | str, report: CompactionReport) -> None:
    report.shards += 1
    if isinstance(found, str):
        report.problems.append(found)
        return
    report.packs += len(found.packs)
    report.pack_bytes += found.size_bytes(found.packs)
    report.dead_bytes += sum(use.dead_bytes for use in found.packs.values())
    place = f"{found.planned.table}/{found.planned.shard}"
    if left := packs_to_rewrite(found.packs.values()) & found.fixed:
        report.taken_down[place] = len(left)
    chosen = packs_to_rewrite([use for path, use in found.packs.items() if path not in found.fixed])
    if not chosen:
        return
    try:
        report.rewritten.append(_foretell(found, chosen) if report.dry_run else _rewrite(store, found, chosen))
    except StalePlanError:
        report.busy.append(place)
    except IntegrityError as error:
        report.problems.append(f"{place}: {error.what}; {error.mend}")


def _foretell(found: _Look, chosen: frozenset[str]) -> ShardCompaction:
    """What rewriting would do."""
    before = len(found.packs)
    made_bytes = merged_bytes([found.packs[path] for path in chosen])
    made = packs_made(made_bytes)
    return ShardCompaction(
        found.planned.table,
        found.planned.shard,
        packs_before=before,
        packs_after=before - len(chosen) + made,
        copied_bytes=made_bytes + (made - 1) * END_BYTES,
        replaced_bytes=found.size_bytes(chosen),
    )


def _rewrite(store: Store, found: _Look, chosen: frozenset[str]) -> ShardCompaction:
    """Copy the chosen packs of a shard and commit.

    Raises:
        StalePlanError: The shard was replaced meanwhile.
        IntegrityError: A blob is damaged; nothing was committed.
    """
    planned = found.planned
    rows = store.tables.read(planned.table, columns=["pack", "offset", "length", "crc32"], files=planned.files)
    refs = [ref for ref in refs_of(rows) if ref.pack in chosen]
    fault_point("compaction.before_copy")
    moved = copy_blobs(store.objects, planned.table, planned.shard, refs)
    fault_point("compaction.after_copy")
    store.tables.relocate(planned.table, planned.shard, moved, planned=planned)
    made = {pack for pack, _ in moved.values()}
    return ShardCompaction(
        planned.table,
        planned.shard,
        packs_before=len(found.packs),
        packs_after=len(found.packs) - len(chosen) + len(made),
        copied_bytes=sum(store.objects.size(pack) for pack in made),
        replaced_bytes=found.size_bytes(chosen),
    )
