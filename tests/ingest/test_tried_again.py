"""Files that failed and are tried again on request: they stay in quarantine until a step has tried them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from mmfs.ingest import build_audio_windows, build_frames, register_media
from mmfs.ingest.checks import quarantine_above, unaccounted_files, unaccounted_pictures
from mmfs.ingest.outlook import Outlook
from mmfs.ingest.quarantine import unmark, unmarked
from mmfs.settings import GuardLimits
from mmfs.store import Store
from mmfs.store.standing import ShardStatus
from tests.dying import dying
from tests.ingest.making import ingest, open_store, photo
from tests.media.sounds import tone, write_wav

SHARD = "000000"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two listed photos, not read yet."""
    for number in range(2):
        photo(tmp_path / "media" / f"{number}.jpg", number)
    store = open_store(tmp_path / "store")
    ingest(store, tmp_path / "media")
    return store


def _reasons(store: Store) -> dict[str, str]:
    rows = store.tables.read("quarantine", shard=SHARD).to_pylist()
    return {row["uri"].rpartition("/")[2]: row["reason"] for row in rows}


def _crashed(row: object) -> bool:
    return isinstance(row, dict) and row["reason"] == "crashed"


def _status(store: Store, step: str) -> ShardStatus:
    return Outlook(store).of(SHARD)[step].status  # type: ignore[index]


def test_a_file_that_killed_its_process_is_read_again_when_asked_for_and_not_before(store: Store) -> None:
    with dying("probe"):
        assert register_media(store, SHARD, now_us=2).quarantined == 2
    assert _reasons(store) == {"0.jpg": "crashed", "1.jpg": "crashed"}
    assert register_media(store, SHARD, now_us=3).rows == 0
    assert (_status(store, "raw_media").missing, _status(store, "raw_media").failed) == (0, 2)

    first = unmark(store, SHARD, lambda row: row["uri"].endswith("0.jpg"))
    assert [row["uri"].rpartition("/")[2] for row in first] == ["0.jpg"]
    assert unmarked(store) == {("raw_media", SHARD)}
    status = _status(store, "raw_media")
    assert (status.missing, status.failed, status.causes) == (1, 1, {"new": 1, "failed": 1})
    assert _status(store, "frames").missing == 1, "what is computed from it is counted, too"
    assert unaccounted_files(store, SHARD) == [], "what is to be tried again is not lost"

    assert register_media(store, SHARD, now_us=4).rows == 1
    assert (_reasons(store), unmarked(store)) == ({"1.jpg": "crashed"}, set())


def test_a_file_that_fails_again_is_back_with_its_mark_and_the_new_reason(store: Store) -> None:
    with dying("probe"):
        register_media(store, SHARD, now_us=2)
    marks = store.tables.read("quarantine", columns=["uri", "mark"], shard=SHARD)
    unmark(store, SHARD, _crashed)
    strict = Store.open(store.url, settings=store.settings.model_copy(update={"guard": GuardLimits(image_pixels=1)}))
    register_media(strict, SHARD, now_us=3)
    assert _reasons(store) == {"0.jpg": "too_large", "1.jpg": "too_large"}
    assert store.tables.read("quarantine", columns=["uri", "mark"], shard=SHARD).equals(marks)
    assert _status(store, "raw_media").failed == 2, "a raised limit alone is no reason to try again"


def test_frames_of_pictures_that_failed_are_made_when_asked_for(store: Store) -> None:
    register_media(store, SHARD, now_us=2)
    with dying("frames"):
        assert build_frames(store, SHARD).quarantined == 2
    assert build_frames(store, SHARD).computed == 0
    unmark(store, SHARD, _crashed)
    status = _status(store, "frames")
    assert (status.missing, status.failed) == (2, 0)
    assert unaccounted_pictures(store, SHARD) == []
    report = build_frames(store, SHARD)
    assert (report.rows, report.computed, report.quarantined) == (2, 2, 0)
    assert unmarked(store) == set()


def test_sound_that_failed_is_cut_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    write_wav(tmp_path / "media" / "a.wav", tone(1.0, 16_000), 16_000)
    store = open_store(tmp_path / "store")
    ingest(store, tmp_path / "media")
    register_media(store, SHARD, now_us=2)
    with dying("sound"):
        assert build_audio_windows(store, SHARD).quarantined == 1
    assert build_audio_windows(store, SHARD).rows == 0
    unmark(store, SHARD, _crashed)
    assert build_audio_windows(store, SHARD).rows == 1
    assert _reasons(store) == {}


def test_what_is_asked_for_while_a_step_is_at_work_is_left_to_the_next_run(store: Store, tmp_path: Path) -> None:
    with dying("probe"):
        register_media(store, SHARD, now_us=2)
    photo(tmp_path / "media" / "2.jpg", 2)
    ingest(store, tmp_path / "media")

    def ask(done: int, to_read: int) -> None:
        unmark(store, SHARD, _crashed)

    assert register_media(store, SHARD, now_us=3, progress=ask).rows == 1
    assert unmarked(store) == {("raw_media", SHARD)}
    assert register_media(store, SHARD, now_us=4).rows == 3


def test_a_media_that_fails_again_under_another_of_its_names_is_in_quarantine_once(store: Store) -> None:
    register_media(store, SHARD, now_us=2)
    with dying("frames"):
        build_frames(store, SHARD)
    unmark(store, SHARD, _crashed)
    media = store.tables.read("raw_media", shard=SHARD).drop_columns("shard").to_pydict()
    media["uri"] = [f"{uri}?other" for uri in media["uri"]]
    store.tables.update("raw_media", SHARD, lambda rows: pa.table(media, rows.schema))
    assert build_frames(store, SHARD).quarantined == 2
    assert unmarked(store) == set(), "else it would be tried for ever"


def test_asking_twice_or_for_nothing_commits_nothing(store: Store) -> None:
    with dying("probe"):
        register_media(store, SHARD, now_us=2)
    assert unmark(store, SHARD, lambda row: False) == []
    unmark(store, SHARD, _crashed)
    version = store.tables.version("quarantine")
    assert unmark(store, SHARD, _crashed) == []
    assert store.tables.version("quarantine") == version


def test_the_share_in_quarantine_names_the_command_where_failures_may_pass(store: Store, tmp_path: Path) -> None:
    (tmp_path / "media" / "0.jpg").write_bytes(b"")
    ingest(store, tmp_path / "media")
    register_media(store, SHARD, now_us=2)
    [problem] = quarantine_above(store, SHARD)
    assert "empty 1" in problem.what
    assert "mmfs retry" not in problem.what
    photo(tmp_path / "media" / "2.jpg", 2)
    ingest(store, tmp_path / "media")
    with dying("probe"):
        register_media(store, SHARD, now_us=3)
    [problem] = quarantine_above(store, SHARD)
    assert "are in quarantine, 1 for reasons that may pass (`mmfs retry`): " in problem.what
