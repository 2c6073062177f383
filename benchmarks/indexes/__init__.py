"""Vector indexes of others, each as its own documentation advises for such sizes, on the same vectors.

A module each, with ``PACKAGE``, the distribution that must be installed; ``SETTINGS``, what was chosen; and
``build(vectors, folder)``, which returns a function ``query(vector, k, filter)`` to row numbers. Each answers with row
numbers alone, except ``raw_edge``, which also gives its keys, as mmfs does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
from making.vectors import Vectors

NAMES = ("raw_edge", "raw_edge_ids", "qdrant_local", "lancedb_index", "faiss_hnsw")


@dataclass(frozen=True)
class Below:
    """Only rows whose column is below a bound."""

    column: str
    bound: int

    def where(self) -> str:
        return f"{self.column} < {self.bound}"

    def allowed(self, vectors: Vectors) -> npt.NDArray[np.bool_]:
        values: npt.NDArray[np.int64] = getattr(vectors, self.column)
        return values < self.bound


Query = Callable[[npt.NDArray[np.float32], int, Below | None], list[int]]


class Peer(Protocol):
    """What each module offers."""

    PACKAGE: str
    SETTINGS: str

    def build(self, vectors: Vectors, folder: Path) -> Query: ...


def peer(name: str) -> Peer:
    """A peer's module."""
    return cast("Peer", importlib.import_module(f"indexes.{name}"))


def installed() -> dict[str, str]:
    """Those whose package is here, with its version."""
    found = {}
    for name in NAMES:
        try:
            found[name] = version(peer(name).PACKAGE)
        except PackageNotFoundError:
            continue
    return found
