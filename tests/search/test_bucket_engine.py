"""The embedded engine of a store in a bucket: what lies where, what is fetched, and what is never seen half-written."""

from __future__ import annotations

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import PreconditionError
from obstore.store import MemoryStore

from mmfs.errors import IntegrityError, SearchError, StoreError
from mmfs.search import SearchQuery, bucket_engine, build_index
from mmfs.search.bucket_engine import BucketEdgeEngine
from mmfs.search.build_cache import _lock
from mmfs.search.checks import index_differences
from mmfs.search.edge_bundle import Bundle
from mmfs.search.engines import engine_of
from mmfs.search.port import DamagedBuildError, Index, Published
from mmfs.search.searcher import Searcher
from mmfs.settings import CacheConfig, Settings
from mmfs.store import Store
from mmfs.store.objects_remote import RemoteObjects
from tests.search.engines import SPACE, bucket, points
from tests.search.world import ColourEmbeddings

SHARDS = ["000000", "000001"]


class Counted(RemoteObjects):
    """Objects that remember the names of what was read and written."""

    def __init__(self, held: MemoryStore) -> None:
        super().__init__("s3://bucket/store")
        self._store = held  # type: ignore[assignment]
        self.read: list[str] = []
        self.written: dict[str, int] = {}

    def get_ranges(self, path, ranges, **options):  # type: ignore[no-untyped-def]
        self.read.append(path)
        return super().get_ranges(path, ranges, **options)

    def put(self, path, data, **options):  # type: ignore[no-untyped-def]
        self.written[path] = data.stat().st_size if isinstance(data, Path) else len(data)
        super().put(path, data, **options)


@pytest.fixture
def held() -> MemoryStore:
    """An empty bucket."""
    return MemoryStore()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryStore, Path]:
    """A bucket with one build of sixty points, and the folder of the machine that made it. Only to be read."""
    held, folder = MemoryStore(), tmp_path_factory.mktemp("builder")
    make(BucketEdgeEngine(bucket(held), folder), "1", range(60)).publish()
    return held, folder


@pytest.fixture
def published(built: tuple[MemoryStore, Path]) -> MemoryStore:
    """A bucket of one's own with the same build."""
    held = MemoryStore()
    for info in bucket(built[0]).list():
        bucket(held).put(info.path, bucket(built[0]).get(info.path))
    return held


def make(engine: BucketEdgeEngine, build_id: str, numbers: range, *, base: str | None = None):  # type: ignore[no-untyped-def]
    build = engine.begin(SPACE, build_id, base=base)
    build.upsert(points(numbers))
    build.finish()
    return build


def cached(folder: Path) -> set[str]:
    """Names of the builds in a cache folder; what is unfinished begins with a dot."""
    return {path.name for path in folder.glob("*/*/*") if path.is_dir()}


def in_bucket(held: MemoryStore) -> set[str]:
    return {info.path for info in bucket(held).list(f"index/{SPACE.name}")}


def test_another_machine_fetches_a_build_once_and_its_files_are_the_builder_s(
    built: tuple[MemoryStore, Path], tmp_path: Path
) -> None:
    objects = Counted(built[0])
    engine = BucketEdgeEngine(objects, tmp_path)
    index = engine.open(SPACE, "1")
    assert index.count() == 60
    assert objects.read == [f"index/{SPACE.name}/1/edge/small"], "small files come together, once"
    engine.open(SPACE, "1").close()
    assert len(objects.read) == 1
    [made], [fetched] = (list(folder.glob("*/*/1/edge")) for folder in (built[1], tmp_path))
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(fetched) for path in fetched.rglob("*") if path.is_file())
    for file in files:
        assert (made / file).read_bytes() == (fetched / file).read_bytes(), file
    assert sum((fetched / file).stat().st_blocks * 512 for file in files) < 4 << 20, "holes stay holes"
    index.close()


