"""What is asked, checked before anything is opened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from mmfs.errors import SearchError

Group = Literal["segment", "media"]
#: Captions by their words and, where they are embedded, by their meaning.
CAPTIONS = "captions"
#: Captions by their words alone.
CAPTION_WORDS = "caption_words"
MAX_K = 10_000


@dataclass(frozen=True)
class SearchQuery:
    """A search.

    A hit's score is the cosine of its vector and ``q = unit(mean(likes) - 0.5 * mean(unlikes))``: text, image, frame,
    vector and ``like`` are likes, ``not_text`` and ``unlike`` are unlikes, each taken at unit length. In the space
    ``captions`` it is the sum of ``1 / (60 + rank)`` over the rankings by words and by meaning; in ``caption_words`` it
    is BM25.

    Attributes:
        text: What to look for, in words.
        not_text: What to keep away from, in words. Captions that hold a telling word of it are no hits.
        image: What it looks like: a path, a PIL image, or an array uint8 [H, W, 3].
        frame: A sample ``(media_id, index)`` to look like.
        vector: A vector float [D] of the space.
        like: Samples to look like (keys ``<media_id>:<index>``), or words.
        unlike: Samples or words to keep away from.
        k: Hits wanted.
        where: SQL condition on metadata.
        space: Embedding table; ``captions`` for captions by words and meaning, ``caption_words`` for words alone.
        group: ``segment`` merges neighbouring frames of a video, ``media`` keeps the best of each media.
        diversity: 0 for the best hits, towards 1 for hits that differ more from one another.
        min_score: Nothing that scores less is a hit; None: the nearest are hits however far they are.
        exact: True to compare with every vector, False to use the graph, None to choose by size.
    """

    text: str | None = None
    not_text: str | None = None
    image: Any = None
    frame: tuple[str, int] | None = None
    vector: Any = None
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    k: int = 20
    where: str | None = None
    space: str = "clip_embeddings"
    group: Group | None = None
    diversity: float = 0.0
    min_score: float | None = None
    exact: bool | None = None

    def check(self) -> None:
        """Raise a SearchError unless this can be asked."""
        if not 1 <= self.k <= MAX_K:
            raise SearchError(f"k = {self.k}", mend=f"ask for 1 to {MAX_K} hits; for more, use SQL or a subset")
        if not 0.0 <= self.diversity <= 1.0:
            raise SearchError(f"diversity = {self.diversity}", mend="0 is the best hits, 1 the most varied")
        if self.group not in (None, "segment", "media"):
            raise SearchError(f"group = {self.group!r}", mend="use 'segment', 'media' or None")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise SearchError(f"min_score = {self.min_score}", mend="give a finite number, or None for no floor")
        for name, text in (("text", self.text), ("not_text", self.not_text)):
            if text is not None and not text.strip():
                raise SearchError(f"the {name} is empty", mend="say it in words, or leave it out")
        if self.text is None and self.image is None and self.frame is None and self.vector is None and not self.like:
            raise SearchError("nothing to look for", mend="give a text, an image, a frame, a vector or like=[...]")
        if self.by_captions:
            self._check_captions()

    def _check_captions(self) -> None:
        if self.text is None or self.has_examples:
            raise SearchError("captions are searched by words alone", mend="give a text, or another space")
        if self.space == CAPTIONS and self.min_score is not None:
            raise SearchError(
                f"min_score = {self.min_score} with space='{CAPTIONS}', whose scores tell ranks",
                mend=f"use space='text_embeddings' (cosine) or '{CAPTION_WORDS}' (BM25)",
            )

    @property
    def by_captions(self) -> bool:
        """Whether media are searched by their captions."""
        return self.space in (CAPTIONS, CAPTION_WORDS)

    @property
    def has_examples(self) -> bool:
        """Whether it asks by more than words."""
        given = (self.image, self.frame, self.vector, self.like or None, self.unlike or None)
        return any(value is not None for value in given)

    def describe(self) -> str:
        """The query in one line, as subsets record it."""
        parts = [self.text] if self.text else []
        parts += [f"not {self.not_text}"] if self.not_text else []
        if self.image is not None:
            name = type(self.image).__name__
            parts.append(
                f"image {self.image}" if isinstance(self.image, str) or hasattr(self.image, "suffix") else name
            )
        if self.frame is not None:
            parts.append(f"frame {self.frame[0]}:{self.frame[1]}")
        if self.vector is not None:
            parts.append("a vector")
        parts += [f"like {example}" for example in self.like] + [f"unlike {example}" for example in self.unlike]
        parts += [f"score >= {self.min_score:g}"] if self.min_score is not None else []
        return "; ".join(parts)
