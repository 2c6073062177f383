"""The storage layer: versioned tables, packs and pins in a directory or bucket. See README.md in this folder.

Names are loaded on first use, so that processes which only read packs do not wait for the Delta library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfs.store.objects import ObjectInfo, Objects
    from mmfs.store.packs import BlobRef, PackWriter, read_blobs, refs_of
    from mmfs.store.store import Store
    from mmfs.store.tables import Commit, DataFile, ShardState, Tables

_HOMES = {
    "BlobRef": "packs",
    "Commit": "tables",
    "DataFile": "tables",
    "ObjectInfo": "objects",
    "Objects": "objects",
    "PackWriter": "packs",
    "ShardState": "tables",
    "Store": "store",
    "Tables": "tables",
    "read_blobs": "packs",
    "refs_of": "packs",
}

__all__ = [
    "BlobRef",
    "Commit",
    "DataFile",
    "ObjectInfo",
    "Objects",
    "PackWriter",
    "ShardState",
    "Store",
    "Tables",
    "read_blobs",
    "refs_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mmfs.store' has no attribute {name!r}")
    value = getattr(import_module(f"mmfs.store.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
