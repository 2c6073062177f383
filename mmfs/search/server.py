"""The server engine: all that knows `qdrant_client`.

A build is a collection of its own; one change of aliases publishes it. Not yet run against a real Qdrant server here:
the tests use the client's in-memory model, and a real server where ``MMFS_TEST_QDRANT_URL`` names one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.errors import SearchError
from mmfs.search.conditions import AllOf, AnyOf, Condition, Equals, Ids, Missing, OneOf, Range, Without
from mmfs.search.inspect_build import inspect_build
from mmfs.search.payload import point_rows
from mmfs.search.port import (
    INDEX,
    MEDIA_ID,
    ROW_HASH,
    SHARD,
    BuildStats,
    Hit,
    Index,
    IndexBuild,
    Published,
    SpaceSpec,
    Stored,
    no_previous,
)
from mmfs.search.retry import Retry
from mmfs.search.server_layout import client_package, collection_config, payload_schemas, search_params
from mmfs.settings import QdrantLayout

_PAGE = 1000
_UPSERT_ROWS = 256
_CALL_S = 30
_KEYS = [MEDIA_ID, INDEX, SHARD]
#: How long the server may take to index a build before it is given up.
_INDEXING_S = 6 * 3600.0
_POLL_S = 1.0


class ServerEngine:
    """Collections ``mmfs-<namespace>-<space>-<build id>`` of a Qdrant server, and aliases for the published ones.

    Args:
        client: A `qdrant_client.QdrantClient`.
        namespace: Keeps the stores that share a server apart.
        where: The server, for messages.
        retry: How long to insist when the server is away.
        layout: What the server keeps in memory of builds that are begun.
    """

    name = "server"

    def __init__(
        self,
        client: Any,
        namespace: str,
        *,
        where: str = "Qdrant",
        retry: Retry | None = None,
        layout: QdrantLayout | None = None,
    ) -> None:
        self.client = client
        self.layout = layout or QdrantLayout()
        self._prefix = f"mmfs-{namespace}-"
        self._where = where
        self._retry = retry or Retry()

    @classmethod
    def connect(
        cls,
        url: str,
        api_key: str | None,
        *,
        namespace: str,
        retry: Retry | None = None,
        layout: QdrantLayout | None = None,
    ) -> ServerEngine:
        """The engine behind a URL; nothing is sent yet.

        Raises:
            SearchError: The URL is none.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SearchError(
                f"{url!r} is no URL of a Qdrant server", where="MMFS_QDRANT_URL", mend="write http://host:6333"
            )
        client = client_package().QdrantClient(url=url, api_key=api_key, timeout=_CALL_S, check_compatibility=False)
        where = f"{parts.scheme}://{parts.hostname}:{parts.port or 6333}"
        return cls(client, namespace, where=where, retry=retry, layout=layout)

    def call(self, method: str, /, **arguments: Any) -> Any:
        """One call of the client, tried again while the server is away. Every call made here may be repeated."""
        return self._retry(lambda: getattr(self.client, method)(**arguments), where=self._where)

    def published(self, space: str) -> Published:
        aliases = {found.alias_name: found.collection_name for found in self.call("get_aliases").aliases}
        prefix = self.collection(space, "")
        current, previous = (aliases.get(name) for name in self._aliases(space))
        return Published(*(name.removeprefix(prefix) if name else None for name in (current, previous)))

    def begin(self, space: SpaceSpec, build_id: str, *, base: str | None) -> IndexBuild:
        name = self.collection(space.name, build_id)
        self.call("delete_collection", collection_name=name)  # left by a builder that died
        described = collection_config(space, self.layout)

        def create() -> None:
            if not self.client.collection_exists(name):  # made already where a reply was lost
                self.client.create_collection(name, **described)

        self._retry(create, where=self._where)
        for key, schema in payload_schemas(space, self.layout).items():
            self.call("create_payload_index", collection_name=name, field_name=key, field_schema=schema)
        build = _ServerBuild(self, space, build_id)
        if base is not None:
            build.copy(self.collection(space.name, base))
        return build

    def open(self, space: SpaceSpec, build_id: str) -> Index:
        return ServerIndex(self, self.collection(space.name, build_id))

    def check(self, space: SpaceSpec, build_id: str, *, deep: bool) -> None:
        """An alias goes with its collection: what is published is there. Its bytes are the server's own."""

    def publish(self, space: str, build_id: str, *, mends: bool = False) -> None:
        """Let another build answer; ``mends``: the one that answers is damaged."""
        models = client_package().models
        now = self.published(space)
        before = now.followed_by(build_id, mends=mends).previous
        current_alias, previous_alias = self._aliases(space)
        operations: list[Any] = []
        for alias, old, new in ((current_alias, now.current, build_id), (previous_alias, now.previous, before)):
            if old is not None:
                operations.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
            if new is not None:
                create = models.CreateAlias(collection_name=self.collection(space, new), alias_name=alias)
                operations.append(models.CreateAliasOperation(create_alias=create))
        self.call("update_collection_aliases", change_aliases_operations=operations)

    def rollback(self, space: str) -> str:
        now = self.published(space)
        if now.previous is None:
            raise no_previous(space, now)
        self.publish(space, now.previous)
        return now.previous

    def builds(self, space: str) -> list[str]:
        prefix = self.collection(space, "")
        names = [found.name for found in self.call("get_collections").collections]
        return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))

    def remove(self, space: str, build_id: str) -> None:
        self.call("delete_collection", collection_name=self.collection(space, build_id))

    def collection(self, space: str, build_id: str) -> str:
        """Name of a build's collection."""
        return f"{self._prefix}{space}-{build_id}"

    def _aliases(self, space: str) -> tuple[str, str]:
        return f"{self._prefix}{space}.current", f"{self._prefix}{space}.previous"


