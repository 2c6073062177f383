"""What is told of windows of sound: the spectrogram of transformers' own extractor, and levels that can be checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import WhisperFeatureExtractor

from mmfs.codecs import decode_array16, decode_flac, encode_array16, encode_flac
from mmfs.errors import FeatureError
from mmfs.features.audio import AudioFeatures, silent_share
from mmfs.features.live import compute_rows
from mmfs.features.runner import run_feature
from mmfs.settings import AudioFeaturesConfig, Settings
from mmfs.store import Store
from tests.features.tiny import SHARD, add_sounds, media_id

RATE = 16_000
CONFIG = AudioFeaturesConfig(chunk_s=2, batch_size=4)


def sine(hz: float, seconds: float = 2.0, level: float = 0.5, rate: int = RATE) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)[None]


def voices(count: int) -> list[np.ndarray]:
    """Sounds of several lengths, one and two channels, quiet and loud."""
    rng = np.random.default_rng(0)
    lengths, levels = [32_000, 32_000, 20_000, 31_999, 1, 480], [0.5, 0.01, 1.0, 0.2, 0.7, 0.3]
    return [
        np.clip(levels[n % 6] * np.cumsum(rng.standard_normal((1 + n % 2, lengths[n % 6])), axis=1) / 50, -1, 1).astype(
            np.float32
        )
        for n in range(count)
    ]


def rows_of(sounds: list[np.ndarray], rate: int = RATE) -> list[dict[str, Any]]:
    return [{"audio_windows.audio": torch.from_numpy(sound), "audio_windows.sample_rate_hz": rate} for sound in sounds]


def measure(sounds: list[np.ndarray], config: AudioFeaturesConfig = CONFIG, rate: int = RATE) -> dict[str, Any]:
    feature = AudioFeatures(config)
    feature.load("cpu")
    return dict(compute_rows(feature, rows_of(sounds, rate)))


@pytest.mark.parametrize("mels", [80, 128])
def test_the_spectrogram_is_that_of_transformers_own_extractor(mels: int) -> None:
    sounds = voices(13)
    found = measure(sounds, AudioFeaturesConfig(chunk_s=2, batch_size=4, mels=mels))["log_mel"]
    extractor = WhisperFeatureExtractor(feature_size=mels, chunk_length=2)
    for sound, ours in zip(sounds, found, strict=True):
        theirs = extractor(sound.mean(0), sampling_rate=RATE, return_tensors="np")["input_features"][0]
        assert ours.shape == theirs.shape == (mels, 200)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        np.testing.assert_allclose(decode_array16(encode_array16(ours)), theirs, atol=2e-3)


@pytest.mark.parametrize(("hz", "rate"), [(1000, 16_000), (440, 16_000), (4000, 48_000), (1000, 22_050)])
def test_a_tone_peaks_in_the_band_of_its_frequency(hz: float, rate: int) -> None:
    [log_mel] = measure([sine(hz, rate=rate)], rate=rate)["log_mel"]
    band = int(log_mel[:, 50:150].mean(1).argmax())
    # Slaney's mel scale: linear to 1 kHz (15 mel), then logarithmic; 80 bands evenly between 0 and 8 kHz.
    top = 15 + np.log(8.0) * 27 / np.log(6.4)
    mel = hz * 3 / 200 if hz < 1000 else 15 + np.log(hz / 1000) * 27 / np.log(6.4)
    assert abs(band + 1 - mel / top * 81) <= 1
    assert log_mel[band, 50:150].std() < 0.05


def test_levels_are_those_of_the_sound() -> None:
    stereo = np.concatenate([sine(440, level=1.0), np.zeros((1, 32_000), np.float32)])
    found = measure([sine(440, level=1.0), sine(440, level=0.1), np.zeros((1, 32_000), np.float32), stereo])
    assert found["loudness_dbfs"] == pytest.approx([-3.01, -23.01, -120, -6.02], abs=0.02)
    assert found["peak_dbfs"] == pytest.approx([0, -20, -120, 0], abs=0.02)
    assert found["silence_share"].tolist() == [0, 0, 1, 0]
    assert found["duration_s"] == pytest.approx([2.0] * 4)
    assert all(np.isfinite(log_mel).all() for log_mel in found["log_mel"])


def test_padding_counts_neither_as_sound_nor_as_silence() -> None:
    found = measure([sine(440, seconds=0.5), sine(440, seconds=2.0)])
    assert found["loudness_dbfs"][0] == pytest.approx(found["loudness_dbfs"][1], abs=0.01)
    assert found["silence_share"].tolist() == [0, 0]
    assert found["duration_s"] == pytest.approx([0.5, 2.0])
    assert {log_mel.shape for log_mel in found["log_mel"]} == {(80, 200)}


@given(
    length=st.integers(1, 400),
    block=st.integers(1, 90),
    quiet=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 100)), max_size=4),
)
def test_silence_is_the_share_of_samples_in_quiet_blocks(length: int, block: int, quiet: list[tuple[int, int]]) -> None:
    power = np.ones(length, np.float32)
    for start, samples in quiet:
        power[start : start + samples] = 0
    blocks = [power[at : at + block] for at in range(0, length, block)]
    expected = sum(len(part) for part in blocks if not part.any()) / length
    [found] = silent_share(torch.from_numpy(power)[None], block, -50.0).tolist()
    assert found == pytest.approx(expected, abs=1e-6)


def test_rows_do_not_depend_on_the_rows_beside_them() -> None:
    sounds = voices(9)
    together = measure(sounds)
    for number, sound in enumerate(sounds):
        alone = measure([sound])
        np.testing.assert_allclose(alone["log_mel"][0], together["log_mel"][number], atol=1e-5)
        for name in ("duration_s", "loudness_dbfs", "peak_dbfs", "silence_share"):
            assert alone[name][0] == pytest.approx(together[name][number], rel=1e-5), name


def test_windows_longer_than_spectrograms_are_an_error_that_names_the_setting() -> None:
    with pytest.raises(FeatureError, match="set it to 3") as caught:
        measure([sine(440, seconds=2.5)])
    assert caught.value.where == "MMFS_AUDIO_FEATURES__CHUNK_S"


def test_windows_of_a_store_are_computed_and_the_last_short_ones_with_them(tmp_path: Path) -> None:
    store = Store.open(tmp_path, settings=Settings(device="cpu", workers=1))
    sounds = {(number, index): sound for number in range(3) for index, sound in enumerate(voices(4))}
    add_sounds(store, sounds, rate=RATE)
    feature = AudioFeatures(CONFIG)
    report = run_feature(store, feature, SHARD, device="cpu")
    assert (report.rows, report.computed) == (12, 12)
    rows = store.tables.read("audio_features")
    assert [(row["media_id"], row["window_index"]) for row in rows.to_pylist()] == [
        (media_id(number), index) for number, index in sounds
    ]
    stored = [decode_flac(encode_flac(sound, RATE)) for sound in sounds.values()]
    expected = measure(stored)
    for number, data in enumerate(store.blobs("audio_features", rows)):
        np.testing.assert_allclose(decode_array16(data), expected["log_mel"][number], atol=2e-3)
    assert rows.column("loudness_dbfs").to_pylist() == pytest.approx(list(expected["loudness_dbfs"]), abs=1e-3)
    assert run_feature(store, feature, SHARD, device="cpu").changed is False