def test_a_build_that_another_one_needs_keeps_the_objects_that_it_needs(published: MemoryStore, tmp_path: Path) -> None:
    engine = BucketEdgeEngine(bucket(published), tmp_path)
    make(engine, "2", range(60, 62), base="1").publish()
    assert {path.split("/")[2] for path in engine._bundle(SPACE.name, "2").objects()} == {"1", "2"}
    engine.remove(SPACE.name, "1")
    assert engine.builds(SPACE.name) == ["2"]
    assert BucketEdgeEngine(bucket(published), tmp_path / "reader").open(SPACE, "2").count() == 62
    engine.remove(SPACE.name, "2")
    assert in_bucket(published) == {f"index/{SPACE.name}/1/edge/small", f"index/{SPACE.name}/current.json"}
    assert engine.builds(SPACE.name) == ["1"], "nobody needs its object any more, so that the next clearing finds it"
    engine.remove(SPACE.name, "1")
    assert in_bucket(published) == {f"index/{SPACE.name}/current.json"}


def test_of_two_builds_that_began_with_the_same_one_the_second_is_refused_and_leaves_nothing(
    held: MemoryStore, tmp_path: Path
) -> None:
    one, other = (BucketEdgeEngine(bucket(held), tmp_path / name) for name in ("one", "other"))
    first, second = make(one, "1", range(10)), make(other, "2", range(20))
    first.publish()
    with pytest.raises(SearchError, match=r"another build of .* was published meanwhile"):
        second.publish()
    second.abandon()
    assert other.published(SPACE.name) == Published("1", None)
    assert {path.split("/")[2] for path in in_bucket(held)} == {"1", "current.json"}
    assert cached(tmp_path / "other") == set()


def test_a_publication_whose_reply_was_lost_counts_as_made(held: MemoryStore, tmp_path: Path) -> None:
    objects = bucket(held)
    assert objects.swap("x", b"one", before=None)
    assert objects.swap("x", b"one", before=None), "asked again, it finds what it wrote itself"
    assert not objects.swap("x", b"two", before=None)
    assert objects.swap("x", b"two", before=b"one")
    assert objects.swap("x", b"two", before=b"one")
    assert not objects.swap("x", b"three", before=b"one")
    assert not objects.swap("y", b"three", before=b"one")
    assert objects.get("x") == b"two"


class Dropped(RemoteObjects):
    """Objects whose next conditional write arrives, and whose reply does not."""

    def swap(self, path: str, data: bytes, *, before: bytes | None) -> bool:
        super().swap(path, data, before=before)
        raise StoreError("operation timed out", mend="try again")


