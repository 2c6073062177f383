"""Windows hold the sound that is in the file at their times, at the rate and channels asked for, whatever the file."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from mmfs.codecs import decode_flac
from mmfs.media import Reason, RefusedError, SoundWindow
from mmfs.media.probe import Caps, window_file
from mmfs.media.windows import Windowing
from tests.media.makers import make_video, patched
from tests.media.sounds import Sound, encode_sound, float_wav_bytes, joined, tone, wav_bytes, write_wav

CAPS = Caps(image_pixels=1, video_side=8192)
RATE = 16_000


def windows_of(path: Path, **change: object) -> tuple[list[SoundWindow], int]:
    """Windows of one second, and what was salvaged."""
    windowing = Windowing(**{**vars(Windowing(1.0, None, 0.1, RATE, 1)), **change})
    found: list[SoundWindow] = []
    salvaged = window_file(path, hashlib.sha256(path.read_bytes()).hexdigest(), windowing, CAPS, found.append)
    for window in found:
        sound = decode_flac(window.flac)
        assert sound.shape == (windowing.channels, round((window.end_s - window.start_s) * windowing.sample_rate_hz))
        assert (window.sample_rate_hz, window.channels) == (windowing.sample_rate_hz, windowing.channels)
        hop_s = windowing.hop_s or windowing.window_s
        assert window.start_s == pytest.approx(window.window_index * hop_s, abs=1e-4)
    return found, salvaged


def loudest_hz(sound: Sound, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(sound[0]))
    return float(spectrum.argmax() * rate / sound.shape[1])


def level(sound: Sound) -> float:
    """Loudness of a sine as its amplitude, edges left out."""
    inner = sound[:, sound.shape[1] // 8 : -sound.shape[1] // 8]
    return float(np.sqrt(2 * np.square(inner).mean()))


def test_sound_of_the_wanted_rate_comes_back_bit_by_bit(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (1, 40_000)).astype(np.float32)
    found, salvaged = windows_of(write_wav(tmp_path / "a.wav", sound, RATE))
    assert salvaged == 0
    assert [(w.window_index, w.start_s, w.end_s) for w in found] == [(0, 0, 1), (1, 1, 2), (2, 2, 2.5)]
    np.testing.assert_array_equal(joined(found), np.rint(sound * 32768).clip(-32768, 32767) / 32768)


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_345, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_sound_of_other_rates_keeps_its_times_and_level(tmp_path: Path, rate: int) -> None:
    found, _ = windows_of(write_wav(tmp_path / "a.wav", tone(1.7, rate, hz=1000), rate))
    heard, expected = joined(found), tone(1.7, RATE, hz=1000)
    assert abs(heard.shape[1] - expected.shape[1]) <= 1  # 1.7 s are no whole samples at some rates
    np.testing.assert_allclose(heard[:, 400:26_800], expected[:, 400:26_800], atol=3e-3)


def test_what_the_wanted_rate_cannot_hold_is_filtered_out(tmp_path: Path) -> None:
    found, _ = windows_of(write_wav(tmp_path / "a.wav", tone(1.0, 44_100, hz=12_000), 44_100))
    assert np.abs(joined(found)[:, 400:-400]).max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 8, 16, 40])
@pytest.mark.parametrize("wanted", [1, 2])
def test_any_number_of_channels_becomes_one_or_two(tmp_path: Path, channels: int, wanted: int) -> None:
    sound = tone(0.5, 44_100, channels=channels)
    found, _ = windows_of(write_wav(tmp_path / "a.wav", sound, 44_100), channels=wanted)
    assert level(joined(found)) == pytest.approx(0.5, rel=0.02)


def test_left_and_right_stay_apart_or_meet_in_the_middle(tmp_path: Path) -> None:
    sound = np.concatenate([tone(0.5, RATE, hz=440), tone(0.5, RATE, hz=2000)])
    path = write_wav(tmp_path / "a.wav", sound, RATE)
    left, right = joined(windows_of(path, channels=2)[0])
    assert loudest_hz(left[None]) == pytest.approx(440, abs=3)
    assert loudest_hz(right[None]) == pytest.approx(2000, abs=3)
    np.testing.assert_allclose(joined(windows_of(path)[0])[0], (left + right) / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("a.m4a", "aac", "stereo"),
        ("a.mp4", "aac", "5.1"),
        ("a.mp3", "libmp3lame", "mono"),
        ("a.ogg", "libopus", "stereo"),
        ("a.opus", "libopus", "mono"),
        ("a.flac", "flac", "stereo"),
        ("a.mkv", "ac3", "stereo"),
        ("a.ts", "mp2", "mono"),
        ("a.avi", "mp2", "mono"),
        ("a.webm", "libopus", "stereo"),
        ("a.mov", "pcm_s16be", "mono"),
    ],
)
def test_compressed_sound_lies_where_it_was(tmp_path: Path, name: str, codec: str, layout: str) -> None:
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    click = tone(2.4, 48_000, channels=channels) * (np.arange(115_200) // 24_000 == 2)  # from 1.0 to 1.5 s
    path = encode_sound(tmp_path / name, click.astype(np.float32), 48_000, codec, layout=layout)
    found, salvaged = windows_of(path)
    assert salvaged == 0
    heard = joined(found)[0]
    assert len(heard) == pytest.approx(2.4 * RATE, abs=0.08 * RATE)
    envelope = np.abs(heard) > 0.1
    assert np.flatnonzero(envelope)[[0, -1]] / RATE == pytest.approx([1.0, 1.5], abs=0.04)
    assert loudest_hz(heard[None, RATE : RATE * 3 // 2]) == pytest.approx(440, abs=5)


def test_the_sound_of_a_video_is_timed_like_its_frames(tmp_path: Path) -> None:
    path = encode_sound(tmp_path / "a.mp4", tone(1.0, 48_000), 48_000, "aac", starts={0: 1.25}, video_s=3.0)
    found, _ = windows_of(path)
    assert [window.window_index for window in found] == [1, 2]
    heard = np.flatnonzero(np.abs(joined(found)[0]) > 0.1) / RATE
    assert heard[[0, -1]] == pytest.approx([0.25, 1.25], abs=0.04)


def test_a_gap_between_packets_is_silence_and_what_follows_keeps_its_time(tmp_path: Path) -> None:
    path = encode_sound(tmp_path / "a.mkv", tone(2.0, 48_000), 48_000, "flac", starts={48_000: 3.4})
    found, _ = windows_of(path)
    # From 0 to about 1 s, and from about 4.4 to 5.4 s; packets hold 4608 samples.
    assert {window.window_index for window in found} in ({0, 4, 5}, {0, 1, 4, 5})
    last = decode_flac(found[-1].flac)[0]
    assert found[-1].end_s == pytest.approx(5.4, abs=0.01)
    assert level(last[None]) == pytest.approx(0.5, rel=0.05)
    fifth = next(decode_flac(window.flac)[0] for window in found if window.window_index == 4)
    silent = int(np.flatnonzero(np.abs(fifth) > 0.01)[0])
    assert silent / RATE == pytest.approx(0.4, abs=0.1)
    assert not fifth[: silent - 20].any()


def test_one_wrong_time_costs_nothing(tmp_path: Path) -> None:
    path = encode_sound(tmp_path / "a.mkv", tone(2.0, 48_000), 48_000, "flac")
    tenth = struct.pack(">BhB", 0x81, 960, 0x80)  # a block of track 1, 960 ms into its cluster
    path.write_bytes(patched(path.read_bytes(), tenth, struct.pack(">BhB", 0x81, 30_000, 0x80)))
    found, _ = windows_of(path)
    assert [window.window_index for window in found] == [0, 1]
    np.testing.assert_allclose(joined(found)[:, 400:-400], tone(2.0, RATE)[:, 400:-400], atol=3e-3)


def test_windows_may_overlap_or_leave_room(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(3.2, RATE), RATE)
    found, _ = windows_of(path, hop_s=0.5)
    assert [(window.start_s, window.end_s) for window in found] == [
        (0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.5, 2.5), (2.0, 3.0), (2.5, 3.2),
    ]  # fmt: skip
    found, _ = windows_of(path, hop_s=1.5)
    assert [(window.start_s, window.end_s) for window in found] == [(0.0, 1.0), (1.5, 2.5), (3.0, 3.2)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("samples", [1, 2, 17])
def test_the_shortest_sounds_have_a_window(tmp_path: Path, rate: int, samples: int) -> None:
    sound = np.full((1, samples), 0.25, np.float32)
    found, _ = windows_of(write_wav(tmp_path / "a.wav", sound, rate), shortest_s=1.0)
    assert [window.window_index for window in found] == [0]
    assert decode_flac(found[0].flac).shape == (1, max(1, round(samples * RATE / rate)))
    assert np.abs(decode_flac(found[0].flac)).max() > 0


def test_silence_is_sound(tmp_path: Path) -> None:
    found, _ = windows_of(write_wav(tmp_path / "a.wav", np.zeros((2, 30_000), np.float32), RATE))
    assert len(found) == 2
    assert not joined(found).any()
    assert sum(len(window.flac) for window in found) < 1000


def test_what_is_no_number_is_silence_and_what_is_too_loud_is_clipped(tmp_path: Path) -> None:
    sound = tone(1.0, RATE)
    sound[0, 100:110], sound[0, 200], sound[0, 300], sound[0, 400] = np.nan, np.inf, -np.inf, 1e30
    (tmp_path / "a.wav").write_bytes(float_wav_bytes(sound, RATE))
    heard = joined(windows_of(tmp_path / "a.wav")[0])[0]
    assert not heard[100:110].any()
    assert heard[[200, 300, 400]].tolist() == [32767 / 32768, -1.0, 32767 / 32768]


@pytest.mark.parametrize("name", ["photo.png", "silent.mp4", "words.txt"])
def test_what_has_no_sound_has_no_windows(tmp_path: Path, name: str) -> None:
    from PIL import Image

    path = tmp_path / name
    if name == "photo.png":
        Image.new("RGB", (4, 4)).save(path)
    elif name == "silent.mp4":
        make_video(path, 5)
    else:
        path.write_text("la la la")
    assert windows_of(path) == ([], 0)


def test_an_audio_stream_without_one_good_sample_is_a_reason(tmp_path: Path) -> None:
    path = encode_sound(tmp_path / "a.flac", tone(1.0, RATE), RATE, "flac")
    data = path.read_bytes()
    first = data.index(b"\xff\xf8")
    path.write_bytes(data[:first] + bytes(len(data) - first))
    with pytest.raises(RefusedError) as refused:
        windows_of(path)
    assert refused.value.reason in (Reason.NO_SOUND, Reason.CORRUPT)


@pytest.mark.parametrize("rate", [1, 50, 2_000_000, 0x7FFFFFFF])
def test_a_rate_that_no_sound_has_is_no_sound(tmp_path: Path, rate: int) -> None:
    data = wav_bytes(tone(1.0, RATE), RATE)
    (tmp_path / "a.wav").write_bytes(patched(data, struct.pack("<I", RATE), struct.pack("<I", rate)))
    with pytest.raises(RefusedError) as refused:
        windows_of(tmp_path / "a.wav")
    assert refused.value.reason in (Reason.NO_SOUND, Reason.CORRUPT)


def test_more_channels_than_can_be_mixed_are_no_sound(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        windows_of(write_wav(tmp_path / "a.wav", tone(0.1, RATE, channels=200), RATE))
    assert refused.value.reason is Reason.NO_SOUND


@pytest.mark.parametrize("size", [0x7FFFFFFF, 0xFFFFFFFF])
def test_a_length_that_lies_costs_nothing(tmp_path: Path, size: int) -> None:
    data = wav_bytes(tone(1.5, RATE), RATE)
    length = struct.pack("<I", len(data) - 44)
    (tmp_path / "a.wav").write_bytes(patched(data, length, struct.pack("<I", size)))
    found, _ = windows_of(tmp_path / "a.wav")
    np.testing.assert_allclose(joined(found), tone(1.5, RATE), atol=2e-5)


def test_the_end_of_a_cut_file_is_where_it_was_cut(tmp_path: Path) -> None:
    path = encode_sound(tmp_path / "a.mp3", tone(4.0, 44_100), 44_100, "libmp3lame")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found, _ = windows_of(path)
    assert found[-1].end_s == pytest.approx(2.0, abs=0.15)
    assert level(decode_flac(found[0].flac)) == pytest.approx(0.5, rel=0.05)


def test_damaged_packets_are_counted_and_the_rest_keeps_its_time(tmp_path: Path) -> None:
    path = encode_sound(tmp_path / "a.m4a", tone(6.0, 48_000), 48_000, "aac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(bytes(data))
    found, salvaged = windows_of(path)
    assert salvaged > 0
    assert found[-1].end_s == pytest.approx(6.0, abs=0.1)
    assert level(decode_flac(found[0].flac)) == pytest.approx(0.5, rel=0.05)
    assert level(decode_flac(found[-2].flac)) == pytest.approx(0.5, rel=0.05)


def test_sound_whose_bytes_changed_is_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.1, RATE), RATE)
    with pytest.raises(RefusedError) as refused:
        window_file(path, "0" * 64, Windowing(1.0, None, 0.1, RATE, 1), CAPS, lambda _: None)
    assert refused.value.reason is Reason.CHANGED
