"""Registering a shard: identity, quarantine, changes, and what a kill leaves behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from mmfs.ids import media_id_of
from mmfs.ingest import assign, list_sources, register_media
from mmfs.ingest import register as register_module
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.ingest.making import clip, ingest, jpeg, open_store, photo


def rows(store: Store, table: str, *columns: str, shard: str | None = None) -> list[Any]:
    """Rows as tuples, or values when one column is asked for."""
    found = store.tables.read(table, columns=list(columns), shard=shard).to_pylist()
    return [row[columns[0]] if len(columns) == 1 else tuple(row[name] for name in columns) for row in found]


def register(store: Store, *shards: str, now_us: int = 1) -> None:
    for shard in shards or ["000000"]:
        register_media(store, shard, now_us=now_us)


def complete(store: Store) -> bool:
    """Whether listings = sources + quarantine."""
    failed = [uri for uri, stage in rows(store, "quarantine", "uri", "stage") if stage == "raw_media"]
    return sorted(rows(store, "sources", "uri") + failed) == sorted(rows(store, "listings", "uri"))


@contextmanager
def no_guard(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within this, whoever starts to decode fails."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was going to be read")

    with monkeypatch.context() as patch:
        patch.setattr(register_module, "Guard", refuse)
        yield


def test_files_become_media_with_what_was_listed_and_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "store")
    one = photo(tmp_path / "in/a.jpg", 1)
    clip(tmp_path / "in/b.mp4", 1)
    (tmp_path / "in/a.json").write_text('{"licence": "CC0", "creator": "Ada", "lens": 50}')
    ingest(store, tmp_path / "in")
    seen: list[tuple[int, int]] = []
    report = register_media(store, "000000", now_us=5, progress=lambda *at: seen.append(at))
    media = {row["kind"]: row for row in store.tables.read("raw_media").to_pylist()}
    image, video = media["image"], media["video"]
    assert image["media_id"] == media_id_of(image["sha256"])
    assert (image["uri"], image["width"], image["height"], image["size_bytes"]) == (str(one), 48, 32, len(jpeg(1)))
    assert (image["licence"], image["creator"], image["attributes"]) == ("CC0", "Ada", '{"lens": 50}')
    assert (image["added_by"], image["ingested_at_us"]) == ("tests", 5)
    assert (video["width"], video["height"], video["frame_count"], video["video_codec"]) == (64, 48, 20, "h264")
    assert complete(store)
    assert (report.rows, report.computed, report.carried, report.quarantined, report.changed) == (2, 2, 0, 0, True)
    assert seen[-1] == (2, 2)

    versions = {name: store.tables.version(name) for name in store.tables.names()}
    with no_guard(monkeypatch):
        again = register_media(store, "000000", now_us=6)
    assert (again.rows, again.computed, again.carried, again.changed, again.bytes_written) == (2, 0, 2, False, 0)
    assert (again.digest, again.rows_per_s) == (report.digest, 0.0)
    assert {name: store.tables.version(name) for name in store.tables.names()} == versions


def test_equal_bytes_in_a_shard_are_sources_of_one_media(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    for name in ("b.jpg", "a.jpg", "c.png"):  # a wrong suffix decides nothing
        photo(tmp_path / "in" / name, 1)
    ingest(store, tmp_path / "in")
    register(store)
    assert rows(store, "raw_media", "uri") == [str(tmp_path / "in/a.jpg")]
    assert len(set(rows(store, "sources", "media_id"))) == 1
    assert complete(store)


def test_bad_files_are_quarantined_with_their_reason_and_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    inside = tmp_path / "in"
    photo(inside / "good.jpg", 1)
    (inside / "cut.jpg").write_bytes(jpeg(2)[:300])
    (inside / "empty.jpg").write_bytes(b"")
    (inside / "script.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    (inside / "what\nis<b>this.jpg").write_bytes(b"\0" * 100)
    (inside / "l.jsonl").write_text('{"file": "gone.jpg"}\n{"file": "/etc/hostname"}\n')
    ingest(store, inside, inside / "l.jsonl")
    report = register_media(store, "000000", now_us=5)
    reasons = {os.path.basename(uri): reason for uri, reason in rows(store, "quarantine", "uri", "reason")}
    assert reasons == {
        "cut.jpg": "truncated",
        "empty.jpg": "empty",
        "script.mp4": "forbidden",
        "what\nis<b>this.jpg": "unknown_type",
        "gone.jpg": "missing",
        "hostname": "forbidden",
    }
    assert all(message for message in rows(store, "quarantine", "message"))
    assert rows(store, "raw_media", "uri") == [str(inside / "good.jpg")]
    assert (report.rows, report.quarantined) == (1, 6)
    assert complete(store)
    assert register_media(store, "000000", now_us=6).changed is False  # only gone.jpg was looked for

    (inside / "l.jsonl").unlink()
    (inside / "cut.jpg").write_bytes(jpeg(2))
    photo(inside / "gone.jpg", 3)
    ingest(store, inside, now_us=7)
    register(store, now_us=8)
    assert sorted(map(os.path.basename, rows(store, "raw_media", "uri"))) == ["cut.jpg", "gone.jpg", "good.jpg"]
    assert len(rows(store, "quarantine", "uri")) == 4
    assert complete(store)


def test_a_changed_file_becomes_another_media_and_the_old_one_goes(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    changing = photo(tmp_path / "in/a.jpg", 1)
    photo(tmp_path / "in/kept.jpg", 2)
    photo(tmp_path / "in/twin.jpg", 1)
    photo(tmp_path / "in/z.jpg", 3)
    ingest(store, tmp_path / "in")
    register(store)
    before = dict(rows(store, "raw_media", "uri", "media_id"))
    photo(changing, 4)
    photo(tmp_path / "in/z.jpg", 5)
    os.utime(changing, ns=(1, 1))
    os.utime(tmp_path / "in/z.jpg", ns=(1, 1))
    ingest(store, tmp_path / "in", now_us=2)
    report = register_media(store, "000000", now_us=3)
    after = dict(rows(store, "raw_media", "uri", "media_id"))
    assert after[str(tmp_path / "in/twin.jpg")] == before[str(changing)]  # the twin still has these bytes
    assert after[str(tmp_path / "in/kept.jpg")] == before[str(tmp_path / "in/kept.jpg")]
    assert before[str(tmp_path / "in/z.jpg")] not in after.values()
    assert (len(after), report.computed, report.carried) == (4, 2, 2)
    assert complete(store)


def test_a_changed_file_that_broke_is_quarantined_and_its_old_media_goes(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    changing = photo(tmp_path / "in/a.jpg", 1)
    ingest(store, tmp_path / "in")
    register(store)
    changing.write_bytes(b"")
    ingest(store, tmp_path / "in", now_us=2)
    register(store, now_us=3)
    assert rows(store, "raw_media", "uri") == []
    assert rows(store, "sources", "uri") == []
    assert rows(store, "quarantine", "reason") == ["empty"]


def test_new_statements_reach_a_registered_media_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store")
    photo(tmp_path / "in/a.jpg", 1)
    ingest(store, tmp_path / "in")
    register(store)
    (tmp_path / "in/a.json").write_text('{"licence": "CC0"}')
    ingest(store, tmp_path / "in", now_us=2)
    with no_guard(monkeypatch):
        report = register_media(store, "000000", now_us=3)
    assert rows(store, "raw_media", "licence") == ["CC0"]
    assert (report.changed, report.computed) == (True, 0)


def test_the_shard_that_registered_first_owns_equal_bytes(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", shard_max_files=1)
    photo(tmp_path / "in/a.jpg", 1)
    photo(tmp_path / "in/b.jpg", 1)
    ingest(store, tmp_path / "in")
    register(store, "000001", "000000")
    assert rows(store, "raw_media", "shard", "uri") == [("000001", str(tmp_path / "in/b.jpg"))]
    assert rows(store, "sources", "shard") == ["000000", "000001"]
    assert complete(store)

    photo(tmp_path / "in/b.jpg", 2)  # the owner's own source changes: the media stays, under its other name
    os.utime(tmp_path / "in/b.jpg", ns=(1, 1))
    ingest(store, tmp_path / "in", now_us=2)
    register(store, "000001", now_us=3)
    assert sorted(rows(store, "raw_media", "shard", "uri")) == [
        ("000001", str(tmp_path / "in/a.jpg")),
        ("000001", str(tmp_path / "in/b.jpg")),
    ]


def test_two_shards_that_register_equal_bytes_at_once_make_one_media(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "store", shard_max_files=3)
    for shard in ("a", "b"):
        for number in range(3):
            photo(tmp_path / "in" / f"{shard}{number}.jpg", number)
    ingest(store, tmp_path / "in")
    both_have_looked = Barrier(2)
    next_raw_media = register_module.next_raw_media
    looked: set[str] = set()

    def together(current: Any, plan: Any, *args: Any, **options: Any) -> Any:
        made = next_raw_media(current, plan, *args, **options)
        if plan.pending[0] not in looked:  # only the first time, before either has committed
            looked.add(plan.pending[0])
            both_have_looked.wait(60)
        return made

    monkeypatch.setattr(register_module, "next_raw_media", together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda shard: register_media(store, shard, now_us=1), ["000000", "000001"]))
    assert len(rows(store, "raw_media", "media_id")) == 3
    assert len(set(rows(store, "raw_media", "media_id"))) == 3
    assert len(rows(store, "sources", "uri")) == 6
    assert complete(store)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@contextmanager
def killed_at(name: str, nth: int) -> Iterator[None]:
    passes = 0

    def die() -> None:
        nonlocal passes
        passes += 1
        if passes == nth:
            raise Killed

    with arm(name, die), pytest.raises(Killed):
        yield


def mixed_shard(folder: Path) -> None:
    for number in range(2):
        photo(folder / f"{number}.jpg", number)
    photo(folder / "twin.jpg", 1)
    (folder / "bad.jpg").write_bytes(b"")


TABLES = ("raw_media", "sources", "quarantine")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder of media, and the digests of a store into which nobody interfered."""
    folder = tmp_path_factory.mktemp("media")
    mixed_shard(folder)
    store = open_store(tmp_path_factory.mktemp("undisturbed"))
    ingest(store, folder)
    register(store)
    return folder, [store.tables.digest(name) for name in TABLES]


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_kill_before_any_commit_is_mended_by_a_second_run(
    tmp_path: Path, undisturbed: tuple[Path, list[str]], nth: int
) -> None:
    folder, digests = undisturbed
    store = open_store(tmp_path)
    ingest(store, folder)
    with killed_at("tables.before_commit", nth):
        register(store)
    assert not complete(store)
    register(store, now_us=2)
    assert complete(store)
    assert [store.tables.digest(name) for name in TABLES] == digests
    assert register_media(store, "000000", now_us=3).changed is False


