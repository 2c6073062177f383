"""What a shard of an asset was computed from, as one digest: it decides whether the shard is fresh."""

from collections.abc import Sequence

from mmfs.ids import digest
from mmfs.store import Store

#: Keys of materialization metadata that later plans compare with the store.
INPUTS = "mmfs/inputs"
CONTENT = "mmfs/content"


def inputs_digest(store: Store, reads: Sequence[str], shard: str) -> str:
    """Digest of the shard's rows in the tables that an asset reads. Reads footers, no rows."""
    return digest(*(f"{table}={content_digest(store, table, shard)}" for table in sorted(reads)))


def content_digest(store: Store, table: str, shard: str) -> str:
    """Content digest of a shard; the empty string for a table that does not exist yet."""
    return store.tables.digest(table, shard) if table in store.tables.names() else ""
