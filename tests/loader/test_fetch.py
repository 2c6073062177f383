"""Blobs of packs on another machine: how much one call asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmfs.loader import fetch
from mmfs.loader.fetch import RemoteFetcher
from mmfs.store.checksum import crc32
from mmfs.store.objects_local import LocalObjects

PLACE = np.dtype([("pack", "<i4"), ("offset", "<i8"), ("length", "<i8"), ("crc32", "<u4")])


class CountedObjects(LocalObjects):
    """Notes the bytes that each call asks for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[int] = []

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]], *, gap_bytes: int = 0) -> list[bytes]:
        self.asked.append(sum(length for _, length in ranges))
        return super().get_ranges(path, ranges, gap_bytes=gap_bytes)


def test_a_call_asks_for_no_more_than_a_slow_network_carries_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_PORTION_BYTES", 100)
    data = np.random.default_rng(0).bytes(1000)
    (tmp_path / "a.tar").write_bytes(data)
    spans = [(900, 60), (0, 40), (40, 1), (100, 300), (500, 50), (550, 0), (600, 50)]
    places = np.array([(0, at, size, crc32(data[at : at + size])) for at, size in spans], PLACE)
    objects = CountedObjects(tmp_path)
    assert RemoteFetcher(objects, ["a.tar"], verify=True).fetch(places) == [data[at : at + size] for at, size in spans]
    assert objects.asked == [100, 1, 300, 100]
