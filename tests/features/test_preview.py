"""People see a few pictures of what a shard holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmfs.codecs import decode_jpeg
from mmfs.features.audio import AudioFeatures
from mmfs.features.preview import SHEET_BYTES, contact_sheet_of
from mmfs.features.runner import run_feature
from mmfs.settings import AudioFeaturesConfig, Settings
from mmfs.store import Store
from tests.features.tiny import SHARD, add_sounds


def test_a_sheet_shows_pictures_from_the_first_to_the_last_of_a_shard(
    store: Store, frames: Callable[..., None]
) -> None:
    frames(range(20))
    sheet = contact_sheet_of(store, "frames", SHARD, pictures=2)
    assert sheet is not None
    assert decode_jpeg(sheet).shape == (120, 236, 3), "two pictures of 112 pixels, side by side"


def test_sound_and_spectrograms_are_shown_too(tmp_path: Path) -> None:
    store = Store.open(tmp_path, settings=Settings(device="cpu", workers=1))
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 16_000)).astype(np.float32)
    add_sounds(store, {(0, 0): noise, (0, 1): noise[:, :100]})
    run_feature(store, AudioFeatures(AudioFeaturesConfig(chunk_s=1)), SHARD, device="cpu")
    for table in ("audio_windows", "audio_features"):
        sheet = contact_sheet_of(store, table, SHARD)
        assert sheet is not None
        assert len(sheet) <= SHEET_BYTES
        assert decode_jpeg(sheet).std() > 20, "it is not empty"


def test_there_is_no_sheet_of_nothing(store: Store) -> None:
    assert contact_sheet_of(store, "frames", "000001") is None
