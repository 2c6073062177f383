"""Verification of the index: each space is opened once, and what cannot be opened is said once."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from mmfs.client.verifying import verify_store
from mmfs.errors import SearchError
from mmfs.search import Searcher, SearchQuery, build_index, edge_bundle, engines
from mmfs.search.bucket_engine import BucketEdgeEngine
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.port import DamagedBuildError
from mmfs.settings import Settings
from mmfs.store import Store
from tests.search.engines import bucket
from tests.search.world import ColourEmbeddings, media, write_shard

TABLE, SHARDS = "colour_embeddings", [f"{number:06d}" for number in range(5)]


class Counted(EdgeEngine):
    """An engine that counts what is asked of it."""

    asked: list[str]

    def published(self, space: str) -> Any:
        self.asked.append("published")
        return super().published(space)

    def open(self, *arguments: Any) -> Any:
        self.asked.append("open")
        return super().open(*arguments)


class Away(EdgeEngine):
    """A server that does not answer."""

    def published(self, space: str) -> Any:
        raise SearchError("the Qdrant server did not answer", mend="start it")


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of five shards and its index. Read only."""
    store = Store.open(tmp_path_factory.mktemp("five") / "store", settings=Settings(device="cpu"))
    for number, shard in enumerate(SHARDS):
        write_shard(store, shard, [media(number, "red", frames=2)])
    build_index(store, TABLE, SHARDS)
    return store


