"""Entries that are known to be listed just so: looking at them again and again needs no look into the tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mmfs.ingest.listed import Listed

#: Entries that are remembered, 16 bytes each; with more, all are forgotten and learned again.
MOST = 8_000_000

Hashes = NDArray[np.int64]


class Familiar:
    """In what state this process last gave each URI to a shard, or found it there, as 64-bit hashes. For one store.

    What one place says of a URI is remembered apart from what others say: where they contradict each other, the last
    one to have changed its mind is heard, instead of each in every round.

    Forgetting costs time and nothing else. So everything is forgotten when somebody else has written the listings:
    they may hold another state now, or the URI no more.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._uris = self._states = np.empty(0, np.int64)  # sorted by URI and places
        self._version: int | None = None

    def unfamiliar(self, items: Iterable[Listed], *, version: int) -> list[Listed]:
        """Those that are new, or were last listed in another state or with other statements.

        Args:
            version: Of the listings now.
        """
        if version != self._version:
            self._uris = self._states = np.empty(0, np.int64)
        found = list(items)
        if not len(self._uris):
            return found
        uris, states = _hashes(found)
        at = np.minimum(np.searchsorted(self._uris, uris), len(self._uris) - 1)
        known = (self._uris[at] == uris) & (self._states[at] == states)
        return [item for item, is_known in zip(found, known.tolist(), strict=True) if not is_known]

    def remember(self, items: Sequence[Listed], *, version: int) -> None:
        """They are listed now, each once.

        Args:
            version: Of the listings now.
        """
        uris, states = _hashes(items)
        kept, first = np.unique(np.concatenate([uris, self._uris]), return_index=True)
        few = len(kept) <= self._most
        self._uris = kept if few else uris[:0]
        self._states = np.concatenate([states, self._states])[first] if few else states[:0]
        self._version = version


def _hashes(items: Sequence[Listed]) -> tuple[Hashes, Hashes]:
    # Strings hash differently in every process; what is remembered never leaves this one.
    return (
        np.array([hash((item.uri, item.places)) for item in items], np.int64),
        np.array([hash(_state(item)) for item in items], np.int64),
    )


def _state(item: Listed) -> tuple[object, ...]:
    attributes = json.dumps(item.attributes, sort_keys=True) if item.attributes else ""
    return (item.uri, item.mark, item.refused, item.captions, item.licence, item.creator, attributes)
