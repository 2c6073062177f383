"""What a check found wrong, in words that name the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Keys or files that a problem names.
EXAMPLES = 5


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a shard.

    Attributes:
        what: What is wrong, with the number of rows or files.
        count: How many rows or files are concerned.
        examples: The first of them: sample keys or URIs.

    >>> str(Problem.of(["a.jpg", "b.jpg"], "2 files are lost"))
    '2 files are lost, first a.jpg'
    """

    what: str
    count: int
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, items: Sequence[str], what: str) -> Problem:
        """The problem that these rows or files have."""
        return cls(what, len(items), tuple(items[:EXAMPLES]))

    def __str__(self) -> str:
        return f"{self.what}, first {self.examples[0]}" if self.examples else self.what
