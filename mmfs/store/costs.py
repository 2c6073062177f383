"""What computing a shard cost, kept with its rows: in the footer of its file, as text, so that every version has it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmfs.store.parquet import read_footer

if TYPE_CHECKING:
    from mmfs.store.store import Store
    from mmfs.store.tables import DataFile

_COST, _LIBRARY, _OR = "cost.", "library.", "/"
#: A run that computed less than this share of the rows of the one before says less about speed.
_FEW = 0.1
_READERS = 8
#: Shards whose cost is read: enough for a median, and bounded however many there are.
_SHARDS = 256


@dataclass(frozen=True)
class Cost:
    """What it took to compute rows of one shard. Rows that were kept cost nothing and are not counted.

    Attributes:
        rows: Rows computed.
        wall_s: Wall time without loading a model.
        load_s: Time to load the model; 0 where it was loaded before.
        device_s: Time the device was at work.
        read_s: Part of ``wall_s`` that went into waiting for inputs to be read and decoded.
        write_s: Part of ``wall_s`` that went into encoding and writing, as far as nothing hid it.
        device: Name of the device, as people know it.
        pack_bytes: Bytes written into packs.
        batch_size: Rows a batch; 0 where there are none.
        libraries: Versions of the libraries that computed the shard's rows; several are joined by ``/``.
        table_bytes_per_row: Bytes of the shard's table file over its rows; known only once it is written.
    """

    rows: int
    wall_s: float
    load_s: float = 0.0
    device_s: float = 0.0
    read_s: float = 0.0
    write_s: float = 0.0
    device: str = "cpu"
    pack_bytes: int = 0
    batch_size: int = 0
    libraries: Mapping[str, str] = field(default_factory=dict)
    table_bytes_per_row: float = 0.0


def recorded_cost(cost: Cost, *, before: Mapping[str, str] | None = None, kept: int = 0) -> dict[str, str]:
    """A cost as a commit records it.

    Where few rows were computed the numbers of the shard's last commit are kept: a handful of rows says little about
    speed, and rows that only moved or were dropped say nothing. A change of code or model computes all rows anew.

    Args:
        before: What the shard's last commit recorded.
        kept: Rows that are kept from before, with the libraries that computed them.

    >>> recorded_cost(Cost(rows=2, wall_s=0.5, libraries={"numpy": "2.3.1"}))["library.numpy"]
    '2.3.1'
    >>> recorded_cost(Cost(rows=0, wall_s=0.1), before={"cost.rows": "2", "digest": "00"})
    {'cost.rows': '2'}
    """
    older = dict(before or {})
    if not cost.rows:
        return {name: text for name, text in older.items() if name.startswith((_COST, _LIBRARY))}
    libraries = dict(cost.libraries)
    for name, version in cost.libraries.items():
        versions = {version, *older.get(f"{_LIBRARY}{name}", version).split(_OR)} if kept else {version}
        libraries[name] = _OR.join(sorted(versions))
    told = {f"{_LIBRARY}{name}": version for name, version in sorted(libraries.items())}
    if older.get(f"{_COST}device") == cost.device and cost.rows < _FEW * int(older[f"{_COST}rows"]):
        return {name: text for name, text in older.items() if name.startswith(_COST)} | told
    numbers = {name: getattr(cost, name) for name in ("wall_s", "load_s", "device_s", "read_s", "write_s")}
    return {
        f"{_COST}rows": str(cost.rows),
        **{f"{_COST}{name}": f"{value:.6f}" for name, value in numbers.items()},
        f"{_COST}device": cost.device,
        f"{_COST}pack_bytes": str(cost.pack_bytes),
        f"{_COST}batch_size": str(cost.batch_size),
        **told,
    }


def cost_in(info: Mapping[str, str]) -> Cost | None:
    """The cost that a commit recorded; None when it recorded none."""
    if f"{_COST}rows" not in info:
        return None
    return Cost(
        rows=int(info[f"{_COST}rows"]),
        wall_s=float(info[f"{_COST}wall_s"]),
        load_s=float(info[f"{_COST}load_s"]),
        device_s=float(info[f"{_COST}device_s"]),
        read_s=float(info[f"{_COST}read_s"]),
        write_s=float(info[f"{_COST}write_s"]),
        device=info[f"{_COST}device"],
        pack_bytes=int(info[f"{_COST}pack_bytes"]),
        batch_size=int(info[f"{_COST}batch_size"]),
        libraries={name.removeprefix(_LIBRARY): value for name, value in info.items() if name.startswith(_LIBRARY)},
    )


def costs(store: Store, table: str) -> list[Cost]:
    """What the shards of a table cost, by shard: all of them, or a few hundred spread evenly. Reads footers alone.

    A table that does not exist yet has cost nothing.
    """
    if table not in store.tables:
        return []
    files = [file for file in store.tables.files(table) if file.rows]

    def one(file: DataFile) -> Cost | None:
        found = cost_in(read_footer(store.objects, file)[1])
        return replace(found, table_bytes_per_row=file.size_bytes / file.rows) if found else None

    with ThreadPoolExecutor(_READERS) as pool:
        return [cost for cost in pool.map(one, _spread(files)) if cost]


@cache
def processor_name() -> str:
    """The processor of this machine with the cores that may be used, as a device whose costs can be compared."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{next(named, None) or platform.processor() or platform.machine() or 'cpu'}, {cores} cores"


def _spread(files: Sequence[DataFile]) -> list[DataFile]:
    if len(files) <= _SHARDS:
        return list(files)
    return [files[place] for place in np.linspace(0, len(files) - 1, _SHARDS).astype(int)]
