"""The part of `FeatureStore` that asks: searches, neighbours, facets, random samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from mmfs.store import Store

if TYPE_CHECKING:
    from mmfs.schemas import Grain
    from mmfs.search import Hits, Searcher


class Searching:
    """Questions to a store; what one opens, the next finds open."""

    def __init__(self, store: Store) -> None:
        self.core = store
        self._searcher: Searcher | None = None

    def search(
        self,
        text: str | None = None,
        *,
        not_text: str | None = None,
        image: Any = None,
        frame: tuple[str, int] | None = None,
        vector: Any = None,
        like: Sequence[str] = (),
        unlike: Sequence[str] = (),
        k: int = 20,
        where: str | None = None,
        space: str = "clip_embeddings",
        group: Literal["segment", "media"] | None = None,
        diversity: float = 0.0,
        min_score: float | None = None,
        exact: bool | None = None,
    ) -> Hits:
        """Find samples by meaning.

        A score is the cosine of a sample's vector and the query's, ``unit(mean(likes) - 0.5 * mean(unlikes))``:
        ``not_text`` and ``unlike`` are unlikes, all else likes, each taken at unit length.

        Args:
            text: What to look for, in words.
            not_text: What to keep away from, in words; captions that hold a telling word of it are no hits.
            image: A path, a PIL image or an array uint8 [H, W, 3] to look like.
            frame: A frame ``(media_id, frame_index)`` to look like.
            vector: A vector float [D] of the space.
            like: Sample keys, or words, to look like.
            unlike: Sample keys, or words, to keep away from.
            k: Hits wanted.
            where: SQL condition on metadata, e.g. ``"width >= 480 AND kind = 'video'"``.
            space: Embedding table to search; ``"captions"`` for captions by their words (BM25) and, where
                ``text_embeddings`` is indexed, their meaning, fused by rank; ``"caption_words"`` for words alone.
            group: ``"segment"`` merges neighbouring frames of a video, ``"media"`` keeps the best of each media.
            diversity: 0 for the best hits, towards 1 for more varied ones.
            min_score: Nothing that scores less is a hit; ``hits.info.nothing`` says so where none is left.
            exact: True to compare with every vector, False for the index, None to choose by size.

        Raises:
            SearchError: There is no index, or it belongs to another model.
            WhereError: The condition is wrong; the message names the token and the columns that exist.
        """
        from mmfs.search import SearchQuery

        query = SearchQuery(
            text=text,
            not_text=not_text,
            image=image,
            frame=frame,
            vector=vector,
            like=tuple(like),
            unlike=tuple(unlike),
            k=k,
            where=where,
            space=space,
            group=group,
            diversity=diversity,
            min_score=min_score,
            exact=exact,
        )
        return self._opened().search(query)

    def neighbours(
        self,
        key: str,
        k: int = 10,
        *,
        where: str | None = None,
        space: str = "clip_embeddings",
        group: Literal["segment", "media"] | None = None,
    ) -> Hits:
        """The samples nearest to one, without itself: a search by one example.

        Args:
            key: Sample key ``<media_id>:<index>``, as in ``hits.table`` and ``batch["_key"]``.
            k, where, space, group: As in `search`; ``group="media"`` keeps one of each media, its own among them.

        Raises:
            SearchError: The sample is not in the index.
            WhereError: The condition is wrong.
        """
        return self.search(like=[key], k=k, where=where, space=space, group=group)

    def facets(
        self, column: str, *, where: str | None = None, space: str = "clip_embeddings", limit: int = 100
    ) -> pa.Table:
        """How often each value of a column occurs among the samples of a space: ``value`` and ``rows``, most first.

        Args:
            column: ``column`` or ``table.column``, as in a WHERE.
            where: Only samples that meet this SQL condition.
            space: Embedding table.
            limit: At most so many values.

        Raises:
            SearchError: There is no index, or the column holds vectors or bytes.
            WhereError: The column or the condition is wrong.
        """
        return self._opened().facets(column, where=where, space=space, limit=limit)

    def sample(self, n: int, *, where: str | None = None, seed: int = 0, grain: Grain = "frame") -> Hits:
        """Samples at random, without replacement; all where there are fewer.

        Args:
            n: How many.
            where: Only samples that meet this SQL condition.
            seed: The same seed draws the same samples from the same rows.
            grain: What a sample is.

        Raises:
            SearchError: ``n`` is out of range.
            WhereError: The condition is wrong.
        """
        return self._opened().sample(n, where=where, seed=seed, grain=grain)

    def _opened(self) -> Searcher:
        from mmfs.search import Searcher

        if self._searcher is None:
            self._searcher = Searcher(self.core)
        return self._searcher
