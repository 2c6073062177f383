"""Real photos, videos and sounds, end to end. They are not part of the repository."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from mmfs.ingest import assign, build_audio_windows, build_captions, build_frames, list_sources, register_media
from mmfs.ingest.checks import unaccounted_sounds
from mmfs.settings import FramesConfig
from tests.ingest.making import open_store

SAMPLES = os.environ.get("MMFS_SAMPLE_MEDIA")


@pytest.mark.skipif(not SAMPLES, reason="MMFS_SAMPLE_MEDIA names no folder of sample media")
def test_every_sample_is_registered_as_its_list_describes_it(tmp_path: Path) -> None:
    folder = Path(str(SAMPLES)).resolve()
    with (folder / "captions.csv").open(newline="") as file:
        expected = {row["sha256"]: row for row in csv.DictReader(file)}
    store = open_store(tmp_path, frames=FramesConfig(mode="keyframes"))
    found = list_sources([str(folder / name) for name in ("photos", "videos", "audio")], store.settings)
    report = assign(store, found, added_by="tests", now_us=1)
    assert (report.new, report.warnings) == (len(expected), ())
    register_media(store, "000000", now_us=1)
    media = {row["sha256"]: row for row in store.tables.read("raw_media").to_pylist()}
    assert store.tables.read("quarantine").num_rows == 0
    assert media.keys() == expected.keys()
    for sha256, row in media.items():
        said = expected[sha256]
        assert (row["kind"], row["size_bytes"], row["licence"]) == (said["kind"], int(said["bytes"]), said["licence"])
        if said["width"]:
            shown = (row["height"], row["width"]) if row["rotation_deg"] in (90, 270) else (row["width"], row["height"])
            assert shown == (int(said["width"]), int(said["height"])), row["uri"]
        if said["duration_s"]:
            assert row["duration_s"] == pytest.approx(float(said["duration_s"]), abs=0.06), row["uri"]
    captions = build_captions(store, "000000")
    assert captions.rows == len(expected)
    assert {row["text"] for row in store.tables.read("captions").to_pylist()} == {
        row["caption"] for row in expected.values()
    }
    photos = [row["media_id"] for row in media.values() if row["kind"] == "image"]
    videos = [row["media_id"] for row in media.values() if row["kind"] == "video"]
    report_of_frames = build_frames(store, "000000")
    framed = store.tables.read("frames").column("media_id").to_pylist()
    assert set(framed) == {*photos, *videos}
    assert report_of_frames.quarantined == 0
    assert all(framed.count(media_id) == 1 for media_id in photos)
    assert all(framed.count(media_id) >= 1 for media_id in videos)
    report_of_sounds = build_audio_windows(store, "000000")
    assert report_of_sounds.quarantined == 0
    assert unaccounted_sounds(store, "000000") == []
    heard = set(store.tables.read("audio_windows").column("media_id").to_pylist())
    assert heard == {row["media_id"] for row in media.values() if expected[row["sha256"]]["audio_codec"]}
    assert build_audio_windows(store, "000000").changed is False
