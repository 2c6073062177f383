"""Writers at the same time, writers that die, and replies that get lost."""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from mmfs.errors import StalePlanError, StoreError
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.conftest import add_frames, add_media, media_id, media_rows
from tests.store.writers import end, start, write_frames, write_frames_and_die, write_media


def write_in_threads(store: Store, threads: int, shards: int) -> None:
    def write(first: int) -> None:
        for shard in range(first, first + shards):
            add_media(store, f"{shard:06d}", [shard])

    writers = [threading.Thread(target=write, args=(number * shards,)) for number in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def test_threads_that_write_different_shards_lose_nothing(store: Store) -> None:
    write_in_threads(store, threads=8, shards=3)
    assert store.tables.shards("raw_media") == {f"{shard:06d}": 1 for shard in range(24)}


def test_processes_that_write_different_shards_lose_nothing(store: Store) -> None:
    writers = [start(write_media, store.url, first, 6) for first in (0, 6, 12)]
    assert [end(writer) for writer in writers] == [0, 0, 0]
    assert store.tables.shards("raw_media") == {f"{shard:06d}": 1 for shard in range(18)}
    assert store.verify().ok


@pytest.mark.soak
def test_sixteen_processes_write_fifty_shards_each(store: Store) -> None:
    writers = [start(write_media, store.url, number * 50, 50) for number in range(16)]
    assert [end(writer, 900) for writer in writers] == [0] * 16
    assert len(store.tables.shards("raw_media")) == 800


def test_processes_that_make_the_same_store_at_once_share_it(tmp_path: Path) -> None:
    url = tmp_path / "new"
    writers = [start(write_media, str(url), first, 1) for first in (0, 1)]
    assert [end(writer) for writer in writers] == [0, 0]
    assert Store.open(url, create=False).tables.shards("raw_media") == {"000000": 1, "000001": 1}


def test_of_two_writers_with_one_plan_one_is_told_and_rows_never_mix(store: Store) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    for race in range(10):
        planned = store.tables.state("raw_media", "000001")
        barrier = threading.Barrier(2)
        outcomes: list[str] = []

        def write(numbers: range, barrier: threading.Barrier = barrier, planned=planned, outcomes=outcomes) -> None:  # type: ignore[no-untyped-def]
            barrier.wait()
            try:
                store.tables.replace("raw_media", "000001", media_rows(numbers), planned=planned)
            except StalePlanError:
                outcomes.append("stale")
            else:
                outcomes.append("done")

        sets = [range(race * 100, race * 100 + 3), range(race * 100 + 50, race * 100 + 55)]
        writers = [threading.Thread(target=write, args=(numbers,)) for numbers in sets]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert sorted(outcomes) == ["done", "stale"]
        found = store.tables.read("raw_media").column("media_id").to_pylist()
        assert found in [[media_id(n) for n in numbers] for numbers in sets]


def test_a_lost_reply_of_a_commit_that_landed_is_no_error_and_doubles_nothing(store: Store) -> None:
    lost = 0

    def lose() -> None:
        nonlocal lost
        lost += 1
        raise OSError("connection reset while the reply was read")

    with arm("tables.after_commit", lose):
        for shard in ("000001", "000002"):
            assert store.tables.update("raw_media", shard, lambda _, s=shard: media_rows([int(s)])).changed
    assert lost == 2
    assert store.tables.shards("raw_media") == {"000001": 1, "000002": 1}
    assert store.tables.state("raw_media", "000001").app_version == 0


def test_a_commit_that_somebody_replaces_at_once_has_landed_all_the_same(store: Store) -> None:
    other = Store.open(store.url)
    built = 0

    def ours(rows: pa.Table) -> pa.Table:
        nonlocal built
        built += 1
        return pa.concat_tables([rows, media_rows([1])], promote_options="default")

    def theirs(rows: pa.Table) -> pa.Table:
        return pa.concat_tables([rows, media_rows([2])], promote_options="default")

    def replace() -> None:
        with arm("tables.after_commit", lambda: None):
            other.tables.update("raw_media", "000001", theirs)

    with arm("tables.after_commit", replace):
        commit = store.tables.update("raw_media", "000001", ours)
    assert built == 1
    assert store.tables.read("raw_media").num_rows == 2
    assert store.tables.read("raw_media", version=commit.version).num_rows == 1


def test_a_commit_that_fails_in_passing_is_tried_again(store: Store) -> None:
    tries = 0

    def fail_twice() -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise OSError("no route to host")

    with arm("tables.before_commit", fail_twice):
        add_media(store, "000001", range(2))
    assert tries == 3
    assert store.tables.shards("raw_media") == {"000001": 2}


def test_a_commit_that_fails_for_good_is_a_store_error_and_the_old_version_stays(store: Store) -> None:
    add_media(store, "000001", range(2))

    def fail() -> None:
        raise OSError(28, "No space left on device")

    with arm("tables.before_commit", fail), pytest.raises(StoreError, match=r"cannot commit shard 000001 of raw_media"):
        add_media(store, "000001", range(9))
    assert store.tables.shards("raw_media") == {"000001": 2}
    add_media(store, "000001", range(9))
    assert store.tables.shards("raw_media") == {"000001": 9}


@pytest.mark.parametrize(
    "point", ["packs.before_publish", "packs.after_publish", "tables.before_file", "tables.before_commit"]
)
def test_a_writer_killed_before_its_commit_leaves_the_old_version_and_a_rerun_completes(
    store: Store, point: str
) -> None:
    old = add_frames(store, "000001", range(2), per_media=2)
    digest = store.tables.digest("frames", "000001")
    assert end(start(write_frames_and_die, store.url, point)) == -signal.SIGKILL
    assert store.tables.read("frames").equals(old)
    assert store.blobs("frames", old) == [f"frame {n}:{i};".encode() * 20 for n in range(2) for i in range(2)]
    assert store.tables.digest("frames", "000001") == digest
    assert not [problem for problem in store.verify(deep=True).problems if "have no row" not in problem]
    assert end(start(write_frames, store.url)) == 0
    assert store.tables.shards("frames") == {"000001": 8}


def test_a_writer_killed_after_its_commit_has_committed(store: Store) -> None:
    assert end(start(write_frames_and_die, store.url, "tables.after_commit")) == -signal.SIGKILL
    assert store.tables.shards("frames") == {"000001": 8}
    version = store.tables.version("frames")
    add_frames(store, "000001", range(4), per_media=2)
    assert store.tables.version("frames") == version, "there was nothing left to do"
