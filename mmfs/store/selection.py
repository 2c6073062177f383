"""Which rows of a shard are samples, and what they lack: pure functions over keys and masks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmfs.ids import digest
from mmfs.schemas import Grain
from mmfs.store.keys import Int64s, Keys
from mmfs.store.pin import Window

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Runs:
    """Samples as runs: run i is ``samples[i]`` samples, the first of which begins at row ``first_row[i]``.

    Neighbouring samples of a run lie one row apart, or ``window.step`` rows.
    """

    first_row: Int64s
    samples: Int64s

    @property
    def total(self) -> int:
        """Samples of all runs."""
        return int(self.samples.sum())


def sample_rows(keys: Keys, selected: Mask, window: Window | None) -> Int64s:
    """Rows at which samples begin, ascending.

    Without a window, the selected rows. With one, every ``step``-th stored row of a media at which a window begins
    that ends in the same media and whose rows are all selected.

    Args:
        keys: All rows of the shard, in canonical order.
        selected: Which of them are selected, bool [rows].
    """
    if window is None:
        return np.flatnonzero(selected).astype(np.int64)
    if len(keys) == 0:
        return _NO_ROWS
    begins = np.flatnonzero(np.concatenate(([True], keys.media[1:] != keys.media[:-1])))
    ends = np.append(begins[1:], len(keys))
    found = [np.arange(begin, end - window.span + 1, window.step) for begin, end in zip(begins, ends, strict=True)]
    starts = np.concatenate(found).astype(np.int64)
    members = starts[:, None] + window.stride * np.arange(window.frames)
    kept: Int64s = starts[selected[members].all(axis=1)]
    return kept


def runs_of(starts: Int64s, window: Window | None) -> Runs:
    """Sample starts as runs.

    >>> runs_of(np.array([3, 4, 5, 9]), None)
    Runs(first_row=array([3, 9]), samples=array([3, 1]))
    """
    step = window.step if window else 1
    if len(starts) == 0:
        return Runs(_NO_ROWS, _NO_ROWS)
    heads = np.flatnonzero(np.concatenate(([True], np.diff(starts) != step)))
    return Runs(starts[heads], np.diff(np.append(heads, len(starts))).astype(np.int64))


def selection_id(grain: Grain, window: Window | None, shards: Iterable[str]) -> str:
    """Hash of the ordered sample keys, 32 hex characters.

    Args:
        shards: Hash of `Keys.content` of the samples of each shard that has any, in shard order. Where shards end
            belongs to the hash, because it belongs to the order. With buckets, those of each bucket, with its number.
    """
    shape = window.model_dump_json() if window else "rows"
    return digest("selection/1", grain, shape, *shards)[:32]


_NO_ROWS = np.zeros(0, np.int64)
