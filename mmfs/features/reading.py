"""The reading stage: blobs are read, decoded and prepared by threads, ahead of the model, in a fixed order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

from mmfs.features.attempt import BadRow, failure_text
from mmfs.features.batching import PreparedRow
from mmfs.features.feature import Feature
from mmfs.features.inputs import Positions, Upstream
from mmfs.media.info import Reason

if TYPE_CHECKING:
    from mmfs.store import Store

#: Rows a job; small enough to share work evenly, large enough to coalesce reads.
_CHUNK_ROWS = 16


def prepared_rows(
    store: Store, feature: Feature, upstream: Upstream, positions: Positions, pool: Executor, *, ahead: int
) -> Iterator[PreparedRow | BadRow]:
    """Rows ready to be batched, in the order of ``positions``; a row that cannot be prepared comes as a `BadRow`.

    Args:
        pool: Threads that read, decode and prepare.
        ahead: Jobs under way or waiting to be taken: the bound of the queue.

    Raises:
        IntegrityError: Stored bytes are damaged.
    """

    def job(chunk: Positions) -> list[PreparedRow | BadRow]:
        rows: list[PreparedRow | BadRow] = []
        for position, values in zip(chunk.tolist(), upstream.read(store, chunk), strict=True):
            try:
                rows.append(PreparedRow(position, feature.prepare(values)))
            except Exception as error:
                rows.append(BadRow(position, Reason.MODEL_FAILED, failure_text(error)))
        return rows

    jobs: deque[Future[list[PreparedRow | BadRow]]] = deque()
    try:
        for start in range(0, len(positions), _CHUNK_ROWS):
            jobs.append(pool.submit(job, positions[start : start + _CHUNK_ROWS]))
            if len(jobs) >= ahead:
                yield from jobs.popleft().result()
        while jobs:
            yield from jobs.popleft().result()
    finally:
        for waiting in jobs:
            waiting.cancel()
