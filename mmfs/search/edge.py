"""The embedded engine: all that knows `qdrant_edge`.

A build is a directory of its own, written by a child process (`edge_process.py`) because the library holds the GIL
while it works. Builds have no write-ahead log: such a directory has no lock either, so many processes may read it;
it is never written again once it is finished, and an unfinished one is thrown away, never repaired.
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.errors import MissingExtraError, SearchError
from mmfs.search.conditions import AllOf, AnyOf, Condition, Equals, Ids, Missing, OneOf, Range, Without
from mmfs.search.payload import payload_indexes, point_rows
from mmfs.search.port import (
    BUILD_ANEW,
    INDEX,
    MEDIA_ID,
    ROW_HASH,
    SHARD,
    DamagedBuildError,
    Hit,
    Kind,
    SpaceSpec,
    Stored,
)
from mmfs.search.refused import REFUSED, refused

_PAGE = 5000
_UPSERT_ROWS = 1000
#: Each payload index costs dozens of fsyncs; below this many points, filters read the payloads in milliseconds.
_INDEXED_FROM = 5000
#: What mends damage that shows when points are read: a run looks for it no more than opening does.
_FIND_DAMAGE = "run `mmfs verify --deep`, which says what to delete before `mmfs materialize qdrant_index --all`"
#: How the library's errors end whose reason is the system's.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_SCHEMAS: dict[Kind, str] = {"text": "Keyword", "integer": "Integer", "truth": "Integer", "number": "Float"}


class EdgeIndex:
    """A finished build directory, to read. The library holds the GIL in every call, so threads may share it.

    Raises:
        DamagedBuildError: It is damaged. Opening does not look at every byte: reading may tell, too.
        SearchError: The system refuses to open it: too little memory, too many files, no permission.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._qe = _edge()
        with _told(directory, "opened", BUILD_ANEW):
            self._shard = self._qe.EdgeShard.load(str(directory))

    def query(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        *,
        condition: Condition | None = None,
        exact: bool = False,
        with_vectors: bool = False,
    ) -> list[Hit]:
        qe = self._qe
        request = qe.QueryRequest(
            limit=k,
            query=qe.Query.Nearest(vector.tolist()),
            filter=edge_filter(condition),
            params=qe.SearchParams(exact=True) if exact else None,
            with_payload=True,  # whole payloads come faster than chosen keys
            with_vector=with_vectors,
        )
        hits = []
        for point in self._ask("query", request):
            payload = point.payload  # the library makes a new dictionary at each access
            found = Hit(point.id, point.score, payload[MEDIA_ID], payload.get(INDEX), payload[SHARD])
            if with_vectors:
                found.vector = np.asarray(point.vector, np.float32)
            hits.append(found)
        return hits

    def vectors(self, ids: Sequence[UUID]) -> dict[UUID, npt.NDArray[np.float32]]:
        records = self._ask("retrieve", list(ids), with_payload=False, with_vector=True)
        return {record.id: np.asarray(record.vector, np.float32) for record in records}

    def scroll(self, *, shard: str | None = None) -> Iterator[Stored]:
        chosen = edge_filter(Equals(SHARD, shard) if shard is not None else None)
        for record in self._records(chosen):
            payload = record.payload
            yield Stored(record.id, payload[SHARD], payload[ROW_HASH])

    def count(self, condition: Condition | None = None) -> int:
        return int(self._ask("count", self._qe.CountRequest(exact=True, filter=edge_filter(condition))))

    def estimate(self, condition: Condition) -> int:
        return int(self._ask("count", self._qe.CountRequest(exact=False, filter=edge_filter(condition))))

    def facet(self, key: str, *, limit: int, condition: Condition | None = None) -> dict[Any, int]:
        chosen = edge_filter(condition)
        if key in self._ask("info").payload_schema:
            found = self._ask("facet", self._qe.FacetRequest(key, limit=limit, exact=True, filter=chosen)).hits
            return {hit.value: hit.count for hit in found}
        found = Counter(record.payload.get(key) for record in self._records(chosen))
        found.pop(None, None)
        return dict(found.most_common(limit))

    def close(self) -> None:
        self._shard.close()

    def _ask(self, method: str, /, *arguments: Any, **options: Any) -> Any:
        """One call of the library."""
        with _told(self._directory, "read", _FIND_DAMAGE):
            return getattr(self._shard, method)(*arguments, **options)

    def _records(self, chosen: Any) -> Iterator[Any]:
        offset = None
        while True:
            request = self._qe.ScrollRequest(
                offset=offset, limit=_PAGE, filter=chosen, with_payload=True, with_vector=False
            )
            records, offset = self._ask("scroll", request)
            yield from records
            if offset is None:
                return


