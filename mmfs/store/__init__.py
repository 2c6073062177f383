"""The storage layer: versioned tables, packs and pins in a directory or bucket. See README.md in this folder."""

from mmfs.store.objects import ObjectInfo, Objects
from mmfs.store.packs import BlobRef, PackWriter, read_blobs, refs_of
from mmfs.store.store import Store
from mmfs.store.tables import Commit, DataFile, ShardState, Tables

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
