"""Sound and other arrays in batches: padded on their last axis, with how long each was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmfs.codecs import encode_array16, encode_flac
from mmfs.errors import LoaderError
from mmfs.loader import Loader
from mmfs.loader.array_columns import ArrayColumn
from mmfs.loader.buffers import BufferPool
from mmfs.schemas import GRAIN_KEYS, feature_table
from mmfs.settings import Settings
from mmfs.store import PackWriter, Store
from mmfs.store.pins import Pins, Window
from tests.loader.world import World, frames_of, media_id, name_of

RATE_HZ = 8000
WINDOWS = [(m, i) for m in range(4) for i in range(3)]
AUDIO = "audio_windows.audio"


def sound(key: tuple[int, int], channels: int = 1) -> np.ndarray:
    """Other samples for each window, float32 [C, T]; the last window of a media is the shortest."""
    rng = np.random.default_rng([*key])
    whole = rng.integers(-20_000, 20_000, (channels, 400 - 100 * (key[1] == 2) - key[0]))
    return (whole / 32768).astype(np.float32)


def mel(key: tuple[int, int]) -> np.ndarray:
    """Numbers that float16 holds exactly, float32 [5, T]."""
    return np.random.default_rng([*key]).integers(0, 64, (5, 20 + key[0])).astype(np.float32)


def write(
    store: Store, table: str, keys: Sequence[tuple[int, int]], encode: Callable[[tuple[int, int]], bytes]
) -> None:
    """Make these the blobs of a table whose rows are audio windows."""
    with PackWriter(store.objects, table, "000000") as packs:
        for key in keys:
            packs.add(f"{media_id(key[0])}_{key[1]:06d}.bin", encode(key))
        refs = packs.finish()
    index = GRAIN_KEYS[store.tables.spec(table).grain or "media"][1].name
    rows = pa.table(
        {
            "media_id": [media_id(m) for m, _ in keys],
            index: pa.array([i for _, i in keys], pa.int64()),
            "pack": [ref.pack for ref in refs],
            "offset": [ref.offset for ref in refs],
            "length": [ref.length for ref in refs],
            "crc32": [ref.crc32 for ref in refs],
            "fingerprint": ["a"] * len(keys),
        }
    )
    store.tables.update(table, "000000", lambda _: rows)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "store", settings=Settings())
    write(made, "audio_windows", WINDOWS, lambda key: encode_flac(sound(key), RATE_HZ))
    made.tables.ensure(feature_table("mels", "Log-mel.", "audio_window", (), blob="mel", codec="array16"))
    write(made, "mels", WINDOWS, lambda key: encode_array16(mel(key)))
    return made


def load(store: Store, columns: Sequence[str], *, window: Window | None = None, **options: object) -> Loader:
    pin = Pins(store).create("p", columns=columns, window=window, now_us=1, missing="null")
    return Loader(store, pin, **({"batch_size": 5, "threads": 2} | options))  # type: ignore[arg-type]


def key_of(name: str) -> tuple[int, int]:
    media, index = name.split(":")
    return int(media, 16), int(index)


def test_sound_is_padded_to_the_longest_of_its_batch_and_says_how_long_it_is(store: Store) -> None:
    for batch in load(store, [AUDIO, "mels.mel"]):
        lengths = batch[f"{AUDIO}:length"]
        assert list(batch)[:4] == [AUDIO, "mels.mel", f"{AUDIO}:length", "mels.mel:length"]
        assert (batch[AUDIO].dtype, lengths.dtype) == (torch.float32, torch.int64)
        assert batch[AUDIO].shape == (5, 1, int(lengths.max()))
        for place, name in enumerate(batch["_key"]):
            expected, length = sound(key_of(name)), int(lengths[place])
            assert length == expected.shape[1]
            assert np.array_equal(batch[AUDIO][place, :, :length].numpy(), expected)
            assert not batch[AUDIO][place, :, length:].any()


def test_arrays_of_several_axes_are_padded_on_their_last(store: Store) -> None:
    for batch in load(store, ["mels.mel"]):
        lengths = batch["mels.mel:length"].tolist()
        assert batch["mels.mel"].shape == (5, 5, max(lengths))
        for place, name in enumerate(batch["_key"]):
            assert np.array_equal(batch["mels.mel"][place, :, : lengths[place]].numpy(), mel(key_of(name)))


def test_windows_of_windows_have_a_length_each(store: Store) -> None:
    for batch in load(store, [AUDIO], window=Window(frames=3)):
        assert batch[AUDIO].shape[:3] == (5, 3, 1)
        for place, name in enumerate(batch["_key"]):
            media = key_of(name)[0]
            expected = [sound((media, index)).shape[1] for index in range(3)]
            assert batch[f"{AUDIO}:length"][place].tolist() == expected


def test_missing_sound_is_silence_of_no_length(store: Store) -> None:
    write(store, "mels", [key for key in WINDOWS if key != (2, 1)], lambda key: encode_array16(mel(key)))
    (batch,) = load(store, ["mels.mel", "audio_windows.window_index"], batch_size=12)
    place = batch["_key"].index(name_of((2, 1)))
    assert not batch["mels.mel"][place].any()
    assert batch["mels.mel:length"][place] == 0
    assert batch["mels.mel:present"].sum() == 11


def test_damaged_sound_is_a_bad_sample(store: Store) -> None:
    write(
        store, "audio_windows", WINDOWS, lambda key: b"no sound" if key == (1, 1) else encode_flac(sound(key), RATE_HZ)
    )
    loader = load(store, [AUDIO], batch_size=12)
    (batch,) = loader
    assert batch["_valid"].sum() == 11
    assert "not sound" in loader.stats().bad[0].reason


def test_mono_and_stereo_do_not_mix_in_silence(store: Store) -> None:
    write(store, "audio_windows", WINDOWS, lambda key: encode_flac(sound(key, channels=1 + key[0] % 2), RATE_HZ))
    with pytest.raises(LoaderError, match=r"differ in more than their length.*one number of channels"):
        list(load(store, [AUDIO], batch_size=12))


def test_frames_get_the_first_window_of_their_media_or_all_as_a_list(store: Store) -> None:
    world = World(store)
    world.add_frames("000000", frames_of(range(4), 2))
    pin = Pins(store).create("f", columns=[AUDIO, "frames.time_s"], now_us=1)
    for batch in Loader(store, pin, batch_size=4):
        assert batch[f"{AUDIO}:length"].tolist() == [sound((key_of(k)[0], 0)).shape[1] for k in batch["_key"]]
    for batch in Loader(store, pin, batch_size=4, captions="all"):
        for name, several in zip(batch["_key"], batch[AUDIO], strict=True):
            media = key_of(name)[0]
            assert all(np.array_equal(one, sound((media, index))) for index, one in enumerate(several))
            assert len(several) == 3


def test_stored_bytes_can_be_had(store: Store) -> None:
    for batch in load(store, [AUDIO], decode=False):
        assert f"{AUDIO}:length" not in batch
        for name, data in zip(batch["_key"], batch[AUDIO], strict=True):
            assert data == encode_flac(sound(key_of(name)), RATE_HZ)


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=8), st.lists(st.integers(1, 3), max_size=2)
)
def test_what_was_put_in_comes_out_between_zeros(lengths: list[int | None], axes: list[int]) -> None:
    column = ArrayColumn(lambda data: np.zeros(0, np.float32))
    room = column.room(len(lengths), BufferPool(0))
    for place, length in enumerate(lengths):
        if length is not None:
            column.put(room, place, np.full((*axes, length), place + 1, np.float32))
    value, found = column.value(room, (len(lengths),)), column.extras(room, (len(lengths),))["length"]
    assert found.tolist() == [length or 0 for length in lengths]
    assert value.shape[-1] == max(found.tolist())
    for place, length in enumerate(found.tolist()):
        assert (value[place, ..., :length] == place + 1).all()
        assert not value[place, ..., length:].any()
