"""The writing stage: computed rows are collected, blobs are encoded by threads and go into packs, and every so often
what there is becomes a durable part."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mmfs.codecs import encode_array16, encode_depth16, encode_jpeg
from mmfs.features.attempt import BadRow, ComputedRows
from mmfs.features.feature import Blob, Feature, Vector
from mmfs.features.parts import ShardParts
from mmfs.features.status import Work
from mmfs.ids import parse_key
from mmfs.schemas import BLOB_COLUMNS, TableSpec, VectorType
from mmfs.store.objects import Objects
from mmfs.store.packs import PackWriter

_ENCODERS: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "jpeg": ("jpg", encode_jpeg),
    "depth16": ("depth16", encode_depth16),
    "array16": ("array16", encode_array16),
}
#: Blobs being encoded before the oldest is waited for.
_ENCODING = 64


@dataclass(frozen=True)
class PartLimits:
    """When what was computed becomes a part: after so many bytes, or so many seconds."""

    size_bytes: int = 64 << 20
    seconds: float = 60.0


class ShardResults:
    """Collects the rows of a shard, computed or not. Use as a context manager.

    Args:
        spec: The feature's table.
        parts: Where parts are kept.
        pool: Threads that encode.
    """

    def __init__(
        self,
        feature: Feature,
        spec: TableSpec,
        work: Work,
        objects: Objects,
        parts: ShardParts,
        limits: PartLimits,
        pool: Executor,
    ) -> None:
        self._outputs = feature.outputs
        self._spec = spec
        self._work = work
        self._objects = objects
        self._parts = parts
        self._limits = limits
        self._pool = pool
        self._encoding: deque[tuple[str, Future[bytes]]] = deque()
        self._finished: list[pa.Table] = []
        self.bad: list[BadRow] = []
        #: Rows that came out.
        self.rows = 0
        self.blob_bytes = 0
        self._begin_part()

    def __enter__(self) -> ShardResults:
        return self

    def __exit__(self, *_: object) -> None:
        # Encoders may still be at work when a run fails; what they made is dropped with the pack.
        for _member, encoded in self._encoding:
            encoded.cancel()
        self._packs.__exit__(None, None, None)

    def give_up(self, bad: list[BadRow]) -> None:
        """Take rows that cannot be computed."""
        self._part_bad += bad
        self.bad += bad

    def add(self, good: list[ComputedRows], bad: list[BadRow]) -> None:
        """Take a whole batch; encoding goes on behind the caller's back."""
        for rows in good:
            self._add(rows)
        self.give_up(bad)
        is_due = time.monotonic() - self._began >= self._limits.seconds or self._size >= self._limits.size_bytes
        if is_due and self._positions:
            table = self._close_part()
            self._parts.write(table, self._part_bad, self._work.upstream, self._work.fingerprints)
            self._begin_part()

    def table(self) -> pa.Table:
        """All rows, with packs published."""
        self._close_part()
        return pa.concat_tables(self._finished)

    def _begin_part(self) -> None:
        self._packs = PackWriter(self._objects, self._spec.name, self._work.status.shard)
        self._columns: dict[str, list[Any]] = {name: [] for name in self._outputs}
        self._positions: list[int] = []
        self._part_bad: list[BadRow] = []
        self._size = 0
        self._began = time.monotonic()

    def _close_part(self) -> pa.Table:
        self._drain(0)
        chosen = pa.array(self._positions, pa.int64())
        table = self._work.upstream.keys.take(chosen)
        for name, output in self._outputs.items():
            if not isinstance(output, Blob):
                table = table.append_column(name, self._array(name))
        refs = self._packs.finish()
        if self._spec.blob:
            for column in BLOB_COLUMNS:
                table = table.append_column(
                    column.name, pa.array([getattr(ref, column.name) for ref in refs], column.type)
                )
        table = table.append_column("fingerprint", self._work.fingerprints.take(chosen))
        self.blob_bytes += sum(ref.length for ref in refs)
        self._finished.append(table)
        return table

    def _add(self, rows: ComputedRows) -> None:
        self._positions += rows.positions
        self.rows += len(rows.positions)
        for name, output in self._outputs.items():
            column = rows.columns[name]
            if isinstance(output, Blob):
                suffix, encode = _ENCODERS[output.codec]
                for position, array in zip(rows.positions, column, strict=True):
                    media_id, index = parse_key(self._work.upstream.key_strings[position].as_py())
                    member = f"{media_id}.{suffix}" if index is None else f"{media_id}_{index:06d}.{suffix}"
                    self._encoding.append((member, self._pool.submit(encode, array)))
            else:
                self._columns[name].append(column)
                self._size += column.nbytes if isinstance(column, np.ndarray) else sum(map(len, column))
        self._drain(_ENCODING)

    def _drain(self, keep: int) -> None:
        while len(self._encoding) > keep:
            member, encoded = self._encoding.popleft()
            data = encoded.result()
            self._packs.add(member, data)
            self._size += len(data)

    def _array(self, name: str) -> pa.Array:
        output, parts = self._outputs[name], self._columns[name]
        if isinstance(output, Vector):
            flat = np.concatenate(parts).reshape(-1) if parts else np.empty(0, output.dtype)
            kind = VectorType(output.dim, output.dtype).arrow
            return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), type=kind)
        kind = self._spec.column(name).type
        if parts and isinstance(parts[0], np.ndarray):
            return pa.array(np.concatenate(parts)).cast(kind)
        return pa.array([value for part in parts for value in part], kind)
