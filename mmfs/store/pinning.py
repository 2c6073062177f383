"""Making a pin: which tables at which versions, which rows, and what they lack. `pins` writes the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfs.errors import NoSampleError, PinError, StoreError
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.buckets import Size, check_pictures, refuse_sizeless, size_columns
from mmfs.store.origin import RUN_ID
from mmfs.store.parquet import read_footer
from mmfs.store.pin import (
    LIVE,
    Bucket,
    LiveColumn,
    Missing,
    OrderParameters,
    Pin,
    PinnedColumn,
    PinnedFile,
    PinnedTable,
    Window,
)
from mmfs.store.pin_filters import KeyFilter, like_filter, subset_filter, tombstone_filter, where_filter
from mmfs.store.pinned_columns import check_broadcast, check_live, finest, live_needs, resolve, stored_need
from mmfs.store.selection import Runs, selection_id
from mmfs.store.shard_scan import ShardScan, scan_shard
from mmfs.store.versions import Version, find_version

if TYPE_CHECKING:
    from mmfs.store.data_file import DataFile
    from mmfs.store.store import Store

_READERS = 4


@dataclass(frozen=True)
class Request:
    """What `Pins.create` was asked for; a pin to be like has already filled in columns, grain and window."""

    columns: tuple[str, ...]
    live: Mapping[str, LiveColumn]
    subset: str | None
    where: str | None
    missing: Missing
    versions: Mapping[str, Version]
    like: Pin | None
    grain: Grain | None
    window: Window | None
    buckets: tuple[Size, ...]
    order: OrderParameters


@dataclass(frozen=True)
class Draft:
    """A pin, and the runs of its selection with their shards, in sample order; None when every row is a sample."""

    pin: Pin
    runs: list[tuple[str, Runs]] | None


def draw_up(store: Store, name: str, request: Request, *, now_us: int) -> Draft:
    """Everything a pin says, computed from the tables as they are.

    Raises:
        PinError: A column, version or subset does not exist, or values are missing.
        NoSampleError: No sample is selected.
        WhereError: The condition is wrong.
    """
    stored = {column: resolve(store.tables, column) for column in request.columns if not column.startswith(LIVE)}
    live = {column: _live(request, column) for column in request.columns if column.startswith(LIVE)}
    sources = stored | _inputs(store, live)
    asked = stored | {column: one.value for column, one in live.items()}
    grain = request.grain or finest(asked.values())
    check_broadcast(asked, grain)
    check_live(live, sources, grain)
    if request.buckets and request.like is None:
        check_pictures(asked, grain)
    needs = {
        column: live_needs(live[column], sources) if column in live else (stored_need(stored[column]),)
        for column in request.columns
    }
    base = GRAIN_TABLES[grain]
    read = {base} | {source.table for source in sources.values()}
    if request.buckets:
        read.add(size_columns(grain)[0])
    tables = _pinned_tables(store, sorted(read), request)
    by_shard: dict[str, dict[str, PinnedFile]] = {}
    for table, pinned in tables.items():
        for file in pinned.files:
            by_shard.setdefault(file.shard, {})[table] = file
    filters = _filters(store, grain, tables, request)

    def scan(file: PinnedFile) -> ShardScan:
        return scan_shard(
            store.objects,
            file,
            by_shard[file.shard],
            grain=grain,
            needs=needs,
            filters=filters,
            missing=request.missing,
            window=request.window,
            buckets=request.buckets,
        )

    with ThreadPoolExecutor(_READERS) as pool:
        scans = list(pool.map(scan, tables[base].files))
    selected = sum(one.selected for one in scans)
    if request.missing == "error":
        _refuse_absent_keys(filters, scans, base)
        _refuse_gaps(_said(request.columns, live), scans, selected, grain)
    shard_rows = {one.shard: one.samples for one in scans}
    refuse_sizeless(sum(one.sizeless for one in scans), sum(shard_rows.values()), grain)
    chosen = selection_id(grain, request.window, _contents(scans, request.buckets))
    if request.like is not None and chosen != request.like.selection_id:
        raise PinError(
            f"with these columns and versions the samples of pin {request.like.name!r} are not all there",
            mend="name columns that cover them, pin with missing='null', or select anew without like=",
        )
    if not any(shard_rows.values()):
        raise NoSampleError("no sample is selected", where=f"pin {name!r}", mend="loosen where=, subset= or missing=")
    pin = Pin(
        name=name,
        id="",
        selection_id=chosen,
        grain=grain,
        columns=request.columns,
        sources=sources,
        live=live,
        tables={table: pinned.model_copy(update={"packs": _packs(table, scans)}) for table, pinned in tables.items()},
        where=request.where,
        subset=request.subset,
        missing=request.missing,
        window=request.window,
        samples=sum(shard_rows.values()),
        order=request.order if request.buckets else _resolved(request.order, shard_rows),
        shard_rows=shard_rows,
        buckets=_buckets(request, scans),
        coverage={column: sum(one.present[column] for one in scans) / max(1, selected) for column in request.columns},
        selected=selected,
        absent=sum(lacking for _, lacking in _absent_keys(filters, scans)),
        created_at_us=now_us,
    ).with_id()
    whole = request.window is None and not request.buckets and all(one.is_whole for one in scans)
    parts = range(max(1, len(request.buckets)))
    return Draft(pin, None if whole else [(one.shard, one.parts[part].runs) for part in parts for one in scans])


def _contents(scans: Sequence[ShardScan], buckets: Sequence[Size]) -> list[str]:
    """What the samples are, part by part in sample order, each with its bucket if there are any."""
    if not buckets:
        return [one.parts[0].content for one in scans if one.samples]
    numbered = [(number, one.parts[number]) for number in range(len(buckets)) for one in scans]
    return [f"{number}/{part.content}" for number, part in numbered if part.runs.total]


def _buckets(request: Request, scans: Sequence[ShardScan]) -> tuple[Bucket, ...]:
    found = []
    alike = request.like.buckets if request.like and request.order == request.like.order else ()
    for number, (height, width) in enumerate(request.buckets):
        rows = {one.shard: one.parts[number].runs.total for one in scans}
        rows = {shard: samples for shard, samples in rows.items() if samples}
        streams = alike[number].streams if alike else _resolved(request.order, rows).streams
        found.append(Bucket(height=height, width=width, streams=streams or 1, shard_rows=rows))
    return tuple(found)


def _resolved(order: OrderParameters, shard_rows: Mapping[str, int]) -> OrderParameters:
    return order.resolved(sum(-(-rows // order.block) for rows in shard_rows.values()))


def _live(request: Request, name: str) -> LiveColumn:
    if name not in request.live:
        raise PinError(f"{name} is not resolved", mend="pin through mmfs.open_store(), which knows the features")
    return request.live[name]


def _inputs(store: Store, live: Mapping[str, LiveColumn]) -> dict[str, PinnedColumn]:
    """The stored columns that live ones are computed from."""
    found = {}
    for name, one in live.items():
        for column in dict.fromkeys(part.column for part in one.inputs):
            try:
                found[column] = resolve(store.tables, column)
            except PinError as error:
                raise PinError(
                    f"{name} is computed from {column}: {error.what}",
                    mend=f"materialize {column.partition('.')[0]} first, or leave {name} out",
                ) from error
    return found


def _pinned_tables(store: Store, names: Sequence[str], request: Request) -> dict[str, PinnedTable]:
    """Each table at its version: the one asked for, else that of the pin to be like, else the newest."""
    unknown = sorted(set(request.versions) - set(names))
    if unknown:
        raise PinError(
            f"versions= names the table {unknown[0]}, of which no column is pinned",
            mend="tables are " + ", ".join(names),
        )
    alike = request.like.tables if request.like else {}
    found = {}
    for name in names:
        if name in alike and name not in request.versions:
            found[name] = alike[name].model_copy(update={"packs": ()})
            continue
        wanted = request.versions.get(name)
        version = store.tables.version(name) if wanted is None else find_version(store.tables.log, name, wanted)
        found[name] = _pinned_table(store, name, version)
    return found


def _pinned_table(store: Store, name: str, version: int) -> PinnedTable:
    try:
        files = store.tables.files(name, version=version)
    except StoreError as error:
        raise PinError(
            f"version {version} of {name} cannot be read: {error.what}",
            mend=f"the newest is {store.tables.version(name)}; older ones go with a vacuum unless pinned",
        ) from error
    if len({file.shard for file in files}) != len(files):
        raise PinError(f"a shard of {name} has several files", mend="materialize the shard again with mmfs")
    footers = _footers(store, name, version, files)
    return PinnedTable(
        version=version,
        files=tuple(PinnedFile(path=f.path, shard=f.shard, rows=f.rows, size_bytes=f.size_bytes) for f in files),
        lineage={"asset_key": name},
        data_versions={file.shard: digest for file, (digest, _) in zip(files, footers, strict=True)},
        run_ids=tuple(sorted({info[RUN_ID] for _, info in footers if RUN_ID in info})),
    )


def _footers(store: Store, name: str, version: int, files: Sequence[DataFile]) -> list[tuple[str, dict[str, str]]]:
    """Content digest and commit information of each file."""
    try:
        with ThreadPoolExecutor(_READERS) as pool:
            return list(pool.map(lambda file: read_footer(store.objects, file), files))
    except StoreError as error:
        if all(store.objects.exists(file.path) for file in files):
            raise
        raise PinError(
            f"version {version} of {name} is gone (vacuumed)",
            mend=f"the newest is {store.tables.version(name)}; pin versions that must stay",
        ) from error


def _filters(store: Store, grain: Grain, tables: Mapping[str, PinnedTable], request: Request) -> list[KeyFilter]:
    versions = {name: table.version for name, table in tables.items()}
    if request.like is not None:
        # Its condition and subset are recorded, not asked again: they may say something else by now. What was taken
        # down since keeps its place, so that the order stays; loaders fill it.
        return [like_filter(store.objects, request.like)]
    filters = [tombstone_filter(store)]
    if request.where is not None:
        filters.append(where_filter(store, grain, request.where, versions))
    if request.subset is not None:
        filters.append(subset_filter(store, grain, request.subset))
    return [one for one in filters if one is not None]


def _absent_keys(filters: Sequence[KeyFilter], scans: Sequence[ShardScan]) -> list[tuple[KeyFilter, int]]:
    """How many keys of each filter are in no row."""
    found = [sum(scan.found[number] for scan in scans) for number in range(len(filters))]
    return [(one, one.size - count) for one, count in zip(filters, found, strict=True) if one.size is not None]


def _refuse_absent_keys(filters: Sequence[KeyFilter], scans: Sequence[ShardScan], base: str) -> None:
    for one, lacking in _absent_keys(filters, scans):
        if lacking:
            raise PinError(
                f"{lacking} of the {one.size} keys of {one.what} are in no row of {base}",
                mend="save the subset again, pin an older version, or pin with missing='skip'",
            )


def _refuse_gaps(names: Mapping[str, str], scans: Sequence[ShardScan], selected: int, grain: Grain) -> None:
    gaps = []
    for column, said in names.items():
        lacking = selected - sum(scan.present[column] for scan in scans)
        if lacking:
            gaps.append(f"{lacking:,} of the {selected:,} selected ({grain}) samples have no {said}")
    if gaps:
        raise PinError(
            "; ".join(gaps),
            mend="materialize them, or pin with missing='skip' (leave them out) or 'null' (zeros and a mask)",
        )


def _said(columns: Sequence[str], live: Mapping[str, LiveColumn]) -> dict[str, str]:
    """What a sample lacks that lacks a column: of a live one, what it is computed from."""
    inputs = {name: " and ".join(dict.fromkeys(part.column for part in one.inputs)) for name, one in live.items()}
    return {name: f"{inputs[name]}, from which {name} is computed" if name in live else name for name in columns}


def _packs(table: str, scans: Sequence[ShardScan]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*(scan.packs.get(table, set()) for scan in scans))))
