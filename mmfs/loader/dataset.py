"""The loader behind torch's DataLoader, for code that must have one.

Without workers, the dataset is the loader. With n workers, worker w opens the store anew and makes the steps w, w + n,
w + 2n, ... of the epoch or stream: the DataLoader asks its workers in turn, so batches come out in the loader's order.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset, get_worker_info

from mmfs.errors import LoaderError
from mmfs.loader.recipe import Recipe
from mmfs.loader.worker_start import WorkerStart

if TYPE_CHECKING:
    from mmfs.loader.loader import Loader

Batch = dict[str, Any]


class LoaderDataset(IterableDataset[Batch]):
    """Whole batches; use it with ``DataLoader(..., batch_size=None)``.

    With workers, every iteration of the DataLoader is an epoch: the first one from the loader's state to its end, then
    the next epochs. Workers run ahead of training, so only they can say where a batch stands: they add ``_state``, the
    state after it, to each. Load that to go on behind the batch, here or in another run; a stream goes on no other way.

    Args:
        loader: The loader.
        recipe: How workers make it again.
        threads: Reading and decoding threads, shared out among the workers.
        is_stream: Whether it iterates over `Loader.stream` instead of an epoch.
    """

    def __init__(self, loader: Loader, recipe: Recipe, threads: int, *, is_stream: bool) -> None:
        super().__init__()
        self._loader: Loader | None = loader
        self._of_worker: Loader | None = None
        self._process: int | None = os.getpid()
        self._recipe = recipe
        self._threads = threads
        self._length = None if is_stream else len(loader)
        self.is_stream = is_stream
        self._iterations = 0
        self.start = WorkerStart(loader.state_dict())

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to a started worker: how to make the loader, not the loader."""
        return {**self.__dict__, "_loader": None, "_process": None}

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("a stream has no length")
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        if worker is None:
            return self._here().stream() if self.is_stream else iter(self._here())
        if self._of_worker is None:
            threads = max(1, self._threads // worker.num_workers)
            once = {} if worker.id == 0 else {"run": None}  # one of them records the run
            self._of_worker = self._recipe.loader(
                forked=self._process is not None, threads=threads, status=False, **once
            )
        loader = self._of_worker
        self._iterations += 1
        # The seeds of an iteration's workers differ by their numbers alone; workers that are kept keep theirs.
        key = (worker.seed - worker.id, self._iterations)
        after = None if self.is_stream else loader.after_epoch
        loader.load_state_dict(self.start.lead(key, after) if worker.id == 0 else self.start.follow(key))
        return _with_states(loader, loader.share(worker.id, worker.num_workers, is_stream=self.is_stream))

    def state_dict(self) -> dict[str, Any]:
        """`Loader.state_dict`."""
        return self._here().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """`Loader.load_state_dict`: the next iteration begins there, with workers or without."""
        self._here().load_state_dict(state)

    def _here(self) -> Loader:
        if self._loader is None or self._process != os.getpid():
            raise LoaderError(
                "this is a DataLoader worker's copy of the dataset",
                mend='take states from batch["_state"], and load them in the process of the loader',
            )
        return self._loader


def _with_states(loader: Loader, batches: Iterator[Batch]) -> Iterator[Batch]:
    for batch in batches:
        batch["_state"] = loader.state_dict()
        given = [batch]
        del batch  # what is held here could not be filled again
        yield given.pop()
