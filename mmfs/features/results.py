"""The writing stage: computed rows of one shard are collected, blobs are encoded by threads and go into packs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pyarrow as pa

from mmfs.codecs import encode_depth16, encode_jpeg
from mmfs.features.attempt import ComputedRows
from mmfs.features.feature import Blob, Feature, Vector
from mmfs.features.inputs import Upstream
from mmfs.ids import parse_key
from mmfs.schemas import TableSpec, VectorType
from mmfs.store.packs import PackWriter

_ENCODERS: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "jpeg": ("jpg", encode_jpeg),
    "depth16": ("depth16", encode_depth16),
}
#: Blobs being encoded before the oldest is waited for.
_ENCODING = 64


class ShardResults:
    """Collects the computed rows of a shard. Vectors and scalars stay in memory, blobs go into packs as they come.

    Args:
        packs: Where blobs go; nothing is visible before `table`.
        pool: Threads that encode.
    """

    def __init__(self, feature: Feature, upstream: Upstream, packs: PackWriter, pool: Executor) -> None:
        self._outputs = feature.outputs
        self._upstream = upstream
        self._packs = packs
        self._pool = pool
        self._encoding: deque[tuple[str, Future[bytes]]] = deque()
        self._columns: dict[str, list[Any]] = {name: [] for name in self._outputs}
        self.positions: list[int] = []

    def add(self, rows: ComputedRows) -> None:
        """Take one batch; encoding goes on behind the caller's back."""
        self.positions += rows.positions
        for name, output in self._outputs.items():
            if isinstance(output, Blob):
                suffix, encode = _ENCODERS[output.codec]
                for position, array in zip(rows.positions, rows.columns[name], strict=True):
                    media_id, index = parse_key(self._upstream.key_strings[position].as_py())
                    member = f"{media_id}.{suffix}" if index is None else f"{media_id}_{index:06d}.{suffix}"
                    self._encoding.append((member, self._pool.submit(encode, array)))
            else:
                self._columns[name].append(rows.columns[name])
        self._drain(_ENCODING)

    def table(self, spec: TableSpec, fingerprints: pa.Array) -> tuple[pa.Table, int]:
        """All rows, with packs published, and the bytes of their blobs.

        Args:
            spec: The feature's table.
            fingerprints: Today's fingerprint of every upstream row.
        """
        self._drain(0)
        chosen = pa.array(self.positions, pa.int64())
        table = self._upstream.keys.take(chosen)
        for name, output in self._outputs.items():
            if not isinstance(output, Blob):
                table = table.append_column(name, self._array(name, spec))
        refs = self._packs.finish()
        if spec.blob:
            for column in ("pack", "offset", "length", "crc32"):
                values = [getattr(ref, column) for ref in refs]
                table = table.append_column(column, pa.array(values, spec.column(column).type))
        table = table.append_column("fingerprint", fingerprints.take(chosen))
        return table, sum(ref.length for ref in refs)

    def _drain(self, keep: int) -> None:
        while len(self._encoding) > keep:
            member, encoded = self._encoding.popleft()
            self._packs.add(member, encoded.result())

    def _array(self, name: str, spec: TableSpec) -> pa.Array:
        output, parts = self._outputs[name], self._columns[name]
        if isinstance(output, Vector):
            flat = np.concatenate(parts).reshape(-1) if parts else np.empty(0, output.dtype)
            kind = VectorType(output.dim, output.dtype).arrow
            return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), type=kind)
        return pa.array([value for part in parts for value in part], spec.column(name).type)
