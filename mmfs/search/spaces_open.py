"""Which build answers a query: the space of the model that the query is encoded with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmfs.errors import SearchError
from mmfs.search.manifest import Manifest, manifest_mark, read_manifest, spaces_of
from mmfs.search.pointer import read_published
from mmfs.search.port import Engine, Index
from mmfs.search.spaces import vector_column

if TYPE_CHECKING:
    from mmfs.store import Store


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

    def get(self, table: str, *, fingerprint: str | None, model: str | None) -> OpenSpace:
        """The published build of a table's embeddings.

        Args:
            fingerprint: Of the model that encodes the query; None: any model will do.
            model: Its name, for messages.

        Raises:
            SearchError: There is no index yet, or only of other models.
        """
        names = spaces_of(self._store.objects, table)
        wanted = f"{table}-{fingerprint[:12]}" if fingerprint is not None else None
        if wanted in names and self._engine.published(wanted).current is not None:
            return self._current(wanted)  # whatever became of the spaces of other models
        there = {name: build for name in names if (build := self._engine.published(name).current) is not None}
        if not there:
            if table in self._store.tables.names():
                vector_column(self._store.tables.spec(table))  # says so when it is no embedding table
            raise SearchError(
                f"there is no index of {table} yet", mend="materialize qdrant_index (`mmfs materialize qdrant_index`)"
            )
        if fingerprint is not None:
            raise self._other_model(table, fingerprint, model, there)
        return self._current(max(there, key=lambda name: there[name]))

    def _current(self, name: str) -> OpenSpace:
        return read_published(self._engine, name, lambda now: self._opened(name, now.current or ""))

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
        manifests = [read_manifest(self._store.objects, name, build) for name, build in there.items()]
        built = ", ".join(f"{found.space.model} ({found.space.fingerprint[:12]})" for found in manifests)
        return SearchError(
            f"the index of {table} was built with {built}, but queries are encoded with {model} ({fingerprint[:12]})",
            mend=f"set the model back, or materialize {table} and qdrant_index with the new one",
        )