class ServerIndex:
    """A build's collection, to read."""

    def __init__(self, engine: ServerEngine, collection: str) -> None:
        self._engine = engine
        self._collection = collection

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._engine.call(method, collection_name=self._collection, **arguments)

    def query(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        *,
        condition: Condition | None = None,
        exact: bool = False,
        with_vectors: bool = False,
    ) -> list[Hit]:
        found = self._call(
            "query_points",
            query=vector.tolist(),
            limit=k,
            query_filter=server_filter(condition),
            search_params=search_params(self._engine.layout, exact=exact),
            with_payload=_KEYS,
            with_vectors=with_vectors,
        ).points
        return [
            Hit(
                UUID(str(point.id)),
                point.score,
                point.payload[MEDIA_ID],
                point.payload.get(INDEX),
                point.payload[SHARD],
                np.asarray(point.vector, np.float32) if with_vectors else None,
            )
            for point in found
        ]

    def vectors(self, ids: Sequence[UUID]) -> dict[UUID, npt.NDArray[np.float32]]:
        records = self._call("retrieve", ids=[str(point) for point in ids], with_payload=False, with_vectors=True)
        return {UUID(str(record.id)): np.asarray(record.vector, np.float32) for record in records}

    def scroll(self, *, shard: str | None = None) -> Iterator[Stored]:
        condition = Equals(SHARD, shard) if shard is not None else None
        for records in self.pages(with_payload=[SHARD, ROW_HASH], condition=condition):
            for record in records:
                yield Stored(UUID(str(record.id)), record.payload[SHARD], record.payload[ROW_HASH])

    def pages(
        self, *, with_payload: Any, with_vectors: bool = False, condition: Condition | None = None
    ) -> Iterator[Any]:
        """All records, a page at a time."""
        offset = None
        while True:
            records, offset = self._call(
                "scroll",
                scroll_filter=server_filter(condition),
                limit=_PAGE,
                offset=offset,
                with_payload=with_payload,
                with_vectors=with_vectors,
            )
            yield records
            if offset is None:
                return

    def count(self, condition: Condition | None = None) -> int:
        return int(self._call("count", count_filter=server_filter(condition), exact=True).count)

    def estimate(self, condition: Condition) -> int:
        return int(self._call("count", count_filter=server_filter(condition), exact=False).count)

    def facet(self, key: str, *, limit: int, condition: Condition | None = None) -> dict[Any, int]:
        found = self._call("facet", key=key, limit=limit, exact=True, facet_filter=server_filter(condition))
        return {hit.value: hit.count for hit in found.hits}

    def close(self) -> None:
        """Nothing to release: the client is shared."""


