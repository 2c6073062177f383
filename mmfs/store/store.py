"""A store: tables, packs and pins under one directory or S3 prefix."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmfs.errors import NoStoreError, StoreError
from mmfs.schemas import BASE_TABLES, Grain, TableSpec
from mmfs.settings import Settings, load_settings
from mmfs.store.objects import Objects
from mmfs.store.packs import read_blobs, refs_of

if TYPE_CHECKING:
    from mmfs.store.compaction import CompactionReport
    from mmfs.store.retention import VacuumReport
    from mmfs.store.tables import Tables
    from mmfs.store.verify import VerifyReport

_FORMAT = 1
_RECORD = "store.json"


class Store:
    """What was ingested and computed, and where it lies.

    Attributes:
        url: An absolute directory or ``s3://bucket/prefix``.
        objects: Bytes by name.
        settings: The settings in force: what was set by hand, else what the store recorded, else the defaults.
        namespace: A random id made with the store; ids of search points derive from it.
    """

    def __init__(self, objects: Objects, settings: Settings, namespace: uuid.UUID) -> None:
        self.objects = objects
        self.settings = settings
        self.namespace = namespace

    @property
    def url(self) -> str:
        return self.objects.url

    @cached_property
    def tables(self) -> Tables:
        """The Delta tables."""
        from mmfs.store.tables import Tables  # with the Delta library; training that reads a pin needs neither

        return Tables(self.objects, keep_log_days=self.settings.pin_log_days)

    @classmethod
    def open(cls, url: str | Path | None = None, *, settings: Settings | None = None, create: bool = True) -> Store:
        """Open a store, or make one with all its tables; one of an older mmfs gets those that came since.

        A new store records the settings that decide what its rows contain (models, frame sampling). Later they
        stand in for defaults; what is set by hand wins, and the record stays as it was.

        Args:
            url: Directory or ``s3://bucket/prefix``; default: the setting ``store``.
            settings: Default: from the environment.
            create: Make the store, or tables that it lacks.

        Raises:
            NoStoreError: There is no store and ``create`` is False.
            StoreError: It cannot be reached, is damaged, or was made by a newer mmfs.
        """
        settings = settings or load_settings()
        objects = Objects.open(url if url is not None else settings.store)
        is_new = not objects.exists(_RECORD)
        if is_new and not create:
            raise NoStoreError(f"there is no store at {objects.url}", mend="check MMFS_STORE, or `mmfs ingest` first")
        if is_new:
            _make_tables(objects, settings, list(BASE_TABLES.values()))
            _write_record(objects, settings)
        elif create:
            # A store of an older mmfs lacks the tables that came since.
            there = set(objects.folders())
            _make_tables(objects, settings, [spec for name, spec in BASE_TABLES.items() if name not in there])
        record = _read_record(objects)
        return cls(objects, settings.with_recorded(record["recorded"]), uuid.UUID(record["namespace"]))

    def sql(self, query: str, *, versions: Mapping[str, int] | None = None) -> pa.Table:
        """The rows of one SELECT over the store's tables; see `Sql.query`."""
        from mmfs.store.sql import Sql  # the parser takes a tenth of a second to import; training needs none

        return Sql(self.tables).query(query, versions=versions)

    def select(
        self,
        grain: Grain,
        *,
        where: str | None = None,
        columns: Sequence[str] = (),
        versions: Mapping[str, int] | None = None,
    ) -> pa.Table:
        """The samples of a grain that fit a condition, in canonical order; see `mmfs.store.select.select`."""
        from mmfs.store.select import select

        return select(self, grain, where=where, columns=columns, versions=versions)

    def verify(self, deep: bool = False) -> VerifyReport:
        """Compare tables, packs, index and pins; with ``deep`` also every byte with its checksum."""
        from mmfs.store.verify import verify

        return verify(self, deep=deep)

    def vacuum(self, keep_days: float = 7) -> VacuumReport:
        """Delete what no pin and no version of the last ``keep_days`` days names; see `mmfs.store.retention`."""
        from mmfs.store.retention import vacuum

        return vacuum(self, keep_days=keep_days, now_us=time.time_ns() // 1000)

    def compact(self, *, dry_run: bool = False) -> CompactionReport:
        """Rewrite packs that are mostly dead, and many small ones into few; see `mmfs.store.compaction`."""
        from mmfs.store.compaction import compact

        return compact(self, dry_run=dry_run)

    def blobs(self, table: str, rows: pa.Table, *, verify: bool = True) -> list[bytes]:
        """The bytes behind rows of a table, one each.

        Args:
            rows: Rows with ``pack``, ``offset``, ``length``, ``crc32``.
            verify: Compare each with its CRC-32.

        Raises:
            StoreError: The table holds no blobs, or the rows lack those columns.
            IntegrityError: Bytes differ from their checksum.
        """
        if self.tables.spec(table).blob is None:
            raise StoreError(f"table {table} holds no blobs", mend="frames and depth_maps do")
        lacking = [name for name in ("pack", "offset", "length", "crc32") if name not in rows.column_names]
        if lacking:
            raise StoreError(f"rows of {table} lack the column {lacking[0]}", mend="read them with all columns")
        return read_blobs(self.objects, refs_of(rows), verify=verify)


def _make_tables(objects: Objects, settings: Settings, specs: Sequence[TableSpec]) -> None:
    if specs:
        from mmfs.store.tables import Tables

        tables = Tables(objects, keep_log_days=settings.pin_log_days)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(tables.ensure, specs))


def _write_record(objects: Objects, settings: Settings) -> None:
    record = {
        "format": _FORMAT,
        "namespace": str(uuid.uuid4()),
        "recorded": settings.recorded(),
        "created_at_us": time.time_ns() // 1000,
    }
    try:
        objects.put(_RECORD, json.dumps(record, indent=2).encode(), if_absent=True)
    except StoreError:
        if not objects.exists(_RECORD):  # else somebody made the store in the same instant; theirs counts
            raise


def _read_record(objects: Objects) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(objects.get(_RECORD))
        found = int(record["format"])
        uuid.UUID(record["namespace"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{_RECORD} is damaged: {error}", where=objects.url, mend="restore it from a backup"
        ) from error
    if found > _FORMAT:
        raise StoreError(
            f"the store has format {found}, this mmfs knows {_FORMAT}", where=objects.url, mend="upgrade mmfs"
        )
    return record
