"""The embedded engine of a store in a bucket: what lies where, what is fetched, and what is never seen half-written."""

from __future__ import annotations

import os
import threading
import time
import uuid
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from mmfs.errors import IntegrityError, SearchError, StoreError
from mmfs.search import SearchQuery, build_index
from mmfs.search.bucket_engine import BucketEdgeEngine
from mmfs.search.build_cache import BuildCache, index_folder
from mmfs.search.checks import index_differences
from mmfs.search.engines import engine_of
from mmfs.search.port import Published
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


def test_what_dead_processes_left_and_nobody_asked_for_in_a_week_goes(tmp_path: Path) -> None:
    cache = BuildCache(tmp_path, "s3://bucket/store")
    old, recent = (tmp_path / "other-store" / "space" / name for name in ("old", "recent"))
    dead, alive = tmp_path / "other-store" / "space" / ".making-1", cache.making("space")
    for folder in (old, recent, dead):
        folder.mkdir(parents=True)
    for folder in (old, dead, alive.path):
        os.utime(folder, (time.time() - 8 * 86_400,) * 2)
    cache.hold("space", "1", lambda _: None).release()
    assert [path.exists() for path in (old, recent, dead, alive.path)] == [False, True, False, True]
    cache.drop(alive)


def test_readers_at_once_fetch_together_once(tmp_path: Path) -> None:
    fetched: list[int] = []

    def read(number: int) -> None:
        def fetch(_: Path) -> None:
            fetched.append(number)
            begun.wait(10)

        BuildCache(tmp_path, "s3://bucket/store").hold("space", "1", fetch).release()

    begun = threading.Event()
    readers = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for reader in readers:
        reader.start()
    begun.set()
    for reader in readers:
        reader.join(20)
    assert len(fetched) == 1


def test_a_folder_that_cannot_be_written_is_named_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SearchError, match=r"cannot be written.*MMFS_CACHE__DIR") as caught:
        BuildCache(tmp_path / "file", "s3://bucket/store").making("space")
    assert str(tmp_path / "file") in str(caught.value.where)


def test_the_folder_is_the_cache_s_or_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert index_folder(Settings(cache=CacheConfig(dir=str(tmp_path)))) == tmp_path / "index"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert index_folder(Settings()) == tmp_path / "xdg" / "mmfs" / "index"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert index_folder(Settings()) == Path.home() / ".cache" / "mmfs" / "index"


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
