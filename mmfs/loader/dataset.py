"""The loader behind torch's DataLoader, for frameworks that must have one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch.utils.data import IterableDataset, get_worker_info

from mmfs.errors import LoaderError

if TYPE_CHECKING:
    from mmfs.loader.loader import Loader


class _Batches(IterableDataset[dict[str, Any]]):
    def __init__(self, loader: Loader) -> None:
        super().__init__()
        self._loader = loader

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if get_worker_info() is not None:
            raise LoaderError(
                "a loader runs on threads of the training process", mend="use DataLoader(..., num_workers=0)"
            )
        return iter(self._loader)

    def __len__(self) -> int:
        return len(self._loader)


def batches_dataset(loader: Loader) -> IterableDataset[dict[str, Any]]:
    """The loader as a dataset of whole batches; use it with ``DataLoader(..., batch_size=None, num_workers=0)``."""
    return _Batches(loader)
