"""What a run will cost, from what earlier ones cost.

The wall time of a run is ``load_s + shards * shard_s + rows * row_s``: once the model is loaded and processes are
started, every shard has its fixed part (comparing, committing), every row its share. The three come from the recorded
costs by weighted medians, so that one slow run does not spoil them; a run counts towards ``row_s`` by the rows it
computed. Where a run told its stages, what is no stage is fixed; else both are told apart by shards of different sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from mmfs.store.costs import Cost
from mmfs.store.standing import ShardStatus

Floats = npt.NDArray[np.float64]

#: Fixed and proportional part can be told apart when the largest shard has so many times the rows of the smallest.
_SPREAD = 1.5
#: A commit records what came before it, so its own time has to be added: a local disk's.
_COMMIT_S = 0.015
#: A model that was there already takes less than this share of the time to load it.
_LOADED = 0.2


@dataclass(frozen=True)
class Rates:
    """What computing costs on one device.

    Attributes:
        device: Name of the device.
        rows: Rows that were measured.
        load_s: Seconds that come once: to load the model, and what else the first shard of a process waits for.
        shard_s: Seconds a shard, whatever its rows.
        row_s: Seconds a row, of wall time.
        row_device_s: Seconds a row that the device works.
        row_read_s: Seconds a row of waiting for inputs, part of ``row_s``.
        row_pack_bytes: Bytes a row in packs.
        row_table_bytes: Bytes a row in the table.
    """

    device: str
    rows: int
    load_s: float
    shard_s: float
    row_s: float
    row_device_s: float
    row_read_s: float
    row_pack_bytes: float
    row_table_bytes: float


@dataclass(frozen=True)
class Forecast:
    """What bringing a table up to date would cost.

    Attributes:
        bytes_written: Bytes of packs and tables.
        device_s: Seconds that the device works.
        wall_s: Seconds of wall time, with one loading of the model.
        rates: What it was reckoned with.
        is_this_device: Whether that was measured on the device at hand; else it is what another one would need.
    """

    bytes_written: int
    device_s: float
    wall_s: float
    rates: Rates
    is_this_device: bool


def rates_on(costs: Iterable[Cost], device: str) -> Rates | None:
    """Rates of a device; where it has no history, those of the device that computed most; None without any history."""
    by_device = {name: list(some) for name, some in groupby(sorted(costs, key=_device), key=_device)}
    if not by_device:
        return None
    if device in by_device:
        return fitted(by_device[device])
    return fitted(max(by_device.values(), key=lambda some: sum(cost.rows for cost in some)))


def fitted(costs: Sequence[Cost]) -> Rates:
    """Rates from costs of one device, at least one.

    >>> rates = fitted([Cost(rows=100, wall_s=2.0), Cost(rows=300, wall_s=5.0), Cost(rows=900, wall_s=14.0)])
    >>> round(rates.shard_s, 3), round(rates.row_s, 3)
    (0.5, 0.015)
    """
    rows = np.array([cost.rows for cost in costs], float)
    load_s, shard_s, row_s = _by_stages(costs, rows) or _by_size(costs, rows)

    def per_row(total: Sequence[float]) -> float:
        return weighted_median(np.array(total, float) / rows, rows)

    return Rates(
        device=costs[0].device,
        rows=int(rows.sum()),
        load_s=load_s,
        shard_s=shard_s,
        row_s=row_s,
        row_device_s=per_row([cost.device_s for cost in costs]),
        row_read_s=per_row([cost.read_s for cost in costs]),
        row_pack_bytes=per_row([cost.pack_bytes for cost in costs]),
        row_table_bytes=weighted_median(np.array([cost.table_bytes_per_row for cost in costs]), rows),
    )


def forecast(costs: Iterable[Cost], shards: Sequence[ShardStatus], device: str) -> Forecast | None:
    """What the shards with something to compute would cost; None without any history.

    Args:
        device: Name of the device at hand.
    """
    rates = rates_on(costs, device)
    if rates is None:
        return None
    busy = [shard for shard in shards if shard.to_compute]
    rows = sum(shard.to_compute for shard in busy)
    # A shard's table file is written anew, with the rows that are kept; packs only grow.
    table_rows = sum(shard.fresh + shard.to_compute for shard in busy)
    return Forecast(
        bytes_written=round(rows * rates.row_pack_bytes + table_rows * rates.row_table_bytes),
        device_s=rows * rates.row_device_s,
        wall_s=(rates.load_s if busy else 0.0) + len(busy) * (rates.shard_s + _COMMIT_S) + rows * rates.row_s,
        rates=rates,
        is_this_device=rates.device == device,
    )


def break_even_epochs(rates: Rates, read_s: float) -> float:
    """From how many epochs on it is quicker to compute once and read than to compute in every epoch.

    Computing once costs ``row_s`` a row, writing and what a shard takes included, and every epoch ``read_s``; computing
    on the fly costs ``live_s = row_read_s + row_device_s`` in every epoch. So the first ``n`` with
    ``row_s + n * read_s < n * live_s``; infinite where reading a value is no quicker than computing it.

    Args:
        read_s: Seconds to read one stored value back.
    """
    # Stages overlap, so their sum can exceed what a row takes.
    saved_s = min(rates.row_s, rates.row_read_s + rates.row_device_s) - read_s
    return float(np.floor(rates.row_s / saved_s)) + 1 if saved_s > 0 else float("inf")


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value with half of the weight below it.

    >>> weighted_median(np.array([1.0, 2.0, 9.0]), np.array([1.0, 10.0, 1.0]))
    2.0
    """
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def _by_stages(costs: Sequence[Cost], rows: Floats) -> tuple[float, float, float] | None:
    """Seconds once, a shard and a row, where all runs told how long their stages took."""
    wall, load = (np.array([getattr(cost, name) for cost in costs]) for name in ("wall_s", "load_s"))
    # Stages that overlap can take longer together than the run did.
    staged = np.minimum(wall, [cost.read_s + cost.device_s + cost.write_s for cost in costs])
    if not staged.all():
        return None
    fixed, first = wall - staged, load >= _LOADED * load.max()
    shard_s = float(np.median(fixed[~first])) if not first.all() else 0.0
    once_s = max(float(np.median(load[first])), float(np.median((load + fixed)[first])) - shard_s)
    return once_s, shard_s, weighted_median(staged / rows, rows)


def _by_size(costs: Sequence[Cost], rows: Floats) -> tuple[float, float, float]:
    """Seconds once, a shard and a row, from shards of different sizes: the median slope between pairs of them."""
    wall = np.array([cost.wall_s for cost in costs])
    load = np.array([cost.load_s for cost in costs])
    load_s, ratio = float(np.median(load[load >= _LOADED * load.max()])), weighted_median(wall / rows, rows)
    if rows.max() < _SPREAD * rows.min():
        return load_s, 0.0, ratio
    first, second = np.triu_indices(len(rows), 1)
    apart = rows[second] - rows[first]
    first, second, apart = first[apart != 0], second[apart != 0], apart[apart != 0]
    slope = weighted_median((wall[second] - wall[first]) / apart, np.abs(apart))
    if slope <= 0:  # short runs took longer than long ones: they were held up, and say nothing about a shard
        return load_s, 0.0, ratio
    # The fixed part shows best in short runs, the rate in those that computed much.
    shard_s = weighted_median(wall - slope * rows, 1 / np.maximum(wall, 1e-9))
    shard_s = min(max(0.0, shard_s), float(wall.min()))
    return load_s, shard_s, weighted_median((wall - shard_s) / rows, rows)


def _device(cost: Cost) -> str:
    return cost.device
