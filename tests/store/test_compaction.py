"""Compaction: fewer packs, the same rows and bytes, at whatever point it dies."""

from __future__ import annotations

import os
import shutil
import signal
import tarfile
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mmfs.errors import StoreError
from mmfs.schemas import Column, TableSpec, VectorType, feature_table
from mmfs.settings import Settings
from mmfs.store import PackWriter, Store, compaction_choice, pack_copy
from mmfs.store.compaction import compact
from mmfs.store.damaged import drop_damaged
from mmfs.store.faults import arm
from mmfs.store.origin import committing_as
from mmfs.store.parquet import parquet_bytes, read_footer, read_parquet
from mmfs.store.pins import Pins
from mmfs.store.retention import vacuum
from tests.conftest import add_frames, add_media, media_id
from tests.store.days import PLACE, SHARD, add_day, as_rows, blob, content
from tests.store.test_retention import LATER_US, NOW_US, paths
from tests.store.writers import compact_and_die, end, start


def packs_named(store: Store, shard: str = SHARD) -> set[str]:
    return set(store.tables.read("frames", columns=["pack"], shard=shard).column("pack").to_pylist())


@pytest.fixture(scope="module")
def nine_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard that got a small pack a day for nine days. Only to be copied."""
    url = tmp_path_factory.mktemp("nine-days") / "store"
    store = Store.open(url, settings=Settings())
    for day in range(9):
        add_day(store, range(day * 3, day * 3 + 3))
    return url


@pytest.fixture
def many(nine_days: Path, tmp_path: Path) -> Store:
    """The same, to work on."""
    return Store.open(shutil.copytree(nine_days, tmp_path / "many"), settings=Settings())


@pytest.fixture
def dead(store: Store) -> Store:
    """A shard most of whose frames were replaced."""
    add_day(store, range(10))
    store.tables.update("frames", SHARD, lambda rows: rows.slice(0, 4))
    return store


def test_many_small_packs_become_one_with_the_same_rows_and_bytes(many: Store) -> None:
    before, version = content(many), many.tables.version("frames")
    report = compact(many)
    [done] = report.rewritten
    assert (done.table, done.shard, done.packs_before, done.packs_after) == ("frames", SHARD, 9, 1)
    assert (report.packs, report.packs_after, report.shards, report.ok) == (9, 1, 1, True)
    assert content(many) == before
    assert many.tables.version("frames") == version + 1, "one commit"
    assert many.verify(deep=True).problems == many.verify().problems
    assert compact(many).rewritten == []
    assert many.tables.version("frames") == version + 1


def test_a_new_pack_holds_its_members_in_key_order_under_their_old_names(many: Store) -> None:
    compact(many)
    [pack] = packs_named(many)
    path = many.objects.local_path(pack)
    assert path is not None
    with tarfile.open(path) as tar:
        assert tar.getnames() == [f"{media_id(number)}_000000.jpg" for number in range(27)]


def test_a_pack_that_is_mostly_dead_is_rewritten_and_vacuum_frees_it(dead: Store) -> None:
    [old] = packs_named(dead)
    before, size = content(dead), dead.objects.size(old)
    report = compact(dead)
    assert report.dead_share > 0.5
    assert report.replaced_bytes == size
    assert report.copied_bytes < size / 2
    assert content(dead) == before
    assert vacuum(dead, keep_days=7, now_us=NOW_US).files_deleted == 0, "versions of the last days stay readable"
    assert vacuum(dead, keep_days=0, now_us=LATER_US).packs == 1
    assert not dead.objects.exists(old)
    assert content(dead) == before


def test_a_shard_that_is_as_it_should_be_is_left_alone(store: Store) -> None:
    add_day(store, range(10))
    store.tables.update("frames", SHARD, lambda rows: rows.slice(0, 8))
    version = store.tables.version("frames")
    report = compact(store)
    assert (report.rewritten, report.packs, report.dead_bytes > 0) == ([], 1, True)
    assert store.tables.version("frames") == version


def test_a_dry_run_says_the_same_and_writes_nothing(many: Store) -> None:
    files = paths(many, "")
    said = compact(many, dry_run=True)
    assert paths(many, "") == files
    assert said.rewritten == compact(many).rewritten
    assert said.summary().startswith("would rewrite 1 of 1 shards: 9 packs, 0% of their bytes dead, became 1")


def test_a_dry_run_counts_the_packs_that_are_made_of_more_than_one_may_hold(
    many: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 10 * 1024  # 27 blobs of one KiB
    monkeypatch.setattr(compaction_choice, "PACK_BYTES", limit)
    monkeypatch.setattr(pack_copy, "PackWriter", partial(PackWriter, max_bytes=limit))
    [said] = compact(many, dry_run=True).rewritten
    [done] = compact(many).rewritten
    assert said == done
    assert done.packs_after == len(packs_named(many)) == 3


def test_every_table_with_packs_is_compacted(store: Store) -> None:
    for table in ("audio_windows",):
        spec = store.tables.spec(table)
        for day in range(8):
            with PackWriter(store.objects, table, SHARD) as packs:
                packs.add(f"{media_id(day)}_000000.flac", b"sound" * 9)
                [ref] = packs.finish()
            row = {
                "media_id": [media_id(day)],
                "window_index": [0],
                **{name: [getattr(ref, name)] for name in PLACE},
            }
            store.tables.update(
                table, SHARD, lambda current, row=row: pa.concat_tables([current, as_rows(current, row)])
            )
        assert spec.blob
    assert [(done.table, done.packs_after) for done in compact(store).rewritten] == [("audio_windows", 1)]


def test_a_pin_keeps_its_packs_and_reads_them_after_compaction_and_vacuum(many: Store) -> None:
    add_media(many, SHARD, range(27))
    pin = Pins(many).create("keep", columns=["frames.image"], now_us=NOW_US)
    before = content(many)[1]
    compact(many)
    assert vacuum(many, keep_days=0, now_us=LATER_US).packs == 0
    pinned = many.tables.read("frames", version=pin.tables["frames"].version)
    assert many.blobs("frames", pinned) == before
    Pins(many).remove("keep")
    assert vacuum(many, keep_days=0, now_us=LATER_US).packs == 9
    assert content(many)[1] == before


def test_what_a_commit_recorded_of_its_rows_stays_and_the_run_that_compacts_is_not_taken_for_their_maker(
    many: Store,
) -> None:
    with committing_as("maker"):
        many.tables.update("frames", SHARD, lambda rows: rows.slice(1), info={"model": "m"})
    with committing_as("mover"):
        assert len(compact(many).rewritten) == 1
    assert many.tables.commit_info("frames", SHARD) == {"model": "m", "run_id": "maker"}
    assert next(many.tables.log.commits("frames")).run_id == "mover"


def test_a_file_from_before_a_column_came_keeps_its_content(many: Store) -> None:
    before = content(many)
    many.tables.log.add_columns("frames", [Column("sharpness", pa.float32(), "Later.")])
    assert len(compact(many).rewritten) == 1
    assert content(many) == before
    assert not [problem for problem in many.verify(deep=True).problems if "digest" in problem]


def test_a_shard_with_vectors_of_an_earlier_model_keeps_them(store: Store) -> None:
    def spec_of(dim: int) -> TableSpec:
        column = Column("vector", pa.binary(), "A vector.", vector=VectorType(dim))
        return feature_table("both", "A vector and bytes.", "frame", (column,), blob="bytes", codec="array16")

    store.tables.ensure(spec_of(4))
    with PackWriter(store.objects, "both", SHARD) as packs:
        for number in range(4):
            packs.add(f"{number}.array16", blob(number, 300))
        refs = packs.finish()
    rows = {
        "media_id": [media_id(number) for number in range(4)],
        "frame_index": [0] * 4,
        "vector": pa.array([[float(number)] * 4 for number in range(4)], pa.list_(pa.float16(), 4)),
        "fingerprint": ["f0"] * 4,
        **{name: [getattr(ref, name) for ref in refs] for name in PLACE},
    }
    store.tables.update("both", SHARD, lambda _: pa.table(rows).slice(0, 2))
    store.tables.ensure(spec_of(8))
    digest = store.tables.digest("both")
    assert [done.table for done in compact(store).rewritten] == ["both"]
    assert store.tables.digest("both") == digest
    assert store.verify(deep=True).problems == store.verify().problems


@pytest.mark.parametrize("place", ["bytes", "header"])
def test_damage_is_named_and_never_copied(many: Store, place: str) -> None:
    row = many.tables.read("frames", columns=["pack", "offset"]).to_pylist()[4]
    path = many.objects.local_path(row["pack"])
    assert path is not None
    damaged = bytearray(path.read_bytes())
    damaged[row["offset"] + (3 if place == "bytes" else -500)] ^= 1
    path.write_bytes(damaged)
    before, files = many.tables.version("frames"), paths(many, "packs")
    report = compact(many)
    [problem] = report.problems
    assert problem.startswith(f"frames/{SHARD}: ")
    assert f"offset {row['offset']} of {row['pack']}" in problem
    assert (report.ok, report.rewritten, many.tables.version("frames")) == (False, [], before)
    assert paths(many, "packs") == files


def test_a_pack_that_is_gone_and_a_damaged_table_are_named_and_other_shards_are_compacted(many: Store) -> None:
    rows = add_frames(many, "000002", range(2))
    many.objects.delete(rows["pack"][0].as_py())
    add_frames(many, "000003", range(2))
    [file] = many.tables.files("frames", shard="000003")
    many.objects.put(file.path, bytes(file.size_bytes))
    report = compact(many)
    assert [problem.partition(":")[0] for problem in report.problems] == ["frames/000002", "frames/000003"]
    assert rows["pack"][0].as_py() in report.problems[0]
    assert [done.shard for done in report.rewritten] == [SHARD]


def take_down(store: Store, number: int) -> None:
    tombstone = {"media_id": [media_id(number)], "reason": ["asked"], "at_us": [NOW_US]}
    store.tables.update("tombstones", SHARD, lambda current: as_rows(current, tombstone))


def test_bytes_of_media_that_were_taken_down_are_not_copied_and_keep_no_other_pack_from_it(many: Store) -> None:
    place = many.tables.read("frames").filter(pc.field("media_id") == media_id(4)).select(PLACE)
    take_down(many, 4)
    before = content(many)
    said, report = compact(many, dry_run=True), compact(many)
    assert report.rewritten == said.rewritten
    [done] = report.rewritten
    assert (done.packs_before, done.packs_after, report.ok, report.taken_down) == (9, 2, True, {f"frames/{SHARD}": 1})
    assert report.notes == [f"packs of frames/{SHARD} that hold media that were taken down, and stay as they are: 1"]
    assert content(many) == before
    assert many.tables.read("frames").filter(pc.field("media_id") == media_id(4)).select(PLACE).equals(place)
    again = compact(many)
    assert (again.rewritten, again.notes, again.ok) == ([], [], True)


def test_a_mostly_dead_pack_of_media_that_were_taken_down_is_noted_each_time_and_is_no_problem(dead: Store) -> None:
    version = dead.tables.version("frames")
    take_down(dead, 2)
    for _ in range(2):
        report = compact(dead)
        assert (report.rewritten, report.taken_down, report.ok) == ([], {f"frames/{SHARD}": 1}, True)
    assert dead.tables.version("frames") == version


def test_packs_that_cannot_be_read_just_now_are_not_said_to_be_damaged(
    many: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_down(*_arguments: object, **_options: object) -> None:
        raise StoreError("503 Slow Down", mend="check the endpoint")

    monkeypatch.setattr(type(many.objects), "get_ranges", slow_down)
    with pytest.raises(StoreError, match="503 Slow Down; check the endpoint"):
        compact(many)


def test_rows_that_differ_from_their_digest_are_left_and_what_is_said_mends_them(many: Store) -> None:
    [file] = many.tables.files("frames")
    digest, info = read_footer(many.objects, file)
    rows = read_parquet(many.objects, file)
    other = rows.set_column(rows.column_names.index("fingerprint"), "fingerprint", pa.array(["f1"] * len(rows)))
    many.objects.put(file.path, memoryview(parquet_bytes(many.tables.spec("frames"), other, digest=digest, info=info)))
    [problem] = compact(many).problems
    assert problem.endswith(f"run `mmfs verify --drop-damaged`, then materialize shard {SHARD} of frames")
    assert drop_damaged(many) == {("frames", SHARD): 27}
    assert compact(many).problems == []


def test_a_shard_that_is_replaced_meanwhile_is_left_for_the_next_time(many: Store) -> None:
    with arm("compaction.after_copy", lambda: add_day(many, range(30, 33))):
        report = compact(many)
    assert (report.busy, report.rewritten, report.ok) == ([f"frames/{SHARD}"], [], True)
    assert many.tables.shards("frames") == {SHARD: 30}
    before = content(many)
    assert compact(many).packs_after == 1
    assert content(many) == before


def test_blobs_are_copied_a_few_at_a_time(many: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_copy, "_HELD_BYTES", 1000)
    before, held = content(many), []
    read = type(many.objects).get_ranges

    def counting(objects: object, path: str, ranges: list[tuple[int, int]], **options: int) -> list[bytes]:
        held.append(sum(length for _, length in ranges))
        return read(objects, path, ranges, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(type(many.objects), "get_ranges", counting)
        assert len(compact(many).rewritten) == 1
    assert len(held) >= 9
    assert max(held) <= 1000 + 3 * 512
    assert content(many) == before


#: In the order in which they are passed. The rest of a write's points are those of every write.
POINTS = [
    "compaction.before_copy",
    "packs.after_publish",
    "compaction.after_copy",
    "tables.after_commit",
    *(
        pytest.param(point, marks=pytest.mark.soak)
        for point in ("packs.before_publish", "tables.before_file", "tables.before_commit")
    ),
]


@pytest.mark.parametrize("point", POINTS)
def test_a_compaction_killed_at_any_point_leaves_a_valid_store_and_the_next_one_completes(
    many: Store, point: str
) -> None:
    before = content(many)
    assert end(start(compact_and_die, many.url, point)) == -signal.SIGKILL, f"{point} was not reached"
    reopened = Store.open(many.url)
    assert content(reopened) == before
    compact(reopened)
    assert (content(reopened), len(packs_named(reopened))) == (before, 1)
    _age(reopened)
    vacuum(reopened, keep_days=0, now_us=LATER_US)
    assert (content(reopened), len(paths(reopened, "packs")), paths(reopened, "staging")) == (before, 1, set())


def _age(store: Store) -> None:
    """Let what lies in the store be as old as what vacuum gives up."""
    for path in paths(store, "packs") | paths(store, "staging"):
        os.utime(store.objects.local_path(path) or "", (NOW_US / 1e6, NOW_US / 1e6))


def test_a_full_disk_is_said_and_the_old_packs_stay(many: Store) -> None:
    before = content(many)

    def full() -> None:
        raise OSError(28, "No space left on device")

    with arm("objects.before_rename", full), pytest.raises(StoreError, match="No space left"):
        compact(many)
    assert content(many) == before
    assert not list(Path(many.url, "staging").glob("pack-*"))
