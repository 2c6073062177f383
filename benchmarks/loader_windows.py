"""Windows of 16 frames, shuffled, 16 windows a batch: against LanceDB, stored and decoded.

LanceDB keeps the same frames row by row; a batch asks a `Permutation` for 16 runs of 16 rows, in the main process and
in two workers. Three windows of each video's 50 frames; the same 19,200 frames on both sides.

    python benchmarks/loader_windows.py [--json FILE] [--quick] [--repeats 3]
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch  # noqa: F401  loaded before the lanes fork, so that none of them waits for it
from making.samples import WINDOW, Samples
from measuring import ours
from measuring.lanes import once
from measuring.options import Options, run
from measuring.passes import Batches
from measuring.race import race
from peers import dataset, installed, write_dataset

_WINDOWS = 16
_FRAMES = _WINDOWS * WINDOW


def measure(options: Options) -> dict[str, Any]:
    """Windows a second of each side, ratios, and goals."""
    found: dict[str, Any] = {"windows": options.samples.windows}
    goals = []
    for kind, decode in (("raw", False),) if options.quick else (("raw", False), ("decode", True)):
        opening = ours.epochs(options.samples, "windows", batch_size=_WINDOWS, decode=decode)
        others = {}
        if installed(["lancedb"]):
            once(write_dataset, options.samples, "lancedb", "images")
            others = {
                f"lancedb {workers} workers": partial(lancedb_windows, options.samples, kind, workers)
                for workers in ((0,) if options.quick else (0, 2))
            }
        figures, ratios = race(options, _no_task, opening, peers=(), others=others)
        found[kind] = {"sides": figures, "mmfs_over": asdict(ratios)}
        best = max(others, key=lambda name: figures[name].get("per_s", 0), default="")
        goals.append(ratios.goal(f"16-frame windows, {kind}, over LanceDB at its best", best, 2))
    return found | {"goals": goals}


def lancedb_windows(samples: Samples, kind: str, workers: int) -> Callable[[], Batches]:
    """Batches of windows from a LanceDB table, as (keys of the windows' first frames, values)."""
    from torch.utils.data import DataLoader

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.utils.data", "lancedb"])
    loader = DataLoader(
        _Windows(dataset(samples, "lancedb", "images"), kind),
        batch_size=None,
        sampler=_window_batches(samples),
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context=context if workers else None,
    )
    return lambda: iter(loader)


def _window_batches(samples: Samples) -> Any:
    import numpy as np
    from torch.utils.data import Sampler

    class Windows(Sampler[list[int]]):
        """Each epoch another permutation of the windows; rows of 16 at a time."""

        def __init__(self) -> None:
            self._rng = np.random.default_rng(0)

        def __iter__(self) -> Any:
            each = samples.frames // WINDOW
            firsts = np.array(
                [video * samples.frames + window * WINDOW for video in range(samples.videos) for window in range(each)]
            )
            firsts = self._rng.permutation(firsts)
            for start in range(0, len(firsts), _WINDOWS):
                yield (firsts[start : start + _WINDOWS, None] + np.arange(WINDOW)).reshape(-1).tolist()

    return Windows()


class _Windows:
    """Rows of a LanceDB table by number, as windows; opened in each worker."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._opened: Any = None

    def __getitem__(self, rows: list[int]) -> Any:
        from peers.batches import images

        if self._opened is None:
            import lancedb
            from lancedb.permutation import Permutation

            table = lancedb.connect(str(self._folder)).open_table("samples")
            self._opened = Permutation.identity(table).select_columns(["key", "image"]).with_format("arrow")
        found = self._opened.__getitems__(rows)
        keys, values = images(self._kind)(found.column("key").to_pylist(), found.column("image").to_pylist())
        return keys[::WINDOW], values


def _no_task(workers: int) -> Any:
    raise AssertionError("no peer runs here by its full pass")


if __name__ == "__main__":
    run(measure, __doc__)
