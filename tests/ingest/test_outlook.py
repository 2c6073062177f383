"""What ingest would do, before a file is opened; and that it then does so."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mmfs.ingest import build_audio_windows, build_captions, build_frames, register_media
from mmfs.ingest.outlook import Outlook, StepOutlook
from mmfs.settings import FramesConfig
from mmfs.store import Store
from mmfs.store.costs import costs
from tests.ingest.making import clip, ingest, open_store, photo
from tests.media.sounds import tone, write_wav

SHARD = "000000"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Four pictures, each with a caption of its own."""
    for number in range(4):
        photo(tmp_path / "media" / f"{number}.jpg", number).with_suffix(".txt").write_text(f"picture {number}")
    return tmp_path / "media"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store", frames=FramesConfig(fps=1.0))


def outlook(store: Store) -> dict[str, StepOutlook]:
    return {str(step): found for step, found in Outlook(store).of(SHARD).items()}


def todo(store: Store) -> dict[str, int]:
    return {step: found.status.to_compute for step, found in outlook(store).items()}


def predicted(store: Store, table: str) -> pa.Table:
    rows = outlook(store)[table].rows.rows
    return rows if table != "raw_media" else rows.select(["media_id"])


def stored(store: Store, table: str) -> pa.Table:
    return store.tables.read(table, columns=predicted(store, table).column_names, shard=SHARD)


def test_files_that_nobody_read_are_counted_and_the_rest_is_a_guess(store: Store, media: Path) -> None:
    clip(media / "moving.mp4", 9)
    ingest(store, media)
    found = outlook(store)
    assert todo(store) == {"raw_media": 5, "captions": 4, "frames": 5, "audio_windows": 0}
    assert found["raw_media"].reads.files == 5
    assert found["raw_media"].reads.size_bytes == sum(path.stat().st_size for path in media.glob("*.[jm]p*"))
    assert [found[step].status.estimated for step in ("raw_media", "captions", "frames")] == [5, 4, 5]


def test_rows_of_registered_pictures_are_known_before_they_are_made(store: Store, media: Path) -> None:
    ingest(store, media)
    register_media(store, SHARD, now_us=1)
    assert todo(store) == {"raw_media": 0, "captions": 4, "frames": 4, "audio_windows": 0}
    expected = {table: predicted(store, table) for table in ("captions", "frames")}
    assert all(not step.status.estimated for step in outlook(store).values())
    assert build_captions(store, SHARD).computed == 4
    assert build_frames(store, SHARD).computed == 4
    for table, rows in expected.items():
        assert stored(store, table).equals(rows.cast(stored(store, table).schema))
    assert todo(store) == dict.fromkeys(todo(store), 0)


def test_frames_of_a_registered_video_are_a_guess_that_is_right_for_an_even_rate(store: Store, media: Path) -> None:
    clip(media / "moving.mp4", 9, frames=45, fps=10)
    ingest(store, media)
    register_media(store, SHARD, now_us=1)
    frames = outlook(store)["frames"]
    assert (frames.status.to_compute, frames.status.estimated) == (9, 5)
    assert (frames.reads.files, frames.reads.duration_s) == (5, pytest.approx(4.5, abs=0.2))
    expected = predicted(store, "frames")
    assert build_frames(store, SHARD).computed == 9
    assert stored(store, "frames").equals(expected.cast(stored(store, "frames").schema))


def test_other_sampling_makes_frames_stale_for_the_config(store: Store, media: Path) -> None:
    clip(media / "moving.mp4", 9)
    ingest(store, media)
    register_media(store, SHARD, now_us=1)
    build_frames(store, SHARD)
    other = open_store(Path(store.url), frames=FramesConfig(fps=2.0))
    frames = outlook(other)["frames"].status
    assert frames.causes == {"config": 6, "new": 2}
    assert frames.estimated == 4
    assert build_frames(other, SHARD).computed == 8


