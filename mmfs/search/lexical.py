"""Captions searched by their words: Okapi BM25 in NumPy, in memory."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_WORD = re.compile(r"\w+", re.UNICODE)
_K1, _B = 1.2, 0.75


class Words:
    """An index of texts.

    Args:
        texts: What is searched.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        postings: dict[str, dict[int, int]] = defaultdict(dict)
        lengths = np.zeros(len(texts), np.float64)
        for number, text in enumerate(texts):
            words = words_of(text)
            lengths[number] = len(words)
            for word in words:
                postings[word][number] = postings[word].get(number, 0) + 1
        self._postings = {
            word: (np.fromiter(found, np.int64, len(found)), np.fromiter(found.values(), np.float64, len(found)))
            for word, found in postings.items()
        }
        self._damping = _K1 * (1 - _B + _B * lengths / max(1.0, float(lengths.mean()) if len(texts) else 1.0))
        self._size = len(texts)

    def scores(self, query: str) -> npt.NDArray[np.float64]:
        """How well each text answers, float64 [N]; 0 where it has none of the words.

        >>> Words(["a red ball", "a blue cube"]).scores("red balls").round(2).tolist()
        [1.39, 0.0]
        """
        total = np.zeros(self._size)
        for texts, counts in self._telling(set(words_of(query))):
            rarity = np.log(1 + (self._size - len(texts) + 0.5) / (len(texts) + 0.5))
            total[texts] += rarity * counts * (_K1 + 1) / (counts + self._damping[texts])
        return total

    def holding(self, unwanted: str, *, besides: str) -> npt.NDArray[np.bool_]:
        """Which texts hold a telling word of ``unwanted`` that ``besides`` does not ask for, bool [N].

        >>> Words(["a red ball", "a red cube", "a cat"]).holding("a red cube", besides="a red ball").tolist()
        [False, True, False]
        """
        found = np.zeros(self._size, bool)
        for texts, _ in self._telling(set(words_of(unwanted)) - set(words_of(besides))):
            found[texts] = True
        return found

    def _telling(self, words: set[str]) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        known = [self._postings[word] for word in sorted(words) if word in self._postings]
        # A word of most texts ("a", "the") tells none from another, in any language.
        return [posting for posting in known if len(posting[0]) * 2 <= self._size] or known


def words_of(text: str) -> list[str]:
    """Words in lower case, plural and possessive s taken off.

    >>> words_of("Two cats' glasses")
    ['two', 'cat', 'glasse']
    """
    words = (word for word in _WORD.findall(text.casefold()))
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words]
