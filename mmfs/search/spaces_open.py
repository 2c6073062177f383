"""Which build answers a query: the space of the model that the query is encoded with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mmfs.errors import SearchError, StoreError
from mmfs.search.checks import spaces_in_use
from mmfs.search.manifest import Manifest, manifest_mark, read_manifest, spaces_of
from mmfs.search.pointer import read_published
from mmfs.search.port import DAMAGED, DamagedBuildError, Engine, Index, Published
from mmfs.search.spaces import vector_column

if TYPE_CHECKING:
    from mmfs.store import Store

Read = TypeVar("Read")


@dataclass(frozen=True)
class OpenSpace:
    """A published build, opened; ``mark`` tells whether its manifest is the one on disk."""

    manifest: Manifest
    index: Index
    mark: tuple[int, int] | None


class OpenSpaces:
    """Opens published builds and keeps them open until others are published."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine
        self._open: dict[str, OpenSpace] = {}
        self._used: dict[str, tuple[int, frozenset[str]]] = {}

    def get(self, table: str, *, fingerprint: str | None, model: str | None) -> OpenSpace:
        """The published build of a table's embeddings.

        What is damaged of a model that computed no row of the table any more is passed over: no run mends it.

        Args:
            fingerprint: Of the model that encodes the query; None: any model will do, the newest build answers.
            model: Its name, for messages.

        Raises:
            SearchError: There is no index yet, or only of other models.
            DamagedBuildError, MissingObjectError, IntegrityError: It is damaged.
        """
        names = spaces_of(self._store.objects, table)
        wanted = f"{table}-{fingerprint[:12]}" if fingerprint is not None else None
        if wanted in names and (found := self._answering(table, wanted)) is not None:
            return found  # whatever became of the spaces of other models
        others = [name for name in names if name != wanted]
        there = {name: build for name in others if (build := self._build_of(table, name)) is not None}
        if there and fingerprint is not None:
            raise self._other_model(table, fingerprint, model, there)
        for name in sorted(there, key=lambda name: there[name], reverse=True):
            if (found := self._answering(table, name)) is not None:
                return found
        if table in self._store.tables.names():
            vector_column(self._store.tables.spec(table))  # says so when it is no embedding table
        raise SearchError(
            f"there is no index of {table} yet", mend="materialize qdrant_index (`mmfs materialize qdrant_index`)"
        )

    def _build_of(self, table: str, name: str) -> str | None:
        """Id of the build that answers in a space; None where there is none, or only damage that no run mends."""
        return self._unless_outdated(table, name, lambda: self._engine.published(name).current)

    def _answering(self, table: str, name: str) -> OpenSpace | None:
        """The build that answers in a space, opened; None where there is none, or only damage that no run mends."""

        def read(now: Published) -> OpenSpace | None:
            return self._opened(name, now.current) if now.current is not None else None

        return self._unless_outdated(table, name, lambda: read_published(self._engine, name, read))

    def _unless_outdated(self, table: str, name: str, read: Callable[[], Read | None]) -> Read | None:
        """What ``read`` finds; None where it finds damage in the space of a model that computed no row of the table."""
        try:
            return read()
        except DAMAGED as damage:
            try:
                if name not in self._in_use(table):
                    return None
            except StoreError:
                pass  # of what, nobody can tell
            raise damage

    def _in_use(self, table: str) -> frozenset[str]:
        """Spaces of the models that computed a table's rows. Reads a footer a shard, once a version of the table."""
        if table not in self._store.tables:
            return frozenset()
        version = self._store.tables.version(table)
        if table not in self._used or self._used[table][0] != version:
            self._used[table] = (version, spaces_in_use(self._store, table))
        return self._used[table][1]

    def _opened(self, name: str, build: str) -> OpenSpace:
        objects, kept = self._store.objects, self._open.get(name)
        mark = manifest_mark(objects, name, build)
        if kept is not None and kept.manifest.build_id == build and mark is not None and mark == kept.mark:
            return kept
        # The description of a build may learn of newer files that hold the same points; the points never change.
        manifest = read_manifest(objects, name, build)
        same = kept is not None and kept.manifest.build_id == build
        index = kept.index if kept is not None and same else self._engine.open(manifest.space, build)
        self._open[name] = OpenSpace(manifest, index, mark)
        return self._open[name]

    def _other_model(self, table: str, fingerprint: str, model: str | None, there: dict[str, str]) -> SearchError:
        built = ", ".join(self._model(name, build) for name, build in there.items())
        return SearchError(
            f"the index of {table} was built with {built}, but queries are encoded with {model} ({fingerprint[:12]})",
            mend=f"set the model back, or materialize {table} and qdrant_index with the new one",
        )

    def _model(self, name: str, build: str) -> str:
        """The model of a space, for messages. The space's own name tells its fingerprint."""
        try:
            model = read_manifest(self._store.objects, name, build).space.model
        except DamagedBuildError:
            model = "a model whose name is lost"
        return f"{model} ({name.rpartition('-')[2]})"
