"""The reading stage: rows in a fixed order, decoded ahead of the model, in groups of one shape."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import IntegrityError, MmfsError, StoreError
from mmfs.features.attempt import BadRow
from mmfs.features.batching import Batch, RowBatch, is_tensor
from mmfs.features.decoding.decoders import decode
from mmfs.features.inputs import Positions, Upstream
from mmfs.media.info import Reason
from mmfs.store.packs import BlobRef, read_blobs

if TYPE_CHECKING:
    from mmfs.features.decoding.pool import DecodePool
    from mmfs.features.decoding.process import Task
    from mmfs.store import Store

#: Rows of a task: few enough to share work evenly, many enough to read near ranges together.
_TASK_ROWS = 32

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Chunk:
    """Some neighbouring rows. Tensors may lie in shared memory: they hold until the next chunk is taken.

    Attributes:
        groups: Rows of one raw shape each, on the CPU.
        bad: Rows that cannot be decoded.
        waiting: Chunks that were decoded already when this one was taken.
    """

    groups: list[RowBatch]
    bad: list[BadRow]
    waiting: int = 0


def read_chunks(
    store: Store, upstream: Upstream, positions: Positions, pool: DecodePool | None, *, plain_rows: int
) -> Iterator[Chunk]:
    """Rows in the order of ``positions``. What comes out does not depend on the speed of anything.

    Args:
        pool: Decodes inputs that lie in packs; None where there are none.
        plain_rows: Rows of a chunk where nothing is decoded.

    Raises:
        IntegrityError: Stored bytes are damaged.
        StoreError: They cannot be read.
        FeatureError: Decoding processes do not start.
    """
    if pool is None:
        for start in range(0, len(positions), plain_rows):
            some = positions[start : start + plain_rows]
            yield Chunk([RowBatch(some.tolist(), upstream.plain(some))], [])
        return
    reader, start, rows = _Reader(store, upstream, pool), 0, _TASK_ROWS
    pending: deque[_Asked] = deque()
    while pending or start < len(positions):
        while start < len(positions) and len(pending) < pool.depth:
            pending.append(reader.ask(positions[start : start + rows]))
            start += rows
        asked = pending.popleft()
        waiting = sum(other.task.answer is not None for other in pending)
        chunk, done = reader.answer(asked)
        yield Chunk(chunk.groups, chunk.bad, waiting)
        pool.release(asked.task)
        if done == len(asked.positions):
            rows = min(_TASK_ROWS, 2 * rows)
        else:
            # Large arrays: tasks to come are no larger than what had room.
            rows = max(1, min(rows, done))
            pending.appendleft(reader.ask(asked.positions[done:], first=True))


@dataclass(frozen=True)
class _Asked:
    """A task with what it is for: for each input, which blob belongs to each row."""

    positions: Positions
    blobs: list[tuple[str, BlobRef]]
    places: dict[str, list[int]]
    task: Task


class _Reader:
    def __init__(self, store: Store, upstream: Upstream, pool: DecodePool) -> None:
        self._store = store
        self._upstream = upstream
        self._pool = pool
        self._codecs = upstream.blobs

    def ask(self, positions: Positions, *, first: bool = False) -> _Asked:
        """Have the blobs of some rows decoded, each once, however many rows need it."""
        number_of: dict[tuple[str, BlobRef], int] = {}
        refs = {name: self._upstream.refs(name, positions) for name in self._codecs}
        places: dict[str, list[int]] = {name: [] for name in self._codecs}
        for row in range(len(positions)):  # row by row, so that a task that is done in part has whole rows
            for name, codec in self._codecs.items():
                places[name].append(number_of.setdefault((codec, refs[name][row]), len(number_of)))
        blobs = list(number_of)
        told = [(codec, ref.pack, ref.offset, ref.length, ref.crc32) for codec, ref in blobs]
        return _Asked(positions, blobs, places, self._pool.submit(self._store.url, told, first=first))

    def answer(self, asked: _Asked) -> tuple[Chunk, int]:
        """The rows of a task as far as there was room for them, and how many these are."""
        arrays = self._arrays(self._pool.result(asked.task))
        needs = list(zip(*asked.places.values(), strict=True))
        done = next((row for row, blobs in enumerate(needs) if max(blobs) >= len(arrays)), len(needs))
        if done == 0:
            # Not even one row has room: it takes the long way, in this process.
            for number in range(len(arrays), max(needs[0]) + 1):
                codec, ref = asked.blobs[number]
                arrays.append(_decoded_here(self._store, codec, ref))
            done = 1
        bad: dict[int, BadRow] = {}
        for row, blobs in enumerate(needs[:done]):
            for number in blobs:
                array = arrays[number]
                if isinstance(array, tuple):
                    bad[row] = BadRow(int(asked.positions[row]), *array)
        good = [row for row in range(done) if row not in bad]
        return Chunk(list(self._groups(asked, arrays, good)), list(bad.values())), done

    def _arrays(self, task: Task) -> list[Array | tuple[Reason, str]]:
        """Every blob that was done: its array in the ring, or why it is given up.

        Raises:
            StoreError: The store cannot be read, or (IntegrityError) is damaged.
        """
        answer = task.answer or {}
        if "error" in answer:
            what, mend, where = answer["error"]
            kind: type[MmfsError] = IntegrityError if answer["damaged"] else StoreError
            raise kind(what, mend=mend, where=where)
        found: list[Array | tuple[Reason, str]] = []
        for number, said in enumerate(answer["arrays"]):
            if said is None:
                is_late, how = task.failed[number]
                found.append((Reason.TIMEOUT if is_late else Reason.CRASHED, how))
            elif len(said) == 1:
                found.append((Reason.CORRUPT, said[0]))
            else:
                assert task.region is not None
                offset, dtype, shape = said
                found.append(self._pool.ring.array(task.region, offset, dtype, tuple(shape)))
        return found

    def _groups(self, asked: _Asked, arrays: Sequence[Any], rows: list[int]) -> Iterator[RowBatch]:
        by_shape: dict[Any, list[int]] = defaultdict(list)
        for row in rows:
            by_shape[tuple(arrays[numbers[row]].shape for numbers in asked.places.values())].append(row)
        plain = self._upstream.plain(asked.positions) if rows else {}
        for group in by_shape.values():
            values = _chosen(plain, group)
            for name, numbers in asked.places.items():
                values[name] = _tensor([arrays[numbers[row]] for row in group], self._codecs[name])
            yield RowBatch(asked.positions[group].tolist(), values)


def _decoded_here(store: Store, codec: str, ref: BlobRef) -> Array | tuple[Reason, str]:
    [data] = read_blobs(store.objects, [ref])
    try:
        return decode(codec, data)
    except Exception as error:
        return Reason.CORRUPT, f"{type(error).__name__}: {error}"[:500]


def _chosen(plain: Batch, rows: list[int]) -> Batch:
    return {name: value[rows] if is_tensor(value) else [value[row] for row in rows] for name, value in plain.items()}


def _tensor(arrays: Sequence[Array], codec: str) -> Any:
    """Arrays of one shape as a tensor ``[b, ...]``; without a copy where they lie evenly spaced in memory."""
    import torch

    starts = [array.__array_interface__["data"][0] for array in arrays]
    steps = {later - earlier for earlier, later in pairwise(starts)}
    step = steps.pop() if len(steps) == 1 else 0
    first = arrays[0]
    if step >= first.nbytes and first.base is not None:
        strides = (step, *first.strides)
        batch = np.lib.stride_tricks.as_strided(first, (len(arrays), *first.shape), strides)
    else:
        batch = np.stack(arrays) if len(arrays) > 1 else first[None]
    tensor = torch.from_numpy(batch)
    # [b, H, W, 3] in memory is [b, 3, H, W] with channels last, as convolutions and resizing like it.
    return tensor.permute(0, 3, 1, 2) if codec == "jpeg" else tensor