def test_a_new_caption_counts_alone(store: Store, media: Path) -> None:
    ingest(store, media)
    register_media(store, SHARD, now_us=1)
    build_captions(store, SHARD)
    (media / "2.txt").write_text("picture 2\nanother word on it")
    (media / "3.txt").write_text("something else")
    ingest(store, media)
    assert outlook(store)["captions"].status.causes == {"new": 1, "upstream": 1}
    expected = predicted(store, "captions")
    assert build_captions(store, SHARD).computed == 2
    assert stored(store, "captions").equals(expected.cast(stored(store, "captions").schema))


def test_a_file_that_changed_is_read_again_and_its_old_rows_go(store: Store, media: Path) -> None:
    ingest(store, media)
    register_media(store, SHARD, now_us=1)
    build_captions(store, SHARD)
    build_frames(store, SHARD)
    (media / "1.jpg").write_bytes(photo(media.parent / "other" / "x.jpg", 77).read_bytes())
    ingest(store, media)
    found = outlook(store)
    assert found["raw_media"].status.causes == {"upstream": 1}
    assert (found["raw_media"].status.fresh, found["raw_media"].status.gone) == (3, 1)
    assert [(found[step].status.to_compute, found[step].status.gone) for step in ("captions", "frames")] == [(1, 1)] * 2
    report = register_media(store, SHARD, now_us=2)
    assert (report.computed, report.rows) == (1, 4)
    assert build_captions(store, SHARD).computed == 1
    assert build_frames(store, SHARD).computed == 1


def test_what_failed_or_is_away_is_not_counted_on(store: Store, media: Path) -> None:
    (media / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")
    ingest(store, media)
    (media / "3.jpg").unlink()
    register_media(store, SHARD, now_us=1)
    raw_media = outlook(store)["raw_media"].status
    assert (raw_media.rows, raw_media.fresh, raw_media.failed, raw_media.to_compute) == (5, 3, 2, 0)
    assert raw_media.causes == {"failed": 2}
    (media / "2.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more either")
    build_frames(store, SHARD)
    frames = outlook(store)["frames"].status
    assert (frames.rows, frames.fresh, frames.failed, frames.to_compute) == (2, 2, 1, 0)


def test_steps_that_will_not_run_leave_their_tables_as_they_are(store: Store, media: Path) -> None:
    ingest(store, media)
    assert Outlook(store, ["frames"]).of(SHARD)["frames"].status.rows == 0
    register_media(store, SHARD, now_us=1)
    assert list(Outlook(store, ["frames"]).of(SHARD)) == ["frames"]
    assert Outlook(store, ["frames"]).of(SHARD)["frames"].status.to_compute == 4


def test_each_step_records_what_it_cost(store: Store, media: Path) -> None:
    ingest(store, media)
    steps = {
        "raw_media": register_media(store, SHARD, now_us=1),
        "captions": build_captions(store, SHARD),
        "frames": build_frames(store, SHARD),
    }
    for table, report in steps.items():
        (found,) = costs(store, table)
        assert found.rows == report.computed == 4
        assert 0 < found.wall_s <= report.seconds
    assert costs(store, "frames")[0].pack_bytes > 0


@pytest.mark.parametrize("step", ["frames", "audio_windows"])
def test_what_is_away_is_no_work_for_a_step_that_found_it_away_until_it_is_back(
    tmp_path: Path, media: Path, step: str
) -> None:
    write_wav(media / "tone.wav", tone(3.0, 16_000), 16_000)
    ingest(open_store(tmp_path / "store"), media)
    register_media(open_store(tmp_path / "store"), SHARD, now_us=1)
    build = {"frames": build_frames, "audio_windows": build_audio_windows}[step]
    aside = media.rename(tmp_path / "aside")
    store = open_store(tmp_path / "store")
    count = todo(store)[step]
    assert count > 0
    assert build(store, SHARD).computed == 0
    assert todo(store)[step] == 0
    found = outlook(store)[step]
    assert (found.reads.files, found.rows.rows.num_rows) == (0, 0)
    assert found.status.failed == (4 if step == "frames" else 1)
    aside.rename(media)
    assert todo(store)[step] == count
    assert build(store, SHARD).computed == count