class EdgeWriter:
    """A build directory in the making; lives in the child process."""

    def __init__(self, directory: Path, space: SpaceSpec, *, fresh: bool) -> None:
        qe = _edge()
        self._qe = qe
        self._space = space
        if not fresh:
            self._shard = qe.EdgeShard.load(str(directory))
            return
        self._shard = qe.EdgeShard.create(
            str(directory),
            qe.EdgeConfig(
                vectors=qe.EdgeVectorParams(
                    size=space.dim, distance=qe.Distance.Cosine, datatype=qe.VectorStorageDatatype.Float16
                ),
                hnsw_config=qe.HnswIndexConfig(m=16, ef_construct=128, full_scan_threshold=10_000),
                optimizers=qe.EdgeOptimizersConfig(default_segment_number=1),
                wal_enabled=False,
            ),
        )

    def upsert(self, points: pa.RecordBatch) -> None:
        qe = self._qe
        for start in range(0, points.num_rows, _UPSERT_ROWS):
            rows = point_rows(points.slice(start, _UPSERT_ROWS))
            written = [qe.Point(point, vector.tolist(), payload) for point, vector, payload in rows]
            self._shard.update(qe.UpdateOperation.upsert_points(written))

    def delete(self, ids: Sequence[UUID]) -> None:
        for start in range(0, len(ids), _PAGE):
            self._shard.update(self._qe.UpdateOperation.delete_points(list(ids[start : start + _PAGE])))

    def seal(self) -> None:
        """Index, write everything out, and let go of the directory."""
        found = self._shard.info()
        if found.points_count >= _INDEXED_FROM:
            for key, kind in payload_indexes(self._space).items():
                if key not in found.payload_schema:
                    schema = getattr(self._qe.PayloadSchemaType, _SCHEMAS[kind])
                    self._shard.update(self._qe.UpdateOperation.create_field_index(key, schema))
        self._shard.optimize()
        self.flush()
        self._shard.close()

    def flush(self) -> None:
        """Write out what is only in memory."""
        self._shard.flush()


@contextmanager
def _told(directory: Path, what: str, mend: str) -> Iterator[None]:
    """Let the library's errors within the block say of which build they are, and what mends it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are no Exceptions
        raise _failure(error, directory, what, mend) from error


def _failure(error: BaseException, directory: Path, what: str, mend: str) -> SearchError:
    number = error.errno if isinstance(error, OSError) else errno.ENOMEM if isinstance(error, MemoryError) else None
    if number is None and (told := _OS_ERROR.findall(str(error))):
        number = int(told[-1])
    if number in REFUSED:
        return refused(os.strerror(number), where=str(directory))
    return DamagedBuildError(f"the index build cannot be {what}: {error}", where=str(directory), mend=mend)


def edge_filter(condition: Condition | None) -> Any:
    """The condition as a filter of this engine; None for none."""
    if condition is None:
        return None
    qe = _edge()
    match condition:
        case AllOf(items):
            return qe.Filter(must=[_clause(item) for item in items])
        case AnyOf(items) if items:
            return qe.Filter(should=[_clause(item) for item in items])
        case Without(item):
            return qe.Filter(must_not=[_clause(item)])
    return qe.Filter(must=[_clause(condition)])


def _clause(condition: Condition) -> Any:
    qe = _edge()
    match condition:
        case Equals(key, value):
            return qe.FieldCondition(key, match=qe.MatchValue(value))
        case OneOf(key, values):
            return qe.FieldCondition(key, match=qe.MatchAny(list(values)))
        case Range(key, gte, gt, lte, lt):
            return qe.FieldCondition(key, range=qe.RangeFloat(gte=gte, gt=gt, lte=lte, lt=lt))
        case Missing(key):
            return qe.IsEmptyCondition(key)
        case Ids(ids):
            return qe.HasIdCondition(set(ids))
        case AnyOf(()):
            return qe.HasIdCondition(set())
    return edge_filter(condition)


def _edge() -> Any:
    try:
        import qdrant_edge
    except ImportError as error:
        raise MissingExtraError(
            "qdrant-edge-py is not installed", where="the embedded index", mend="pip install 'mmfs[search]'"
        ) from error
    return qdrant_edge
