"""Frames of a shard: decoded once, packed, carried over, quarantined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmfs.codecs import decode_jpeg
from mmfs.ingest import build_frames, decoded, frames_fingerprint, register_media
from mmfs.settings import FramesConfig
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.ingest.making import clip, ingest, open_store, photo


def build(store: Store, folder: Path) -> Any:
    ingest(store, folder)
    register_media(store, "000000", now_us=1)
    return build_frames(store, "000000", now_us=1)


def frames_of(store: Store, name: str) -> list[dict[str, Any]]:
    media = {row["uri"].rpartition("/")[2]: row["media_id"] for row in store.tables.read("raw_media").to_pylist()}
    return [row for row in store.tables.read("frames").to_pylist() if row["media_id"] == media[name]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos and a video of two seconds."""
    photo(tmp_path / "in/a.jpg", 1)
    photo(tmp_path / "in/b.jpg", 2)
    clip(tmp_path / "in/c.mp4", 3)
    return tmp_path / "in"


def test_photos_and_videos_become_frames_that_read_back(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    report = build(store, folder)
    assert [(row["frame_index"], row["pts_us"]) for row in frames_of(store, "a.jpg")] == [(0, 0)]
    assert [(row["frame_index"], row["time_s"]) for row in frames_of(store, "c.mp4")] == [(0, 0.0), (10, 1.0)]
    rows = store.tables.read("frames")
    assert [decode_jpeg(data).shape for data in store.blobs("frames", rows)] == [
        (row["frame_height"], row["frame_width"], 3) for row in rows.to_pylist()
    ]
    assert set(rows.column("fingerprint").to_pylist()) == {frames_fingerprint(store.settings.frames)}
    offsets = rows.column("offset").to_pylist()
    assert offsets == sorted(offsets)  # packs lie in key order
    assert (report.rows, report.computed, report.carried, report.quarantined, report.changed) == (4, 4, 0, 0, True)
    assert report.rows_per_s > 0

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was going to be read")

    monkeypatch.setattr(decoded, "Guard", refuse)
    packs = [info.path for info in store.objects.list("packs")]
    again = build_frames(store, "000000")
    assert (again.rows, again.computed, again.carried, again.changed, again.digest) == (4, 0, 4, False, report.digest)
    assert [info.path for info in store.objects.list("packs")] == packs


def test_new_media_are_added_and_old_frames_carried_over(tmp_path: Path, folder: Path) -> None:
    store = open_store(tmp_path / "store")
    build(store, folder)
    before = {row["media_id"]: row["pack"] for row in store.tables.read("frames").to_pylist()}
    photo(folder / "d.jpg", 4)
    (folder / "a.jpg").unlink()
    photo(folder / "a.jpg", 5)
    report = build(store, folder)
    after = {row["media_id"]: row["pack"] for row in store.tables.read("frames").to_pylist()}
    assert (report.rows, report.computed, report.carried) == (5, 2, 3)
    assert len({media_id for media_id, pack in after.items() if before.get(media_id) == pack}) == 2


def test_another_configuration_makes_all_frames_anew(tmp_path: Path, folder: Path) -> None:
    store = open_store(tmp_path / "store")
    first = build(store, folder)
    faster = open_store(tmp_path / "store", frames=FramesConfig(fps=5.0))
    report = build_frames(faster, "000000")
    assert [row["frame_index"] for row in frames_of(faster, "c.mp4")] == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert (report.rows, report.computed, report.carried) == (12, 12, 0)
    back = build_frames(store, "000000")
    assert (back.computed, back.digest) == (4, first.digest)


def test_a_file_that_changed_or_left_is_quarantined_and_the_rest_goes_on(tmp_path: Path, folder: Path) -> None:
    store = open_store(tmp_path / "store")
    ingest(store, folder)
    register_media(store, "000000", now_us=1)
    photo(folder / "a.jpg", 9)
    (folder / "b.jpg").rename(tmp_path / "b.jpg")
    report = build_frames(store, "000000", now_us=1)
    rows = store.tables.read("quarantine").to_pylist()
    assert [(row["uri"].rpartition("/")[2], row["stage"], row["reason"]) for row in rows] == [
        ("a.jpg", "frames", "changed"),
        ("b.jpg", "frames", "missing"),
    ]
    assert all(row["media_id"] for row in rows)
    assert (report.rows, report.quarantined) == (2, 2)
    assert store.tables.read("raw_media").num_rows == 3
    assert build_frames(store, "000000", now_us=2).changed is False

    (tmp_path / "b.jpg").rename(folder / "b.jpg")  # the disk is back, and a.jpg is listed as it is now
    report = build(store, folder)
    assert (report.rows, report.quarantined) == (4, 0)


def test_the_stores_copies_serve_when_sources_are_gone(tmp_path: Path) -> None:
    photo(tmp_path / "in/a.jpg", 1)
    store = open_store(tmp_path / "store", copy_media=True)
    ingest(store, tmp_path / "in")
    register_media(store, "000000", now_us=1)
    (tmp_path / "in/a.jpg").unlink()
    assert build_frames(store, "000000").rows == 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def test_a_kill_after_the_pack_leaves_the_old_version_and_a_second_run_completes(tmp_path: Path) -> None:
    photo(tmp_path / "in/a.jpg", 1)
    store = open_store(tmp_path / "store")
    ingest(store, tmp_path / "in")
    register_media(store, "000000", now_us=1)

    def die() -> None:
        raise Killed

    with arm("packs.after_publish", die), pytest.raises(Killed):
        build_frames(store, "000000")
    assert store.tables.read("frames").num_rows == 0
    assert build_frames(store, "000000").rows == 1
    assert len(store.blobs("frames", store.tables.read("frames"))) == 1
