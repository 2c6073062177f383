"""Media found by the words of their captions. Each is shown by its first frame that meets the condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmfs.search.lexical import Words
from mmfs.search.points import point_id
from mmfs.search.port import Hit
from mmfs.search.query import SearchQuery

if TYPE_CHECKING:
    from mmfs.search.lookup import Look
    from mmfs.store import Store


@dataclass(frozen=True)
class CaptionHit:
    """A frame of a media whose caption answers, and that caption."""

    hit: Hit
    caption: str


class CaptionIndex:
    """All captions of a store at one version, ready to be searched."""

    def __init__(self, store: Store) -> None:
        self.version = store.tables.version("captions")
        rows = store.tables.read("captions", columns=["media_id", "text", "shard"], version=self.version)
        self._media, self._texts, self._shards = (rows.column(n).to_pylist() for n in ("media_id", "text", "shard"))
        self._words = Words([text or "" for text in self._texts])

    def __len__(self) -> int:
        return len(self._texts)

    def search(self, store: Store, query: SearchQuery, look: Look) -> tuple[list[CaptionHit], int]:
        """The ``k`` best media, each by its best caption; and how many were left out because they were taken down.

        Raises:
            WhereError: The condition is wrong.
        """
        scores = self._words.scores(query.text or "")
        order = np.argsort(-scores, kind="stable")
        allowed = _first_frames(store, query.where) if query.where is not None else None
        found: list[CaptionHit] = []
        seen: set[str] = set()
        dropped = 0
        for row in order[: int((scores > 0).sum())]:
            media, shard = self._media[row], self._shards[row]
            if media in seen or len(found) == query.k:
                continue
            seen.add(media)
            if allowed is None:
                frame = look.frame(shard, media, None)
                index = frame.column("frame_index")[0].as_py() if frame.num_rows else None
            else:
                index = allowed.get(media)
            if index is None:
                continue
            hit = Hit(point_id(store.namespace, f"{media}:{index}"), float(scores[row]), media, index, shard)
            if look.living([hit], "frames"):
                found.append(CaptionHit(hit, self._texts[row]))
            else:
                dropped += 1
        return found, dropped


def _first_frames(store: Store, where: str) -> dict[str, int]:
    """By media, the first frame that meets a condition."""
    rows = store.select("frame", where=where)
    first: dict[str, int] = {}
    for media, index in zip(rows.column("media_id").to_pylist(), rows.column("frame_index").to_pylist(), strict=True):
        first.setdefault(media, index)
    return first
