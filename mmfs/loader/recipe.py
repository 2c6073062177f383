"""A loader as it was asked for: what another process needs to make the same one, with handles of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmfs.errors import LoaderError
from mmfs.loader.mixture import Mixture
from mmfs.settings import Settings
from mmfs.store.pin import Pin
from mmfs.store.store import Store

if TYPE_CHECKING:
    from mmfs.loader.loader import Loader

#: Needs the table log or an object store's client, and neither outlives a fork.
_START = 'start workers anew: DataLoader(..., multiprocessing_context="spawn")'


@dataclass(frozen=True)
class Recipe:
    """What a loader is made from. It crosses process borders; open files and clients do not.

    Attributes:
        url: Of the store.
        settings: In force where the first loader was made.
        pin: What to read.
        arguments: Those of `Loader`, by name, with rank and world size filled in.
    """

    url: str
    settings: Settings
    pin: Pin | Mixture
    arguments: Mapping[str, Any]

    def loader(self, *, forked: bool, **changes: Any) -> Loader:
        """The same loader, opened in this process.

        Args:
            forked: Whether this process is a copy of the one that made the first loader, as it was.
            changes: Arguments that differ.

        Raises:
            LoaderError: A forked process cannot make this loader, or no worker can.
        """
        from mmfs.loader.loader import Loader

        device, run = self.arguments["device"], self.arguments["run"]
        if device not in (None, "cpu"):
            raise LoaderError(
                f"device={device!r} in a DataLoader worker",
                mend="leave device= out, and move batches in the training loop (pin_memory=True makes that fast)",
            )
        if forked and "://" in self.url:
            raise LoaderError(f"a forked worker cannot read {self.url}", mend=_START)
        if forked and run is not None:
            raise LoaderError(f"a forked worker cannot record the run {run!r}", mend=_START)
        store = Store.open(self.url, settings=self.settings, create=False)
        return Loader(store, self.pin, **{**self.arguments, **changes})
