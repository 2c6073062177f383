"""Making a pin: which tables at which versions, which rows, and what they lack. `pins` writes the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfs.errors import PinError, StoreError
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.pin import (
    LIVE,
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

if TYPE_CHECKING:
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
    versions: Mapping[str, int]
    like: Pin | None
    grain: Grain | None
    window: Window | None
    order: OrderParameters


@dataclass(frozen=True)
class Draft:
    """A pin, and the runs of its selection by shard; None when every row is a sample."""

    pin: Pin
    runs: dict[str, Runs] | None


def draw_up(store: Store, name: str, request: Request, *, now_us: int) -> Draft:
    """Everything a pin says, computed from the tables as they are.

    Raises:
        PinError: A column, version or subset does not exist, values are missing, or no sample is selected.
        WhereError: The condition is wrong.
    """
    stored = {column: resolve(store.tables, column) for column in request.columns if not column.startswith(LIVE)}
    live = {column: _live(request, column) for column in request.columns if column.startswith(LIVE)}
    sources = stored | _inputs(store, live)
    asked = stored | {column: one.value for column, one in live.items()}
    grain = request.grain or finest(asked.values())
    check_broadcast(asked, grain)
    check_live(live, sources, grain)
    needs = {
        column: live_needs(live[column], sources) if column in live else (stored_need(stored[column]),)
        for column in request.columns
    }
    base = GRAIN_TABLES[grain]
    tables = _pinned_tables(store, sorted({base, *(source.table for source in sources.values())}), request)
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
        )

    with ThreadPoolExecutor(_READERS) as pool:
        scans = list(pool.map(scan, tables[base].files))
    selected = sum(one.selected for one in scans)
    if request.missing == "error":
        _refuse_absent_keys(filters, scans, base)
        _refuse_gaps(_said(request.columns, live), scans, selected, grain)
    chosen = selection_id(grain, request.window, [one.content for one in scans if one.samples])
    if request.like is not None and chosen != request.like.selection_id:
        raise PinError(
            f"with these columns and versions the samples of pin {request.like.name!r} are not all there",
            mend="name columns that cover them, pin with missing='null', or select anew without like=",
        )
    shard_rows = {one.shard: one.samples for one in scans}
    if not any(shard_rows.values()):
        raise PinError("no sample is selected", where=f"pin {name!r}", mend="loosen where=, subset= or missing=")
    blocks = sum(-(-rows // request.order.block) for rows in shard_rows.values())
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
        order=request.order.resolved(blocks),
        shard_rows=shard_rows,
        coverage={column: sum(one.present[column] for one in scans) / max(1, selected) for column in request.columns},
        created_at_us=now_us,
    ).with_id()
    whole = request.window is None and all(one.is_whole for one in scans)
    return Draft(pin, None if whole else {one.shard: one.runs for one in scans})


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
        version = request.versions.get(name)
        if version is not None and not isinstance(version, int):
            raise PinError(
                f"versions= gives {version!r} for {name}", mend="give table versions, as in `store.tables()`: integers"
            )
        try:
            version = store.tables.version(name) if version is None else version
            files = store.tables.files(name, version=version)
        except StoreError as error:
            raise PinError(
                f"version {version} of {name} cannot be read: {error.what}",
                mend=f"the newest is {store.tables.version(name)}; older ones go with a vacuum unless pinned",
            ) from error
        pinned = [PinnedFile(path=f.path, shard=f.shard, rows=f.rows, size_bytes=f.size_bytes) for f in files]
        if len({file.shard for file in pinned}) != len(pinned):
            raise PinError(f"a shard of {name} has several files", mend="materialize the shard again with mmfs")
        found[name] = PinnedTable(version=version, files=tuple(pinned), lineage={"asset_key": name})
    return found


def _filters(store: Store, grain: Grain, tables: Mapping[str, PinnedTable], request: Request) -> list[KeyFilter]:
    versions = {name: table.version for name, table in tables.items()}
    filters = [tombstone_filter(store)]
    if request.like is not None:
        # Its condition and subset are recorded, not asked again: they may say something else by now.
        return [one for one in (*filters, like_filter(store.objects, request.like)) if one is not None]
    if request.where is not None:
        filters.append(where_filter(store, grain, request.where, versions))
    if request.subset is not None:
        filters.append(subset_filter(store, grain, request.subset))
    return [one for one in filters if one is not None]


def _refuse_absent_keys(filters: Sequence[KeyFilter], scans: Sequence[ShardScan], base: str) -> None:
    for number, one in enumerate(filters):
        found = sum(scan.found[number] for scan in scans)
        if one.size is not None and found < one.size:
            raise PinError(
                f"{one.size - found} of the {one.size} keys of {one.what} are in no row of {base}",
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
