"""Content digests: equal for equal content, whatever the time of writing and the names of packs."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.store.arrays import as_bools, as_numpy

#: Where the bytes lie is no content; their CRC-32 and length are.
_PLACES = frozenset({"pack", "offset", "shard"})


def content_digest(rows: pa.Table) -> str:
    """SHA-256 (hex) over stored rows in key order, without ``*_at_us``, ``pack``, ``offset`` and ``shard``.

    Chunks, slices and what lies under nulls do not matter.
    """
    state = hashlib.sha256(f"rows {rows.num_rows}".encode())
    for name in sorted(rows.column_names):
        if name in _PLACES or name == "at_us" or name.endswith("_at_us"):
            continue
        column = rows.column(name)
        state.update(f"|{name} {column.type} ".encode())
        state.update(_with_nulls(column) if column.null_count else _flat(column))
    return state.hexdigest()


def combined_digest(shards: dict[str, str]) -> str:
    """The digest of a table from those of its shards."""
    state = hashlib.sha256()
    for shard in sorted(shards):
        state.update(f"{len(shard)}:{shard}={shards[shard]}\n".encode())
    return state.hexdigest()


def _with_nulls(column: pa.ChunkedArray) -> bytes:
    valid = as_bools(column.is_valid().combine_chunks())
    state = hashlib.sha256(b"nulls" + np.packbits(valid).tobytes())
    state.update(_flat(column.drop_null()))
    return state.digest()


def _flat(column: pa.ChunkedArray) -> bytes:
    """The values alone, one after the other; texts and bytes behind their lengths."""
    state = hashlib.sha256()
    chunks = [chunk for chunk in column.chunks if len(chunk)]
    for chunk in chunks:
        if pa.types.is_string(chunk.type) or pa.types.is_binary(chunk.type):
            state.update(as_numpy(pc.binary_length(chunk)).astype("<i8").tobytes())
    for chunk in chunks:
        if pa.types.is_string(chunk.type) or pa.types.is_binary(chunk.type):
            offsets = np.frombuffer(chunk.buffers()[1], np.int32, len(chunk) + 1, chunk.offset * 4)
            data = chunk.buffers()[2]
            if data is not None:
                state.update(data.slice(int(offsets[0]), int(offsets[-1] - offsets[0])))
        else:
            state.update((as_bools(chunk) if pa.types.is_boolean(chunk.type) else as_numpy(chunk)).data)
    return state.digest()