class _ServerBuild:
    """One build: a collection that no alias names yet."""

    def __init__(self, engine: ServerEngine, space: SpaceSpec, build_id: str) -> None:
        self._engine, self._space, self._build_id = engine, space, build_id
        self._collection = engine.collection(space.name, build_id)
        self._is_asked = False

    def copy(self, base: str) -> None:
        """Begin with all points of another collection."""
        models = client_package().models
        for records in ServerIndex(self._engine, base).pages(with_payload=True, with_vectors=True):
            points = [models.PointStruct(id=r.id, vector=r.vector, payload=r.payload) for r in records]
            self._upsert(points)

    def upsert(self, points: pa.RecordBatch) -> None:
        models = client_package().models
        for start in range(0, points.num_rows, _UPSERT_ROWS):
            rows = point_rows(points.slice(start, _UPSERT_ROWS))
            self._upsert([models.PointStruct(id=str(i), vector=v.tolist(), payload=p) for i, v, p in rows])

    def delete(self, ids: Sequence[UUID]) -> None:
        for start in range(0, len(ids), _PAGE):
            chosen = [str(point) for point in ids[start : start + _PAGE]]
            self._engine.call("delete", collection_name=self._collection, points_selector=chosen, wait=True)

    def finish(self, probes: pa.RecordBatch | None = None, *, touched: Sequence[str] | None = None) -> BuildStats:
        deadline = time.monotonic() + _INDEXING_S
        while (status := self._status()) != "green":
            if time.monotonic() > deadline:
                raise SearchError(
                    f"the server has not indexed the build within {_INDEXING_S / 3600:g} h (status {status})",
                    where=self._collection,
                    mend="look at the server's log and load, then materialize qdrant_index again",
                )
            time.sleep(_POLL_S)
        # Every point went over the wire, those of the base too, so all of them are read back.
        return inspect_build(ServerIndex(self._engine, self._collection), probes)

    def publish(self, *, mends: bool = False) -> None:
        self._is_asked = True  # a reply may be lost
        self._engine.publish(self._space.name, self._build_id, mends=mends)

    def abandon(self) -> None:
        if not self._is_asked:
            self._engine.remove(self._space.name, self._build_id)

    def _upsert(self, points: list[Any]) -> None:
        if points:
            self._engine.call("upsert", collection_name=self._collection, points=points, wait=True)

    def _status(self) -> str:
        status = self._engine.call("get_collection", collection_name=self._collection).status
        return str(getattr(status, "value", status))


def server_filter(condition: Condition | None) -> Any:
    """The condition as a filter of this engine; None for none."""
    if condition is None:
        return None
    models = client_package().models
    match condition:
        case AllOf(items):
            return models.Filter(must=[_clause(item) for item in items])
        case AnyOf(items) if items:
            return models.Filter(should=[_clause(item) for item in items])
        case Without(item):
            return models.Filter(must_not=[_clause(item)])
    return models.Filter(must=[_clause(condition)])


def _clause(condition: Condition) -> Any:
    models = client_package().models
    match condition:
        case Equals(key, value):
            return models.FieldCondition(key=key, match=models.MatchValue(value=value))
        case OneOf(key, values):
            return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))
        case Range(key, gte, gt, lte, lt):
            return models.FieldCondition(key=key, range=models.Range(gte=gte, gt=gt, lte=lte, lt=lt))
        case Missing(key):
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
        case Ids(ids):
            return models.HasIdCondition(has_id=[str(point) for point in ids])
        case AnyOf(()):
            return models.HasIdCondition(has_id=[])
    return server_filter(condition)