def test_a_space_is_opened_once_for_all_of_its_shards(five: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(five.objects)
    counted.asked = []
    monkeypatch.setattr(engines, "engine_of", lambda _: counted)
    assert verify_store(five, deep=False, index=True).problems == []
    assert counted.asked == ["published", "open"]


def test_an_engine_that_is_away_is_one_problem_of_a_space(five: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "engine_of", lambda store: Away(store.objects))
    [problem] = verify_store(five, deep=False, index=True).problems
    assert problem.startswith(f"the index {TABLE}-")
    assert problem.endswith("cannot be compared: the Qdrant server did not answer; start it")


def test_an_engine_that_is_not_installed_is_one_sentence(five: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qdrant_edge", None)
    [problem] = verify_store(five, deep=False, index=True).problems
    assert problem.startswith("no search index can be compared: qdrant-edge-py is not installed")
    assert "pip install 'mmfs[search]'" in problem


def test_a_shard_that_differs_is_named_and_others_are_compared_all_the_same(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    for number, shard in enumerate(SHARDS[:3]):
        write_shard(store, shard, [media(number, "red", frames=2)])
    build_index(store, TABLE, SHARDS[:3])
    info = store.tables.commit_info(TABLE, SHARDS[2])
    store.tables.update(TABLE, SHARDS[2], lambda rows: rows.slice(1), info=info)
    [file] = [file for file in store.tables.files(TABLE) if file.shard == SHARDS[0]]
    store.objects.delete(file.path)
    problems = [p for p in verify_store(store, deep=False, index=True).problems if "index" in p]
    assert [problem.partition(":")[0] for problem in problems] == [f"shard {SHARDS[0]}", f"shard {SHARDS[2]}"]
    assert "1 points in the index of colour_embeddings are of rows that are gone" in problems[1]
    assert "mmfs materialize qdrant_index --all" in problems[1]


def test_a_space_without_a_build_is_one_problem(five: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = Counted(Store.open(tmp_path / "other", settings=Settings(device="cpu")).objects)
    empty.asked = []
    monkeypatch.setattr(engines, "engine_of", lambda _: empty)
    [problem] = verify_store(five, deep=False, index=True).problems
    assert problem.startswith(f"{TABLE} has 10 rows and its index is not published")


def flip(file: Path) -> None:
    """Change bits of a file; its size stays."""
    with file.open("r+b") as opened:
        found = bytearray(opened.read())
        for number in [number for number, byte in enumerate(found) if byte][-40:]:
            found[number] ^= 16
        opened.seek(0)
        opened.write(found)


def own(folder: Path) -> Store:
    """A store of one's own, of two shards and their index."""
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    for number, shard in enumerate(SHARDS[:2]):
        write_shard(store, shard, [media(number, "red", frames=6)])
    return store


def test_vectors_that_changed_on_the_disk_are_seen_by_a_deep_look_and_mended_as_it_says(tmp_path: Path) -> None:
    store = own(tmp_path)
    build_index(store, TABLE, SHARDS[:2])
    [vectors] = (tmp_path / "store" / "index").rglob("vector_storage/vectors/chunk_0.mmap")
    flip(vectors)
    assert verify_store(store, deep=False, index=True).problems == []
    [problem] = verify_store(store, deep=True, index=True).problems
    assert re.match(r"shard 00000\d: \d of 6 rows are in the index of colour_embeddings with another vector", problem)
    assert build_index(store, TABLE, SHARDS[:2])[SHARDS[0]].computed == 0, "states of rows are what runs compare"
    [name] = re.findall(r"where a difference stays, delete (\S+) of the store first", problem)
    store.objects.delete(name)
    assert build_index(store, TABLE, SHARDS[:1])[SHARDS[0]].indexed_rows == 12
    assert verify_store(store, deep=True, index=True).problems == []


def test_points_that_cannot_be_read_any_more_are_one_problem_and_mended_as_it_says(tmp_path: Path) -> None:
    """The library reads some of them in threads, and panics."""
    store = own(tmp_path)
    build_index(store, TABLE, SHARDS[:2])
    [payloads] = (tmp_path / "store" / "index").rglob("payload_storage/page_0.dat")
    flip(payloads)
    with pytest.raises(DamagedBuildError, match=r"the index build cannot be read: .*run `mmfs verify --deep`"):
        Searcher(store).search(SearchQuery(text="red", space=TABLE, k=12), ColourEmbeddings())
    [problem] = verify_store(store, deep=True, index=True).problems
    assert build_index(store, TABLE, SHARDS[:2])[SHARDS[0]].computed == 0, "its points are there, and counted"
    [name] = re.findall(r"cannot be compared: .*; delete (\S+) of the store, then run `mmfs materialize", problem)
    store.objects.delete(name)
    assert build_index(store, TABLE, SHARDS[:1])[SHARDS[0]].indexed_rows == 12
    assert verify_store(store, deep=True, index=True).problems == []


def test_bytes_that_changed_in_a_bucket_are_seen_by_a_deep_look_and_mended_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, objects = own(tmp_path), bucket(MemoryStore())
    engine = BucketEdgeEngine(objects, tmp_path / "cache")
    monkeypatch.setattr(engines, "engine_of", lambda _: engine)
    build_index(store, TABLE, SHARDS[:2], engine=engine)
    assert verify_store(store, deep=True, index=True).problems == []
    [name] = [info.path for info in objects.list("index") if info.path.endswith("/edge/small")]
    data = bytearray(objects.get(name))
    data[len(data) // 2] ^= 1
    objects.put(name, bytes(data))
    assert verify_store(store, deep=False, index=True).problems == [], "this machine's copy is sound"
    [problem] = verify_store(store, deep=True, index=True).problems
    assert f"[{objects.url}/{name}]; delete this object, then run `mmfs materialize qdrant_index --all`" in problem
    objects.delete(name)
    hits = Searcher(store, engine=engine).search(SearchQuery(text="red", space=TABLE, k=3), ColourEmbeddings())
    assert len(hits) == 3, "sound copies go on answering"
    build_index(store, TABLE, SHARDS[:1], engine=engine)
    assert verify_store(store, deep=True, index=True).problems == []


def test_a_copy_that_cannot_be_read_is_one_problem_and_the_rest_of_the_report_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = own(tmp_path)
    engine = BucketEdgeEngine(bucket(MemoryStore()), tmp_path / "cache")
    monkeypatch.setattr(engines, "engine_of", lambda _: engine)
    build_index(store, TABLE, SHARDS[:2], engine=engine)
    [pack] = [info.path for info in store.objects.list("packs") if f"/{SHARDS[0]}/" in info.path]
    store.objects.delete(pack)

    def refuses(path: Path, _: object) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(edge_bundle, "written_sha256", refuses)
    problems = verify_store(store, deep=True, index=True).problems
    assert any(pack in problem for problem in problems)
    [problem] = [problem for problem in problems if problem.startswith(f"the index {TABLE}-")]
    assert "cannot be compared: the system refuses to open or copy the index build: Too many open files" in problem
    assert problem.endswith("then try again")
