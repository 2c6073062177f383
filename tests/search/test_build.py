"""Builds: only what changed is written, what came out is checked, and nothing half-done is ever seen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mmfs.errors import IntegrityError, MmfsError, SearchError
from mmfs.search import Hits, build, build_index, spaces
from mmfs.search.acceptance import LowRecallError, check_build
from mmfs.search.changes import compare_shard
from mmfs.search.checks import index_differences
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.lock import space_lock
from mmfs.search.manifest import (
    Manifest,
    read_manifest,
    read_points_file,
    remove_unused_points,
    spaces_of,
    write_points,
)
from mmfs.search.port import BuildStats, ShardDigest
from mmfs.search.spaces import recorded_fingerprint, shard_source
from mmfs.store import Objects, Store
from mmfs.store.faults import arm
from tests.search.engines import SPACE, engine, points
from tests.search.world import OtherEmbeddings, media, write_shard

Ask = Callable[..., Hits]
TABLE = "colour_embeddings"
SHARDS = ["000000", "000001"]

pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")


def published(store: Store) -> tuple[str, str | None]:
    """Space and build that answer."""
    (space,) = spaces_of(store.objects, TABLE)
    return space, EdgeEngine(store.objects).published(space).current


def leftovers(store: Store) -> list[str]:
    space, _ = published(store)
    return EdgeEngine(store.objects).builds(space)


def test_building_again_writes_only_what_changed(fresh: Store, tmp_path: Path) -> None:
    made = engine("memory", tmp_path)
    first = build_index(fresh, TABLE, SHARDS, engine=made)
    assert {shard: (r.rows, r.computed, r.carried) for shard, r in first.items()} == {
        "000000": (10, 10, 0),
        "000001": (13, 13, 0),
    }
    again = build_index(fresh, TABLE, SHARDS, engine=made)
    assert [(r.computed, r.changed, r.build_id) for r in again.values()] == [
        (0, False, first["000000"].build_id) for _ in SHARDS
    ]
    write_shard(fresh, "000001", [media(10, "red", frames=12, caption="A red kite", width=1920, height=1080)])
    third = build_index(fresh, TABLE, ["000001"], engine=made)
    assert {shard: (r.rows, r.computed, r.removed) for shard, r in third.items()} == {"000001": (12, 0, 1)}
    assert third["000001"].indexed_rows == 22
    assert third["000001"].digest != first["000001"].digest


def test_a_changed_column_writes_the_points_of_its_media_and_no_others(fresh: Store, tmp_path: Path) -> None:
    made = engine("memory", tmp_path)
    build_index(fresh, TABLE, SHARDS, engine=made)
    write_shard(
        fresh,
        "000001",
        [media(10, "red", frames=12, caption="A red kite", width=1920, height=1080), media(11, "green", width=101)],
    )
    report = build_index(fresh, TABLE, SHARDS, engine=made)
    assert {shard: r.computed for shard, r in report.items()} == {"000000": 0, "000001": 1}


def test_many_changes_build_anew_and_bring_all_shards_up_to_date(fresh: Store, tmp_path: Path) -> None:
    made = engine("memory", tmp_path)
    build_index(fresh, TABLE, ["000000"], engine=made)
    write_shard(fresh, "000000", [media(0, "red")])
    report = build_index(fresh, TABLE, ["000001"], engine=made)["000001"]
    assert (report.computed, report.indexed_rows) == (13, 14)


def test_a_lost_index_or_other_payload_columns_bring_back_every_shard(
    fresh: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(fresh, TABLE, SHARDS, engine=engine("memory", tmp_path))
    lost = engine("memory", tmp_path)
    report = build_index(fresh, TABLE, ["000001"], engine=lost)["000001"]
    assert (report.computed, report.indexed_rows) == (13, 23)
    monkeypatch.setitem(spaces._FILTERED, "frames", ("time_s", "is_keyframe", "frame_width"))
    report = build_index(fresh, TABLE, ["000000"], engine=lost)["000000"]
    assert (report.computed, report.indexed_rows) == (10, 23)


@pytest.mark.parametrize("lost", ["points", "edge", "edge_config.json"])
def test_what_the_disk_lost_of_a_published_build_brings_back_every_shard(lost: str, fresh: Store) -> None:
    build_index(fresh, TABLE, SHARDS)
    space, before = published(fresh)
    folder = fresh.objects.local_path(f"index/{space}")
    assert folder is not None
    if lost == "points":  # they are read where a shard changed
        shutil.rmtree(folder / "points-edge")
        write_shard(fresh, "000000", [media(0, "red", caption="A red ball")])
    elif lost == "edge":
        shutil.rmtree(folder / str(before) / "edge")
    else:
        (folder / str(before) / "edge" / lost).write_bytes(b"")
    report = build_index(fresh, TABLE, ["000000"])["000000"]
    assert published(fresh) == (space, report.build_id)
    assert report.indexed_rows == (14 if lost == "points" else 23)
    assert [index_differences(fresh, TABLE, shard) for shard in SHARDS] == [[], []]


def test_points_of_a_build_that_another_machine_makes_are_spared(fresh: Store, tmp_path: Path) -> None:
    """It compares its shards after the published build was named, and before what nobody names is cleared away."""
    made, written = engine("memory", tmp_path), []

    def compare_elsewhere() -> None:
        space = build._space(fresh, TABLE, recorded_fingerprint(fresh, TABLE, "000001"), "000001")
        write_shard(fresh, "000001", [media(10, "red", frames=7)])
        written.append(compare_shard(fresh, space, shard_source(fresh, space, "000001"), None, engine=made.name))

    with arm("search.after_publish", compare_elsewhere):
        build_index(fresh, TABLE, SHARDS, engine=made)
    assert read_points_file(fresh.objects, written[0].points).num_rows == 7
    day_us = 24 * 3600 * 1_000_000
    write_shard(fresh, "000001", [media(10, "red", frames=5)])
    build_index(fresh, TABLE, SHARDS, engine=made, now_us=time.time_ns() // 1000 + 2 * day_us)
    assert not fresh.objects.exists(written[0].points), "the next day it is cleared away"


def test_points_that_are_written_again_are_young_again(fresh: Store) -> None:
    table = pa.table({"id": pa.array([b"0" * 16], pa.binary(16))})
    path = write_points(fresh.objects, "colours-f", "edge", "000000", table)
    on_disk = fresh.objects.local_path(path)
    assert on_disk is not None
    os.utime(on_disk, (0, 0))
    assert write_points(fresh.objects, "colours-f", "edge", "000000", table) == path
    remove_unused_points(fresh.objects, "colours-f", "edge", [], before_us=1)
    assert fresh.objects.exists(path)


def test_an_interruption_while_publishing_leaves_the_build_that_the_pointer_may_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = EdgeEngine(Objects.open(tmp_path))
    build = made.begin(SPACE, "1", base=None)
    build.upsert(points(range(10)))
    build.finish()
    publish = made.publish

    def interrupted(space: str, build_id: str, **how: bool) -> None:
        publish(space, build_id, **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(made, "publish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build.publish()
    build.abandon()
    assert made.published(SPACE.name).current == "1"
    assert made.open(SPACE, "1").count() == 10


def test_the_table_tells_build_version_rows_and_digest_of_each_shard(indexed: Store) -> None:
    _, build_id = published(indexed)
    rows = indexed.tables.read("qdrant_index").to_pylist()
    assert [(row["shard"], row["space"], row["rows"], row["build_id"]) for row in rows] == [
        ("000000", TABLE, 10, build_id),
        ("000001", TABLE, 13, build_id),
    ]
    assert all(len(row["key_digest"]) == 32 and row["table_version"] == 2 for row in rows)


def test_a_shard_without_embeddings_is_passed_over_and_an_emptied_one_leaves_the_index(
    fresh: Store, tmp_path: Path
) -> None:
    made = engine("memory", tmp_path)
    assert list(build_index(fresh, TABLE, [*SHARDS, "000009"], engine=made)) == SHARDS
    write_shard(fresh, "000001", [])
    assert build_index(fresh, TABLE, ["000001"], engine=made)["000001"].indexed_rows == 10


def test_rows_of_another_model_go_to_a_space_of_their_own(fresh: Store, tmp_path: Path) -> None:
    made = engine("memory", tmp_path)
    build_index(fresh, TABLE, SHARDS, engine=made)
    write_shard(fresh, "000001", [media(10, "red")], model=OtherEmbeddings())
    build_index(fresh, TABLE, SHARDS, engine=made)
    counts = {}
    for space in spaces_of(fresh.objects, TABLE):
        build = made.published(space).current
        assert build is not None
        counts[read_manifest(fresh.objects, space, build).space.fingerprint] = made.open(
            replace(SPACE, table=TABLE, fingerprint=space.rpartition("-")[2]), build
        ).count()
    assert sorted(counts.values()) == [1, 23]


def test_rows_that_do_not_say_their_model_are_refused(fresh: Store) -> None:
    rows = fresh.tables.read(TABLE, shard="000000").slice(0, 3)
    fresh.tables.update(TABLE, "000000", lambda _: rows.drop_columns("shard"))
    with pytest.raises(SearchError, match="does not say which model"):
        build_index(fresh, TABLE, ["000000"])
    with pytest.raises(SearchError, match="not a search space"):
        build_index(fresh, "frames", ["000000"])


def test_a_build_that_differs_from_the_tables_or_finds_too_little_is_not_published() -> None:
    manifest = Manifest("1", SPACE, 0, {"000000": _entry(10, "aa"), "000001": _entry(0, "00")})
    right = {"000000": ShardDigest(10, "aa")}
    check_build(manifest, BuildStats(right, 0.99))
    with pytest.raises(IntegrityError, match="shard 000000: 9 points for 10 rows"):
        check_build(manifest, BuildStats({"000000": ShardDigest(9, "aa")}))
    with pytest.raises(IntegrityError, match="shard 000000"):
        check_build(manifest, BuildStats({"000000": ShardDigest(10, "ab")}))
    with pytest.raises(IntegrityError, match="shard 000002: 1 points for 0 rows"):
        check_build(manifest, BuildStats({**right, "000002": ShardDigest(1, "cc")}))
    check_build(manifest, BuildStats({"000000": ShardDigest(10, None)}))
    with pytest.raises(IntegrityError, match="shard 000000: 9 points for 10 rows"):
        check_build(manifest, BuildStats({"000000": ShardDigest(9, None)}))
    with pytest.raises(LowRecallError, match=r"0\.900"):
        check_build(manifest, BuildStats(right, 0.9))


def _entry(rows: int, digest: str):  # type: ignore[no-untyped-def]
    from mmfs.search.manifest import ShardEntry

    return ShardEntry("1", 0, rows, digest, {}, "")


def test_builders_queue_and_say_who_holds_the_lock(fresh: Store) -> None:
    with space_lock(fresh.objects, TABLE, 1.0), pytest.raises(SearchError, match=f"process {os.getpid()}"):
        build_index(fresh, TABLE, SHARDS, lock_timeout_s=0.0)


def test_the_published_build_answers_after_a_death_anywhere_and_a_second_run_converges(fresh: Store, ask: Ask) -> None:
    """The builder is killed before it seals, before and after it publishes; its child process once."""
    build_index(fresh, TABLE, SHARDS)
    before = published(fresh)
    write_shard(fresh, "000001", [media(10, "red", frames=12, width=1920, height=1080), media(12, "blue", frames=6)])

    def kill_child() -> None:
        for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
            if "edge_process" in Path(f"/proc/{child}/cmdline").read_text():
                os.kill(int(child), signal.SIGKILL)

    with arm("search.before_finish", kill_child), pytest.raises(SearchError, match="killed by signal 9"):
        build_index(fresh, TABLE, SHARDS)
    assert published(fresh) == before
    assert leftovers(fresh) == [before[1]]

    _killed(fresh, "search.before_publish")
    assert published(fresh) == before
    assert len(leftovers(fresh)) == 2  # the dead builder's, which nobody reads
    hits = ask(fresh, "red", k=100)
    assert hits.info.build_id == before[1]
    assert hits.info.lag_rows == 7  # six new rows, and one that is gone
    assert (len(hits), hits.info.dropped) == (22, 1)

    _killed(fresh, "search.after_publish")
    after = published(fresh)
    assert after != before
    assert len(leftovers(fresh)) == 3  # it died before it cleared up, too
    assert fresh.tables.read("qdrant_index", shard="000001").to_pylist()[0]["build_id"] == before[1]

    report = build_index(fresh, TABLE, SHARDS)
    assert (report["000001"].computed, report["000001"].rows, report["000001"].changed) == (0, 18, True)
    assert published(fresh) == after
    assert sorted(leftovers(fresh)) == sorted([before[1], after[1]])
    assert ask(fresh, "red", k=100).info.lag_rows == 0


def _killed(store: Store, point: str) -> None:
    code = (
        "from mmfs.search import build_index; from mmfs.store import Store; from mmfs.settings import Settings\n"
        f"store = Store.open({store.url!r}, settings=Settings(device='cpu'))\n"
        f"build_index(store, {TABLE!r}, {SHARDS!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "_MMFS_FAULT": f"{point}:kill"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_build_process_that_fails_says_why(tmp_path: Path) -> None:
    made = EdgeEngine(engine("edge", tmp_path)._objects)  # type: ignore[attr-defined]
    build = made.begin(replace(SPACE, dim=0), "1", base=None)
    with pytest.raises(SearchError, match="ended with status 1") as caught:
        build.finish()
    assert "the published index still answers" in caught.value.mend
    build.abandon()
    assert isinstance(caught.value, MmfsError)
