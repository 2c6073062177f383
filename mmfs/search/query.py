"""What is asked, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mmfs.errors import SearchError

Group = Literal["segment", "media"]
#: Name of the space that searches the words of captions.
CAPTIONS = "captions"
MAX_K = 10_000


@dataclass(frozen=True)
class SearchQuery:
    """A search.

    Attributes:
        text: What to look for, in words.
        image: What it looks like: a path, a PIL image, or an array uint8 [H, W, 3].
        frame: A sample ``(media_id, index)`` to look like.
        vector: A vector float [D] of the space.
        like: Samples to look like (keys ``<media_id>:<index>``), or words.
        unlike: Samples or words to keep away from.
        k: Hits wanted.
        where: SQL condition on metadata.
        space: Embedding table, or ``captions`` for the words of captions.
        group: ``segment`` merges neighbouring frames of a video, ``media`` keeps the best of each media.
        diversity: 0 for the best hits, towards 1 for hits that differ more from one another.
        exact: True to compare with every vector, False to use the graph, None to choose by size.
    """

    text: str | None = None
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
    exact: bool | None = None

    def check(self) -> None:
        """Raise a SearchError unless this can be asked."""
        if not 1 <= self.k <= MAX_K:
            raise SearchError(f"k = {self.k}", mend=f"ask for 1 to {MAX_K} hits; for more, use SQL or a subset")
        if not 0.0 <= self.diversity <= 1.0:
            raise SearchError(f"diversity = {self.diversity}", mend="0 is the best hits, 1 the most varied")
        if self.group not in (None, "segment", "media"):
            raise SearchError(f"group = {self.group!r}", mend="use 'segment', 'media' or None")
        if self.text is not None and not self.text.strip():
            raise SearchError("the text is empty", mend="say what to look for")
        if self.text is None and self.image is None and self.frame is None and self.vector is None and not self.like:
            raise SearchError("nothing to look for", mend="give a text, an image, a frame, a vector or like=[...]")
        if self.space == CAPTIONS and (self.text is None or self.has_examples):
            raise SearchError("captions are searched by words alone", mend="give a text, or another space")

    @property
    def has_examples(self) -> bool:
        """Whether it asks by more than words."""
        given = (self.image, self.frame, self.vector, self.like or None, self.unlike or None)
        return any(value is not None for value in given)

    def describe(self) -> str:
        """The query in one line, as subsets record it."""
        parts = [self.text] if self.text else []
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
        return "; ".join(parts)
