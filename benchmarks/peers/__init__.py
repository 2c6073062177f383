"""Loaders of others, each at the best setting that its own documentation gives, on the same bytes.

A module each, with the same four names:

- ``PACKAGE``, the distribution that must be installed, and ``SETTINGS``, what was chosen;
- ``LAYOUTS``, which of `LAYOUTS` it can hold. ``images`` is key and JPEG, ``vectors`` is key, vector and caption: two
  datasets, so that formats which read whole rows read no byte that was not asked for;
- ``write(rows, folder, layout)``: the samples in its own format;
- ``epochs(folder, task)``: opens that and returns a function that starts an epoch, an iterator over (keys, values).

All decode with simplejpeg straight into the batch, and widen vectors to float32, as mmfs does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, Protocol, cast

from making.samples import Row, Samples
from measuring.passes import Batches

Layout = Literal["images", "vectors"]
LAYOUTS: tuple[Layout, ...] = ("images", "vectors")
NAMES = ("litdata", "mosaicml", "webdataset", "lancedb", "lance", "huggingface", "grain")


@dataclass(frozen=True)
class Task:
    """A full pass in batches.

    Attributes:
        kind: Stored JPEGs, decoded pictures, or vectors with captions.
        workers: Worker processes; 0: none.
        batch_size: Samples of a batch.
        seed: Of the order.
    """

    kind: Literal["raw", "decode", "vectors"]
    workers: int
    batch_size: int = 256
    seed: int = 0

    @property
    def layout(self) -> Layout:
        """The dataset that it reads."""
        return "vectors" if self.kind == "vectors" else "images"


class Peer(Protocol):
    """What each module offers."""

    PACKAGE: str
    SETTINGS: str
    LAYOUTS: tuple[Layout, ...]

    def write(self, rows: Iterable[Row], folder: Path, layout: Layout) -> None: ...

    def epochs(self, folder: Path, task: Task) -> Callable[[], Batches]: ...


def peer(name: str) -> Peer:
    """A peer's module; its package is loaded only when it is used."""
    return cast("Peer", importlib.import_module(f"peers.{name}"))


def installed(names: Iterable[str] = NAMES) -> dict[str, str]:
    """Those whose package is here, with its version."""
    found = {}
    for name in names:
        try:
            found[name] = version(peer(name).PACKAGE)
        except PackageNotFoundError:
            continue
    return found


def dataset(samples: Samples, name: str, layout: Layout) -> Path:
    """Where a peer's copy of the samples lies."""
    return samples.folder / "peers" / f"{name}-{layout}"


def write_dataset(samples: Samples, name: str, layout: Layout) -> None:
    """Make a peer's copy unless it is there. Run it in a process of its own."""
    folder = dataset(samples, name, layout)
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".unfinished")
        unfinished.mkdir(parents=True, exist_ok=True)
        peer(name).write(samples.rows(), unfinished, layout)
        unfinished.rename(folder)
