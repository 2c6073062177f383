"""From nearest points to an answer: fetch enough, drop what is gone, group, and choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from mmfs.search.diversity import most_diverse
from mmfs.search.plan import Plan
from mmfs.search.port import Hit, Index
from mmfs.search.query import SearchQuery
from mmfs.search.segments import Moment, Segment, segments

#: Answers are drawn from at most this many of the nearest points.
MAX_FETCHED = 50_000
_SPARE = 16


@dataclass(frozen=True)
class Ranked:
    """An answer before its columns are looked up.

    Attributes:
        hits: Best first; for segments, the best frame of each.
        segments: The time range of each hit, for ``group="segment"``.
        dropped: Points left out because their rows are gone.
        best: Score of the nearest living point, hit or not; None where there is none.
    """

    hits: list[Hit]
    segments: list[Segment] | None
    dropped: int
    best: float | None = None


@dataclass(frozen=True)
class Ranker:
    """Ranks the points of one build for one query.

    Attributes:
        index: The build.
        vector: The query, float32 [D].
        plan: How its WHERE is answered.
        exact: Whether to compare every candidate.
        named: Samples that the query names, which are no answers.
        living: Keeps the hits whose rows still exist.
        time_s: Time of a frame in its media.
    """

    index: Index
    vector: npt.NDArray[np.float32]
    plan: Plan
    exact: bool
    named: frozenset[UUID]
    living: Callable[[Sequence[Hit]], list[Hit]]
    time_s: Callable[[Hit], float | None]

    def rank(self, query: SearchQuery) -> Ranked:
        """The best ``query.k`` hits, segments or media."""
        diverse = query.diversity > 0
        pool = query.k * 5 if diverse else query.k
        limit = min(
            MAX_FETCHED, (pool * 8 if query.group or self.plan.allowed is not None else pool) + _SPARE + len(self.named)
        )
        floor = -np.inf if query.min_score is None else query.min_score
        while True:
            found = self.index.query(
                self.vector, limit, condition=self.plan.condition, exact=self.exact, with_vectors=diverse
            )
            wanted = [hit for hit in found if hit.id not in self.named and self._is_allowed(hit)]
            living = self.living(wanted)
            near = [hit for hit in living if hit.score >= floor]
            hits, ranges = self._grouped(near, query)
            if len(hits) >= pool or len(found) < limit or limit == MAX_FETCHED or found[-1].score < floor:
                break
            limit = min(MAX_FETCHED, limit * 4)
        order = self._chosen(hits[:pool], query)
        return Ranked(
            [hits[position] for position in order],
            None if ranges is None else [ranges[position] for position in order],
            len(wanted) - len(living),
            living[0].score if living else None,
        )

    def _is_allowed(self, hit: Hit) -> bool:
        return self.plan.allowed is None or hit.id in self.plan.allowed

    def _grouped(self, hits: list[Hit], query: SearchQuery) -> tuple[list[Hit], list[Segment] | None]:
        if query.group == "media":
            best: dict[str, Hit] = {}
            for hit in hits:
                best.setdefault(hit.media_id, hit)
            return list(best.values()), None
        if query.group == "segment":
            moments = [
                Moment(position, hit.media_id, self.time_s(hit) or 0.0, hit.score) for position, hit in enumerate(hits)
            ]
            found = segments(moments)
            return [hits[segment.best] for segment in found], found
        return hits, None

    def _chosen(self, hits: list[Hit], query: SearchQuery) -> Sequence[int]:
        if query.diversity == 0 or not hits:
            return range(min(query.k, len(hits)))
        vectors = np.stack([hit.vector for hit in hits if hit.vector is not None])
        return most_diverse(vectors, [hit.score for hit in hits], query.k, query.diversity)
