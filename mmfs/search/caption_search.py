"""Media found by their captions: by words (BM25), and by meaning where captions are embedded; the two are fused.

Each media is shown by its first frame that meets the condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import numpy.typing as npt

from mmfs.search.conditions import Ids
from mmfs.search.fusion import fuse
from mmfs.search.lexical import Words
from mmfs.search.plan import MAX_IDS
from mmfs.search.points import point_id
from mmfs.search.port import Hit, Index
from mmfs.search.query import SearchQuery
from mmfs.search.ranking import MAX_FETCHED

if TYPE_CHECKING:
    from mmfs.search.lookup import Look
    from mmfs.store import Store

#: A ranking by meaning never ends, so it is cut: to this many captions, or to eight for each hit wanted.
_LEAST_BY_MEANING, _EACH_BY_MEANING = 400, 8


@dataclass(frozen=True)
class CaptionHit:
    """A frame of a media whose caption answers, and that caption."""

    hit: Hit
    caption: str


@dataclass(frozen=True)
class Meaning:
    """The query as a vector in the space of captions.

    Attributes:
        index: The captions' embeddings.
        vector: float32 [D].
        exact: Whether to compare every caption.
    """

    index: Index
    vector: npt.NDArray[np.float32]
    exact: bool


class CaptionIndex:
    """All captions of a store at one version, ready to be searched."""

    def __init__(self, store: Store) -> None:
        self.version = store.tables.version("captions")
        columns = ["media_id", "caption_index", "text", "shard"]
        rows = store.tables.read("captions", columns=columns, version=self.version)
        self._media, self._indexes, self._texts, self._shards = (rows.column(name).to_pylist() for name in columns)
        self._words = Words([text or "" for text in self._texts])
        self._namespace = store.namespace
        self._row_of: dict[tuple[str, int], int] | None = None

    def __len__(self) -> int:
        return len(self._texts)

    def search(
        self, store: Store, query: SearchQuery, look: Look, meaning: Meaning | None
    ) -> tuple[list[CaptionHit], int]:
        """The ``k`` best media, each by its best caption; and how many were left out because they were taken down.

        Args:
            meaning: None: by words alone, scored by BM25.

        Raises:
            WhereError: The condition is wrong.
        """
        frames = _first_frames(store, query.where) if query.where is not None else None
        open_ = np.ones(len(self), bool)
        if query.not_text is not None:
            open_ &= ~self._words.holding(query.not_text, besides=query.text or "")
        if frames is not None:
            open_ &= np.fromiter((media in frames for media in self._media), bool, len(self))
        ranking = self._by_words(query, open_)
        if meaning is not None:
            by_meaning = self._by_meaning(meaning, query.k, open_)
            row_of = {self._media[row]: row for row in (*by_meaning, *(row for row, _ in ranking))}
            rankings = [[self._media[row] for row in rows] for rows in ([row for row, _ in ranking], by_meaning)]
            ranking = [(row_of[media], score) for media, score in fuse(rankings)]
        found: list[CaptionHit] = []
        dropped = 0
        for row, score in ranking:
            if len(found) == query.k:
                break
            hit = self._shown(row, score, look, frames)
            if hit is not None and look.living([hit], "frames"):
                found.append(CaptionHit(hit, self._texts[row]))
            elif hit is not None:
                dropped += 1
        return found, dropped

    def _by_words(self, query: SearchQuery, open_: npt.NDArray[np.bool_]) -> list[tuple[int, float]]:
        """Rows and scores, best first, one a media."""
        scores = np.where(open_, self._words.scores(query.text or ""), 0.0)
        order = np.argsort(-scores, kind="stable")[: int((scores > 0).sum())]
        best = self._one_a_media(order.tolist())
        return [(row, float(scores[row])) for row in best if scores[row] >= (query.min_score or 0.0)]

    def _by_meaning(self, meaning: Meaning, k: int, open_: npt.NDArray[np.bool_]) -> list[int]:
        """Rows, nearest first, one a media."""
        condition, limit = None, max(_LEAST_BY_MEANING, _EACH_BY_MEANING * k)
        if not open_.all():
            rows = np.flatnonzero(open_)
            if len(rows) <= MAX_IDS:
                condition = Ids(frozenset(self._point(row) for row in rows.tolist()))
            else:
                limit = MAX_FETCHED
        if self._row_of is None:
            self._row_of = {key: row for row, key in enumerate(zip(self._media, self._indexes, strict=True))}
        hits = meaning.index.query(meaning.vector, min(limit, MAX_FETCHED), condition=condition, exact=meaning.exact)
        known = (self._row_of.get((hit.media_id, hit.index or 0)) for hit in hits)  # None: gone since the build
        return self._one_a_media([row for row in known if row is not None and open_[row]])

    def _one_a_media(self, rows: Sequence[int]) -> list[int]:
        first: dict[str, int] = {}
        for row in rows:
            first.setdefault(self._media[row], row)
        return list(first.values())

    def _shown(self, row: int, score: float, look: Look, frames: dict[str, int] | None) -> Hit | None:
        """The frame that shows a media; None when it has none."""
        media, shard = self._media[row], self._shards[row]
        if frames is not None:
            index = frames[media]
        else:
            frame = look.row_of("frames", shard, media, None)
            if not frame.num_rows:
                return None
            index = frame.column("frame_index")[0].as_py()
        return Hit(point_id(self._namespace, f"{media}:{index}"), score, media, index, shard)

    def _point(self, row: int) -> UUID:
        return point_id(self._namespace, f"{self._media[row]}:{self._indexes[row]}")


def _first_frames(store: Store, where: str) -> dict[str, int]:
    """By media, the first frame that meets a condition."""
    rows = store.select("frame", where=where)
    first: dict[str, int] = {}
    for media, index in zip(rows.column("media_id").to_pylist(), rows.column("frame_index").to_pylist(), strict=True):
        first.setdefault(media, index)
    return first
