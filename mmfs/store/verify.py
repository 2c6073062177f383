"""Verify: do tables, packs, index and pins agree, and are the bytes the ones that were written?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from mmfs.errors import MissingObjectError, MmfsError, StoreError
from mmfs.schemas import GRAIN_TABLES, TableSpec
from mmfs.store.checksum import crc32
from mmfs.store.data_check import checked_rows, mend_of
from mmfs.store.packs import BlobRef, refs_of
from mmfs.store.pins import Pins
from mmfs.store.tables import DataFile

if TYPE_CHECKING:
    from mmfs.store.store import Store

_READ_BYTES = 64 << 20


@dataclass
class VerifyReport:
    """What was compared, and every difference found.

    Attributes:
        tables, files, rows: What was read of tables.
        blobs: References into packs that were compared; with ``deep``, their bytes too.
        pins: Pins whose files were looked for.
        deep: Whether bytes were compared with their checksums.
        problems: One line each: what differs, where, and the mend.
    """

    deep: bool
    tables: int = 0
    files: int = 0
    rows: int = 0
    blobs: int = 0
    pins: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.problems

    def summary(self) -> str:
        """One line for people."""
        what = "all bytes compared" if self.deep else "bytes not compared (use deep)"
        result = "no difference" if self.ok else f"{len(self.problems)} differences"
        return f"{self.rows:,} rows in {self.tables} tables, {self.blobs:,} blobs, {self.pins} pins; {what}: {result}"

    def add(self, problem: str, mend: str) -> None:
        """Record a difference."""
        self.problems.append(f"{problem}; {mend}")


def verify(store: Store, *, deep: bool = False) -> VerifyReport:
    """Compare everything with everything; reads key columns and references, with ``deep`` every byte.

    Never raises for a difference: each becomes a line of the report.
    """
    report = VerifyReport(deep)
    for name in store.tables.names():
        report.tables += 1
        spec = store.tables.spec(name)
        for file in store.tables.files(name):
            _verify_file(store, spec, file, report)
    for spec in (store.tables.spec(name) for name in store.tables.names()):
        _verify_parents(store, spec, report)
    _verify_media_once(store, report)
    _verify_index(store, report)
    _verify_pins(store, report)
    return report


def _verify_file(store: Store, spec: TableSpec, file: DataFile, report: VerifyReport) -> None:
    """One data file: there, whole, in order; its references within their packs."""
    report.files += 1
    try:
        rows = checked_rows(store.objects, spec, file, deep=report.deep)
        report.rows += rows.num_rows
        if spec.blob is not None:
            _verify_blobs(store, refs_of(rows), report, mend_of(spec, file.shard))
    except MmfsError as error:
        report.add(error.what, error.mend)


def _verify_blobs(store: Store, refs: list[BlobRef], report: VerifyReport, mend: str) -> None:
    report.blobs += len(refs)
    by_pack: dict[str, list[BlobRef]] = {}
    for ref in refs:
        by_pack.setdefault(ref.pack, []).append(ref)
    for pack, inside in sorted(by_pack.items()):
        try:
            size = store.objects.size(pack)
        except MissingObjectError as error:
            report.add(f"{error.what}, but {len(inside)} rows name it", mend)
            continue
        beyond = [ref for ref in inside if ref.offset < 0 or ref.length < 0 or ref.offset + ref.length > size]
        for ref in beyond:
            report.add(f"a row names {ref.length} bytes at offset {ref.offset} of {pack}, which has {size}", mend)
        if report.deep and not beyond:
            for ref, data in _read(store, pack, inside):
                if crc32(data) != ref.crc32:
                    report.add(f"bytes at offset {ref.offset} of {pack} differ from their checksum", mend)


def _read(store: Store, pack: str, refs: list[BlobRef]) -> Iterator[tuple[BlobRef, bytes]]:
    """The blobs of a pack, some 64 MiB at a time."""
    batch: list[BlobRef] = []
    for ref in sorted(refs, key=lambda ref: ref.offset):
        batch.append(ref)
        if sum(held.length for held in batch) >= _READ_BYTES:
            yield from zip(batch, store.objects.get_ranges(pack, [(r.offset, r.length) for r in batch]), strict=True)
            batch = []
    if batch:
        yield from zip(batch, store.objects.get_ranges(pack, [(r.offset, r.length) for r in batch]), strict=True)


def _verify_parents(store: Store, spec: TableSpec, report: VerifyReport) -> None:
    """Rows about samples that are not in the table of their grain, shard by shard."""
    if spec.grain is None:
        return
    base = GRAIN_TABLES[spec.grain]
    parent = base if spec.name != base else GRAIN_TABLES["media"]
    if parent == spec.name or parent not in store.tables:
        return
    keys = [key for key in store.tables.spec(parent).key if key in spec.key]
    for shard in store.tables.shards(spec.name):
        try:
            rows = store.tables.read(spec.name, columns=keys, shard=shard)
            parents = store.tables.read(parent, columns=keys, shard=shard)
        except MmfsError:
            continue  # its file was reported already
        lost = rows.join(parents, keys, join_type="left anti").num_rows
        if lost:
            report.add(
                f"{lost} rows of shard {shard} of {spec.name} have no row in {parent}",
                f"materialize shard {shard} of {spec.name} again",
            )


def _verify_media_once(store: Store, report: VerifyReport) -> None:
    """A media belongs to one shard."""
    try:
        media = store.tables.read("raw_media", columns=["media_id"]).column("media_id")
    except MmfsError:
        return  # its file was reported already
    twice = len(media) - pc.count_distinct(media).as_py()
    if twice:
        report.add(f"{twice} media are in more than one shard of raw_media", "materialize those shards again")


def _verify_index(store: Store, report: VerifyReport) -> None:
    """Search spaces that say they hold other rows than their table had when they were built."""
    try:
        entries = store.tables.read("qdrant_index", columns=["space", "shard", "table_version", "rows"]).to_pylist()
    except MmfsError:
        return  # its file was reported already
    for entry in entries:
        space, shard, version = entry["space"], entry["shard"], entry["table_version"]
        try:
            there = store.tables.shards(space, version).get(shard, 0)
        except StoreError:
            continue  # vacuumed: nothing left to compare with
        if there != entry["rows"]:
            report.add(
                f"the index of {space} holds {entry['rows']} rows of shard {shard} where the table had {there}",
                "materialize qdrant_index again",
            )


def _verify_pins(store: Store, report: VerifyReport) -> None:
    """Files and packs that a pin names and that are gone."""
    pins = Pins(store)
    for name in pins.names():
        report.pins += 1
        try:
            pin = pins.get(name)
        except MmfsError as error:
            report.add(error.what, error.mend)
            continue
        wanted = {file.path for table in pin.tables.values() for file in table.files}
        wanted |= {pack for table in pin.tables.values() for pack in table.packs}
        wanted |= {pin.selection} if pin.selection else set()
        for path in sorted(path for path in wanted if not store.objects.exists(path)):
            report.add(f"pin {name} names {path}, which does not exist", f"restore it, or unpin {name}")
