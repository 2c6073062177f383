"""What records point to: blobs in packs, texts in files beside them. Made anew for every few samples of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmfs.loader.fetch import Bad, Fetcher, Nearby, References

ReadText = Callable[[int, int], str]


class Contents:
    """Texts and blobs of one table.

    Args:
        fetcher: Reads blobs.
        read_text: Reads the text at an offset and of a length.
        is_shared: Whether several columns may ask for one blob, which is then kept, so that it is fetched once.
        nearby: What the node will want soon; see `Fetcher.fetch`.

    Attributes:
        decoded: Place for what several columns would decode alike, by pack and offset.
    """

    def __init__(self, fetcher: Fetcher, read_text: ReadText, *, is_shared: bool, nearby: Nearby | None = None) -> None:
        self._fetcher = fetcher
        self._nearby = nearby
        self._is_shared = is_shared
        self._kept: dict[tuple[int, int], bytes | Bad] = {}
        self.text = read_text
        self.decoded: dict[tuple[int, int], Any] = {}

    def blobs(self, references: References) -> list[bytes | Bad]:
        """The bytes behind references, in their order.

        Raises:
            LoaderError: A pack is gone or cannot be reached.
        """
        if not self._is_shared:
            return self._fetcher.fetch(references, self._nearby)
        places = places_of(references)
        new = {place: number for number, place in enumerate(places) if place not in self._kept}
        if new:
            fetched = self._fetcher.fetch(references[list(new.values())], self._nearby)
            self._kept |= zip(new, fetched, strict=True)
        return [self._kept[place] for place in places]

    def bad(self, reference: np.void, reason: str) -> Bad:
        """A verdict on the bytes of one reference."""
        return self._fetcher.bad(reference, reason)


def places_of(references: References) -> list[tuple[int, int]]:
    """Pack and offset of each reference, which say what blob it is."""
    return list(zip(references["pack"].tolist(), references["offset"].tolist(), strict=True))