def test_a_file_that_changes_after_a_kill_leaves_no_media_without_a_source(tmp_path: Path) -> None:
    mixed_shard(tmp_path / "in")
    store = open_store(tmp_path / "store")
    ingest(store, tmp_path / "in")
    with killed_at("tables.before_commit", 2):  # raw_media is written, sources are not
        register(store)
    photo(tmp_path / "in/0.jpg", 7)
    os.utime(tmp_path / "in/0.jpg", ns=(1, 1))
    ingest(store, tmp_path / "in", now_us=2)
    register(store, now_us=3)
    assert set(rows(store, "raw_media", "media_id")) == set(rows(store, "sources", "media_id"))


def test_a_media_that_lost_its_owner_is_registered_again_by_who_still_has_it(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", shard_max_files=1)
    photo(tmp_path / "in/a.jpg", 1)
    photo(tmp_path / "in/b.jpg", 1)
    ingest(store, tmp_path / "in")
    register(store, "000000", "000001")
    store.tables.update("raw_media", "000000", lambda current: current.slice(0, 0))
    register(store, "000001", now_us=2)
    assert rows(store, "raw_media", "shard", "uri") == [("000001", str(tmp_path / "in/b.jpg"))]


def test_copies_go_into_the_store_by_the_hash_of_their_bytes(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store", copy_media=True)
    photo(tmp_path / "in/a.jpg", 1)
    photo(tmp_path / "in/b.jpg", 1)
    ingest(store, tmp_path / "in")
    report = register_media(store, "000000", now_us=1)
    (sha256,) = rows(store, "raw_media", "sha256")
    assert store.objects.get(f"media/{sha256}") == jpeg(1)
    assert [info.path for info in store.objects.list("media")] == [f"media/{sha256}"]
    assert report.bytes_written > len(jpeg(1))
    assert rows(store, "raw_media", "uri") == [str(tmp_path / "in/a.jpg")]


def test_a_text_that_is_named_becomes_a_media(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    (tmp_path / "story.txt").write_text("once upon a time")
    ingest(store, tmp_path / "story.txt")
    register(store)
    assert rows(store, "raw_media", "kind") == ["text"]


def test_http_media_are_downloaded_only_while_that_is_allowed(tmp_path: Path) -> None:
    allowed = open_store(tmp_path / "store", allow_http=True)
    listed = list_sources(["http://127.0.0.1:1/a.jpg"], allowed.settings)
    assign(allowed, listed, added_by="tests", now_us=1)
    forbidding = open_store(tmp_path / "store")
    register(forbidding)
    assert rows(forbidding, "quarantine", "reason") == ["forbidden"]