def test_a_lost_reply_is_looked_up_and_what_cannot_be_looked_up_is_no_refusal(
    held: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, put, get = bucket(held), obstore.put, obstore.get

    def arrives(*arguments: object, **options: object) -> None:
        put(*arguments, **options)  # type: ignore[arg-type]
        raise OSError("operation timed out")

    def is_lost(*arguments: object, **options: object) -> None:
        raise OSError("operation timed out")

    monkeypatch.setattr(obstore, "put", arrives)
    assert objects.swap("x", b"one", before=None)
    assert objects.swap("x", b"two", before=b"one")
    monkeypatch.setattr(obstore, "put", is_lost)
    with pytest.raises(StoreError, match="timed out"):
        objects.swap("x", b"three", before=b"two")
    assert bytes(get(held, "x").bytes()) == b"two"


def test_a_build_whose_publication_was_not_answered_stays_since_it_may_answer(
    held: MemoryStore, tmp_path: Path
) -> None:
    objects = Dropped("s3://bucket/store")
    objects._store = held  # type: ignore[assignment]
    build = make(BucketEdgeEngine(objects, tmp_path / "builder"), "1", range(10))
    with pytest.raises(StoreError, match="timed out"):
        build.publish()
    build.abandon()
    assert cached(tmp_path / "builder") == set()
    reader = BucketEdgeEngine(bucket(held), tmp_path / "reader")
    assert reader.published(SPACE.name) == Published("1", None)
    assert reader.open(SPACE, "1").count() == 10


def test_a_publication_that_was_superseded_before_its_reply_came_counts_as_made(
    published: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library asks again where a reply is lost, and is refused for what it wrote itself."""
    one, other = (BucketEdgeEngine(bucket(published), tmp_path / name) for name in ("one", "other"))
    build, put = make(one, "2", range(60, 62), base="1"), obstore.put

    def superseded(*arguments: object, **options: object) -> None:
        put(*arguments, **options)  # type: ignore[arg-type]
        monkeypatch.setattr(obstore, "put", put)
        make(other, "3", range(62, 64), base="2").publish()
        raise PreconditionError("412")

    monkeypatch.setattr(obstore, "put", superseded)
    build.publish()
    build.abandon()
    assert one.published(SPACE.name) == Published("3", "2")
    assert other.rollback(SPACE.name) == "2"
    assert BucketEdgeEngine(bucket(published), tmp_path / "reader").open(SPACE, "2").count() == 62


@pytest.mark.parametrize("step", ["replace", "glob"])
def test_a_disk_that_cannot_keep_what_was_published_costs_a_fetch_and_no_more(
    step: str, held: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    engine = BucketEdgeEngine(bucket(held), tmp_path)
    build = make(engine, "1", range(10))
    with monkeypatch.context() as patched:
        patched.setattr(os if step == "replace" else Path, step, full)
        build.publish()
        build.abandon()
    assert cached(tmp_path) == (set() if step == "replace" else {"1"})
    assert engine.open(SPACE, "1").count() == 10


def test_a_builder_hears_that_another_one_published_and_not_that_bytes_were_lost(
    held: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever publishes clears away older builds, also one that another machine is sending."""
    one, other = (BucketEdgeEngine(bucket(held), tmp_path / name) for name in ("one", "other"))
    sent = other._lost

    def cleared(space: str, bundle: Bundle) -> Iterator[tuple[str, int, int]]:
        make(one, "2", range(10)).publish()
        one.remove(space, "1")
        return sent(space, bundle)

    monkeypatch.setattr(other, "_lost", cleared)
    build = other.begin(SPACE, "1", base=None)
    build.upsert(points(range(20)))
    with pytest.raises(SearchError, match="was published meanwhile"):
        build.finish()
    build.abandon()
    assert {path.split("/")[2] for path in in_bucket(held)} == {"2", "current.json"}


def test_a_list_that_is_removed_or_damaged_meanwhile_keeps_nobody_from_clearing_away(
    published: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = BucketEdgeEngine(bucket(published), tmp_path)
    found = engine._found

    def with_one_more(space: str) -> tuple[dict[str, int], set[str]]:
        objects, listed = found(space)
        return objects, {*listed, "0"}  # listed, and gone when it is read

    bucket(published).put(f"index/{SPACE.name}/2/edge.json", b"{")
    monkeypatch.setattr(engine, "_found", with_one_more)
    assert engine.builds(SPACE.name) == ["0", "1", "2"]
    engine.remove(SPACE.name, "2")
    assert {path.split("/")[2] for path in in_bucket(published)} == {"1", "current.json"}


def test_giving_a_build_up_never_hides_why(held: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = BucketEdgeEngine(bucket(held), tmp_path)
    build = make(engine, "1", range(10))

    def away(*_: object) -> None:
        raise StoreError("the bucket is away", mend="try again")

    monkeypatch.setattr(engine, "remove", away)
    build.abandon()
    assert cached(tmp_path) == set()


def test_a_removed_build_takes_its_description_along(published: MemoryStore, tmp_path: Path) -> None:
    bucket(published).put(f"index/{SPACE.name}/1/manifest.json", b"{}")
    BucketEdgeEngine(bucket(published), tmp_path).remove(SPACE.name, "1")
    assert in_bucket(published) == {f"index/{SPACE.name}/current.json"}


def test_bytes_that_changed_in_the_bucket_are_never_opened(published: MemoryStore, tmp_path: Path) -> None:
    name = f"index/{SPACE.name}/1/edge/small"
    data = bytearray(bucket(published).get(name))
    data[len(data) // 2] ^= 1
    bucket(published).put(name, bytes(data))
    reader = BucketEdgeEngine(bucket(published), tmp_path)
    with pytest.raises(IntegrityError, match="not those that the build sent"):
        reader.open(SPACE, "1")
    bucket(published).delete(name)
    with pytest.raises(StoreError, match="small does not exist"):
        reader.open(SPACE, "1")
    assert cached(tmp_path) == set()


def test_a_list_of_files_that_leads_out_of_the_build_is_refused(published: MemoryStore, tmp_path: Path) -> None:
    name = f"index/{SPACE.name}/1/edge.json"
    bucket(published).put(name, bucket(published).get(name).replace(b'"path": "', b'"path": "../../', 1))
    with pytest.raises(SearchError, match="damaged"):
        BucketEdgeEngine(bucket(published), tmp_path).open(SPACE, "1")


def test_what_the_disk_lost_is_fetched_again(built: tuple[MemoryStore, Path], tmp_path: Path) -> None:
    engine = BucketEdgeEngine(bucket(built[0]), tmp_path)
    engine.open(SPACE, "1").close()
    [config] = tmp_path.glob("*/*/1/edge/edge_config.json")
    config.write_bytes(b"")
    assert engine.open(SPACE, "1").count() == 60
    config.unlink()
    assert engine.open(SPACE, "1").count() == 60


def test_a_build_begins_with_what_the_disk_lost_and_lets_go_of_what_it_cannot_copy(
    built: tuple[MemoryStore, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = BucketEdgeEngine(bucket(built[0]), tmp_path)
    engine.open(SPACE, "1").close()
    [config] = tmp_path.glob("*/*/1/edge/edge_config.json")
    config.write_bytes(b"")
    build = engine.begin(SPACE, "2", base="1")
    build.upsert(points(range(60, 62)))
    assert build._process.finish(None, None).shards["000000"].rows == 62  # type: ignore[attr-defined]
    build.abandon()

    with monkeypatch.context() as patch:
        reasons = iter([OSError(errno.EIO, "Input/output error")])
        copy = bucket_engine.copy_build

        def lost_at_first(*arguments: Path) -> None:
            for reason in reasons:
                raise reason
            copy(*arguments)

        patch.setattr(bucket_engine, "copy_build", lost_at_first)
        before = config.stat().st_mtime_ns
        engine.begin(SPACE, "2", base="1").abandon()
        assert config.stat().st_mtime_ns != before, "it was fetched again"
        reasons = iter([OSError(errno.EIO, "Input/output error")] * 2)
        with pytest.raises(SearchError, match=r"not whole on this machine's disk.*MMFS_CACHE__DIR") as raised:
            engine.begin(SPACE, "2", base="1")
        assert not isinstance(raised.value, DamagedBuildError), "the bucket's build is sound"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(bucket_engine, "copy_build", full)
    with pytest.raises(SearchError, match=r"refuses to open or copy .*no space left on device.*more memory"):
        engine.begin(SPACE, "3", base="1")
    [directory] = tmp_path.glob("*/*/1")
    lock = _lock(directory, fcntl.LOCK_EX, waits=False)
    assert lock is not None, "nobody holds it any more"
    lock.release()


def flip(directory: Path) -> None:
    """Change bits of the vectors that a build directory holds; sizes stay."""
    for path in directory.rglob("vector_storage/**/*.mmap"):
        with path.open("r+b") as file:
            found = bytearray(file.read())
            for number in [number for number, byte in enumerate(found) if byte][10:200]:
                found[number] ^= 8
            file.seek(0)
            file.write(found)


def test_bits_that_a_builder_s_disk_flipped_are_in_no_build_that_begins_with_its_copy(
    published: MemoryStore, tmp_path: Path
) -> None:
    engine, reader = (BucketEdgeEngine(bucket(published), tmp_path / name) for name in ("builder", "reader"))
    before = vectors(engine.open(SPACE, "1"))
    [copy] = tmp_path.glob("builder/*/*/1/edge")
    flip(copy)
    assert vectors(engine.open(SPACE, "1")) != before
    make(engine, "2", range(60, 62), base="1").publish()
    after = vectors(reader.open(SPACE, "2"))
    assert len(after) == 62
    assert before.items() <= after.items()


def vectors(index: Index) -> dict[uuid.UUID, tuple[float, ...]]:
    found = index.vectors([point.id for point in index.scroll()])
    index.close()
    return {point: tuple(vector) for point, vector in found.items()}


def test_a_deep_look_reads_the_bucket_writes_nothing_there_and_drops_a_copy_that_differs(
    published: MemoryStore, tmp_path: Path
) -> None:
    engine = BucketEdgeEngine(bucket(published), tmp_path)
    before = vectors(engine.open(SPACE, "1"))
    objects = in_bucket(published)
    [copy] = tmp_path.glob("*/*/1/edge")
    flip(copy)
    engine.check(SPACE, "1", deep=True)
    assert vectors(engine.open(SPACE, "1")) == before
    assert in_bucket(published) == objects
    name = f"index/{SPACE.name}/1/edge/small"
    data = bytearray(bucket(published).get(name))
    data[len(data) // 3] ^= 1
    bucket(published).put(name, bytes(data))
    engine.check(SPACE, "1", deep=False)
    with pytest.raises(IntegrityError, match="delete this object, then run") as caught:
        engine.check(SPACE, "1", deep=True)
    assert caught.value.where == f"s3://bucket/store/{name}"


def test_the_newest_build_stays_on_disk_with_those_that_are_read(held: MemoryStore, tmp_path: Path) -> None:
    engine = BucketEdgeEngine(bucket(held), tmp_path)
    make(engine, "1", range(10)).publish()
    reading = engine.open(SPACE, "1")
    make(engine, "2", range(20)).publish()
    assert cached(tmp_path) == {"1", "2"}
    assert reading.count() == 10
    reading.close()
    make(engine, "3", range(30)).publish()
    assert cached(tmp_path) == {"3"}


def test_an_index_in_a_bucket_is_built_and_asked_as_any_other(fresh: Store, tmp_path: Path) -> None:
    engine = BucketEdgeEngine(bucket(MemoryStore()), tmp_path / "cache")
    build_index(fresh, "colour_embeddings", SHARDS, engine=engine)
    searcher = Searcher(fresh, engine=engine)
    query = SearchQuery(text="red", space="colour_embeddings", k=3)
    assert len(searcher.search(query, ColourEmbeddings())) == 3
    assert [index_differences(fresh, "colour_embeddings", shard, engine=engine) for shard in SHARDS] == [[], []]


def test_a_store_in_a_bucket_has_its_engine_there(tmp_path: Path) -> None:
    store = Store(bucket(MemoryStore()), Settings(cache=CacheConfig(dir=str(tmp_path))), uuid.uuid4())
    assert isinstance(engine_of(store), BucketEdgeEngine)


@pytest.mark.parametrize(
    "how", ["an object is gone", "an object is short", "a byte is another", "edge.json", "manifest.json"]
)
def test_a_damaged_build_is_made_anew_by_the_next_run_though_no_row_changed(
    how: str, fresh: Store, tmp_path: Path
) -> None:
    objects, table = bucket(MemoryStore()), "colour_embeddings"
    build_index(fresh, table, SHARDS, engine=BucketEdgeEngine(objects, tmp_path / "one"))
    [name] = [info.path for info in objects.list("index") if info.path.endswith("/edge/small")]
    data = objects.get(name)
    if how == "an object is gone":
        objects.delete(name)
    elif how == "an object is short":
        objects.put(name, data[:-1])
    elif how == "a byte is another":
        middle = len(data) // 2
        objects.put(name, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    else:
        (fresh.objects if how == "manifest.json" else objects).put(name.replace("edge/small", how), b"{")
    mended = BucketEdgeEngine(objects, tmp_path / "two")
    report = build_index(fresh, table, ["000000"], engine=mended)["000000"]
    assert report.indexed_rows == 23, "shards that were not asked for come back, too"
    reader = BucketEdgeEngine(objects, tmp_path / "reader")
    assert [index_differences(fresh, table, shard, engine=reader) for shard in SHARDS] == [[], []]
    assert build_index(fresh, table, SHARDS, engine=mended)["000000"].build_id == report.build_id
