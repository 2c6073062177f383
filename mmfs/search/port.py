"""What search needs of a vector engine, in our own words.

Two engines implement it: `edge.py` (embedded, in the store's directory) and `server.py` (a Qdrant server by URL).
Nothing else in the project knows Qdrant.

Life of a build: `Engine.begin` -> `IndexBuild.upsert` / `delete`, any number -> `finish` (sealed, durable, checked;
not yet visible) -> `publish` (visible to everybody in one step; the build before it is kept) or `abandon`. Whatever
dies on the way, the published build goes on answering.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.errors import IntegrityError, MissingObjectError, SearchError
from mmfs.schemas import Grain
from mmfs.search.conditions import Condition

Kind = Literal["text", "integer", "number", "truth"]

#: Payload keys that every point has besides the space's own.
SHARD, ROW_HASH, MEDIA_ID, INDEX = "shard", "row_hash", "media_id", "index"


#: What mends a published build that is damaged: its tables are its only source.
BUILD_ANEW = "run `mmfs materialize qdrant_index --all`, which builds it anew from the tables"


class DamagedBuildError(SearchError):
    """A finished build, or what describes it, cannot be read any more."""

    def __init__(self, what: str, *, where: str, mend: str = BUILD_ANEW) -> None:
        super().__init__(what, where=where, mend=mend)


#: What reading a finished build raises where some of it is gone or damaged.
DAMAGED = (DamagedBuildError, MissingObjectError, IntegrityError)


@dataclass(frozen=True)
class PayloadColumn:
    """A filterable column: where it comes from and what it is.

    Attributes:
        table: Table it is read from.
        column: Its name there.
        kind: text, integer, number, or truth (stored as 0 and 1).
    """

    table: str
    column: str
    kind: Kind

    @property
    def key(self) -> str:
        """Its name in the payload. Engines read dots as paths, hence underscores."""
        return f"{self.table}__{self.column}"


@dataclass(frozen=True)
class SpaceSpec:
    """A searchable embedding column as one model filled it.

    Attributes:
        table: Embedding table.
        fingerprint: Static fingerprint of the feature (model, weights, preprocessing, code).
        model: Name of the model, for messages.
        grain: What a point is about.
        dim: Length of the vectors; distance is cosine.
        payload: Filterable columns.
    """

    table: str
    fingerprint: str
    model: str
    grain: Grain
    dim: int
    payload: tuple[PayloadColumn, ...] = ()

    @property
    def name(self) -> str:
        """One collection for each table and model: ``clip_embeddings-0123456789ab``."""
        return f"{self.table}-{self.fingerprint[:12]}"


@dataclass(slots=True)  # not frozen: that makes ten of them cost a fifth of a small query
class Hit:
    """A point that answers a query.

    Attributes:
        id: UUIDv5 of the store's namespace and the sample key.
        score: Cosine similarity to the query.
        media_id: Media of the sample.
        index: Index of the sample in its media; None at the grain of media.
        shard: Shard of the sample when the index was built.
        vector: float32 [D] of unit length, where asked for.
    """

    id: UUID
    score: float
    media_id: str
    index: int | None
    shard: str
    vector: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Stored:
    """A point without a score, as `Index.scroll` gives it: id, shard and row hash."""

    id: UUID
    shard: str
    row_hash: str


@dataclass(frozen=True)
class ShardDigest:
    """How many points of a shard there are, and the xor of hash(id, row hash) over them, 32 hex characters.

    The digest is None where the points were only counted.
    """

    rows: int
    digest: str | None


@dataclass(frozen=True)
class BuildStats:
    """What a finished build holds, read back from the engine itself.

    Attributes:
        shards: By shard.
        recall: Share of the true 10 nearest that the graph finds, over 100 points of the build (of what was touched
            in it); None when there are none.
        lost_probes: Probes that are not there, or under another vector.
    """

    shards: Mapping[str, ShardDigest]
    recall: float | None = None
    lost_probes: Sequence[UUID] = field(default=())


class Index(Protocol):
    """A finished build, to read. Safe to share between threads."""

    def query(
        self,
        vector: npt.NDArray[np.float32],
        k: int,
        *,
        condition: Condition | None = None,
        exact: bool = False,
        with_vectors: bool = False,
    ) -> list[Hit]:
        """The ``k`` points nearest to ``vector``, float32 [D], best first, among those that meet the condition."""

    def vectors(self, ids: Sequence[UUID]) -> dict[UUID, npt.NDArray[np.float32]]:
        """Vectors, float32 [D] of unit length, of those of the points that exist."""

    def scroll(self, *, shard: str | None = None) -> Iterator[Stored]:
        """All points, in no order."""

    def count(self, condition: Condition | None = None) -> int:
        """How many points meet the condition, exactly."""

    def estimate(self, condition: Condition) -> int:
        """About how many points meet the condition, from what the engine knows of its indexes; never slow."""

    def facet(self, key: str, *, limit: int, condition: Condition | None = None) -> dict[Any, int]:
        """The most frequent values of a payload key, with their exact counts."""

    def close(self) -> None:
        """Release files and connections."""


class IndexBuild(Protocol):
    """A build in the making. One thread uses it."""

    def upsert(self, points: pa.RecordBatch) -> None:
        """Write points: `id` fixed_size_binary[16], `vector` fixed_size_list[dim], all else payload (null: none)."""

    def delete(self, ids: Sequence[UUID]) -> None:
        """Remove points; those that do not exist are ignored."""

    def finish(self, probes: pa.RecordBatch | None = None, *, touched: Sequence[str] | None = None) -> BuildStats:
        """Seal the build: index everything, make it durable, and read back what it holds.

        Args:
            probes: Points (`id`, `vector`) as the table has them, to be compared.
            touched: Shards that were written to since the base; the points of others may be counted only. None: all.
        """

    def publish(self, *, mends: bool = False) -> None:
        """Make the finished build the one that answers, in one step.

        Args:
            mends: The build that answered until now is damaged, and none to go back to.
        """

    def abandon(self) -> None:
        """Drop the build. After a call of `publish`, only if that was refused for certain: else readers may have it."""


@dataclass(frozen=True)
class Published:
    """Build ids: of the build that answers and of the one before it; None where there is none."""

    current: str | None = None
    previous: str | None = None

    def followed_by(self, build_id: str, *, mends: bool = False) -> Published:
        """What is published once another build answers.

        Args:
            build_id: The other build. Where it is the one that answers, the one before it stays.
            mends: The one that answers is damaged: the one before it stays, so that nobody goes back to the damage.
        """
        return Published(build_id, self.previous if mends or self.current == build_id else self.current)


def no_previous(space: str, now: Published) -> SearchError:
    """The error of a rollback that has nowhere to go."""
    return SearchError(
        f"there is no build of {space} before {now.current}", mend="materialize qdrant_index to make a new one"
    )


class Engine(Protocol):
    """Where builds live.

    Attributes:
        name: Shown in ``hits.info``.
    """

    name: str

    def published(self, space: str) -> Published:
        """The build of a space that answers, and the one before it.

        Raises:
            DamagedBuildError: What names them is damaged; the next publication writes over it.
        """

    def begin(self, space: SpaceSpec, build_id: str, *, base: str | None) -> IndexBuild:
        """A new build: empty, or beginning with everything that build ``base`` holds."""

    def open(self, space: SpaceSpec, build_id: str) -> Index:
        """A finished build, to read."""

    def check(self, space: SpaceSpec, build_id: str, *, deep: bool) -> None:
        """See that all of a finished build is where it is kept, as far as that tells without reading it.

        Args:
            deep: Also compare all bytes with their checksums, where the engine keeps any; a copy on this machine that
                differs is dropped.

        Raises:
            DamagedBuildError, MissingObjectError, IntegrityError: Some of it is gone or damaged.
        """

    def rollback(self, space: str) -> str:
        """Publish the build before the current one again; its id. Raises SearchError when none is known."""

    def builds(self, space: str) -> list[str]:
        """Ids of all builds there are, finished or not, oldest first."""

    def remove(self, space: str, build_id: str) -> None:
        """Drop a build that is not published."""
