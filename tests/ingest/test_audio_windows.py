"""Sound of a shard: decoded once, packed, carried over, quarantined; what has no sound is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfs.codecs import decode_flac
from mmfs.ingest import audio_fingerprint, build_audio_windows, decoded, register_media
from mmfs.ingest.checks import quarantine_above, unaccounted_sounds
from mmfs.settings import AudioConfig
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.ingest.making import clip, ingest, open_store, photo
from tests.media.sounds import encode_sound, tone, write_wav

SECONDS = AudioConfig(window_s=1.0, shortest_s=0.1)


def build(store: Store, folder: Path) -> Any:
    ingest(store, folder)
    register_media(store, "000000", now_us=1)
    return build_audio_windows(store, "000000", now_us=1)


def windows_of(store: Store, name: str) -> list[dict[str, Any]]:
    media = {row["uri"].rpartition("/")[2]: row["media_id"] for row in store.tables.read("raw_media").to_pylist()}
    return [row for row in store.tables.read("audio_windows").to_pylist() if row["media_id"] == media[name]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound, a video with sound, a video and a photo without."""
    photo(tmp_path / "in/a.jpg", 1)
    clip(tmp_path / "in/b.mp4", 2)
    encode_sound(tmp_path / "in/c.mp4", tone(1.5, 48_000), 48_000, "aac", video_s=1.0)
    write_wav(tmp_path / "in/d.wav", tone(2.25, 16_000), 16_000)
    return tmp_path / "in"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", audio=SECONDS)


def test_sounds_become_windows_that_read_back(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = build(store, folder)
    assert windows_of(store, "a.jpg") == windows_of(store, "b.mp4") == []
    assert [(row["start_s"], row["end_s"]) for row in windows_of(store, "d.wav")] == [(0, 1), (1, 2), (2, 2.25)]
    assert len(windows_of(store, "c.mp4")) == 2
    rows = store.tables.read("audio_windows")
    for row, data in zip(rows.to_pylist(), store.blobs("audio_windows", rows), strict=True):
        sound = decode_flac(data)
        assert sound.shape == (row["channels"], round((row["end_s"] - row["start_s"]) * row["sample_rate_hz"]))
        assert np.sqrt(2 * np.square(sound).mean()) == pytest.approx(0.5, abs=0.1)
    assert set(rows.column("fingerprint").to_pylist()) == {audio_fingerprint(SECONDS)}
    offsets = rows.column("offset").to_pylist()
    assert offsets == sorted(offsets)  # packs lie in key order
    assert (report.rows, report.computed, report.carried, report.quarantined, report.changed) == (5, 5, 0, 0, True)
    assert unaccounted_sounds(store, "000000") == []

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was going to be read")

    monkeypatch.setattr(decoded, "Guard", refuse)
    again = build_audio_windows(store, "000000")
    assert (again.rows, again.computed, again.carried, again.changed, again.digest) == (5, 0, 5, False, report.digest)


def test_new_sounds_are_added_and_old_windows_carried_over(store: Store, folder: Path) -> None:
    build(store, folder)
    before = {row["pack"] for row in store.tables.read("audio_windows").to_pylist()}
    write_wav(folder / "e.wav", tone(1.0, 16_000, hz=300), 16_000)
    report = build(store, folder)
    assert (report.rows, report.computed, report.carried) == (6, 1, 5)
    assert before < {row["pack"] for row in store.tables.read("audio_windows").to_pylist()}


@pytest.mark.parametrize("change", [{"window_s": 0.5}, {"hop_s": 0.5}, {"sample_rate_hz": 8_000}, {"channels": 2}])
def test_another_configuration_makes_all_windows_anew(
    tmp_path: Path, store: Store, folder: Path, change: dict[str, Any]
) -> None:
    first = build(store, folder)
    other = open_store(tmp_path / "store", audio=SECONDS.model_copy(update=change))
    report = build_audio_windows(other, "000000")
    assert report.computed == report.rows >= 5
    assert report.digest != first.digest
    back = build_audio_windows(store, "000000")
    assert (back.computed, back.digest) == (5, first.digest)


def test_sound_that_cannot_be_decoded_is_quarantined_and_tried_again_when_it_changes(
    store: Store, folder: Path
) -> None:
    ingest(store, folder)
    register_media(store, "000000", now_us=1)
    write_wav(folder / "d.wav", tone(2.0, 16_000, hz=200), 16_000)
    report = build_audio_windows(store, "000000", now_us=1)
    [row] = store.tables.read("quarantine").to_pylist()
    assert (row["uri"].rpartition("/")[2], row["stage"], row["reason"]) == ("d.wav", "audio_windows", "changed")
    assert (report.rows, report.quarantined) == (2, 1)
    assert unaccounted_sounds(store, "000000") == []
    assert [found.what.split(":")[1] for found in quarantine_above(store, "000000")] == [" changed 1"]
    assert build_audio_windows(store, "000000", now_us=2).changed is False
    report = build(store, folder)  # listed as it is now
    assert (report.rows, report.quarantined) == (4, 0)


def test_media_with_sound_and_no_windows_are_found(store: Store, folder: Path) -> None:
    ingest(store, folder)
    register_media(store, "000000", now_us=1)
    [problem] = unaccounted_sounds(store, "000000")
    assert problem.what.startswith("2 media with sound have neither audio windows nor a quarantine row")
    build_audio_windows(store, "000000")
    store.tables.update("raw_media", "000000", lambda rows: rows.slice(0, 0))
    [problem] = unaccounted_sounds(store, "000000")
    assert problem.what.startswith("2 media have audio windows but no row")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_a_kill_after_the_pack_leaves_the_old_version_and_a_second_run_completes(store: Store, folder: Path) -> None:
    ingest(store, folder)
    register_media(store, "000000", now_us=1)

    def die() -> None:
        raise Killed

    with arm("packs.after_publish", die), pytest.raises(Killed):
        build_audio_windows(store, "000000")
    assert store.tables.read("audio_windows").num_rows == 0
    assert build_audio_windows(store, "000000").rows == 5
    assert len(store.blobs("audio_windows", store.tables.read("audio_windows"))) == 5
