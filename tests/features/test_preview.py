"""People see a few pictures of what a shard holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmfs.codecs import decode_jpeg
from mmfs.features.preview import contact_sheet_of
from mmfs.store import Store


def test_a_sheet_shows_pictures_of_all_shards_that_have_any(store: Store, frames: Callable[..., None]) -> None:
    frames(range(20), shard="000001")
    frames(range(20, 22), shard="000002")
    sheet = contact_sheet_of(store, "frames", ["000001", "000002", "000003"])
    assert sheet is not None
    assert decode_jpeg(sheet).dtype == np.uint8


def test_there_is_no_sheet_of_nothing(store: Store) -> None:
    assert contact_sheet_of(store, "frames", ["000001"]) is None
