"""Captions of a shard: gathered from listings, with indices that stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mmfs.ingest import Caption, Listed, assign, build_captions
from mmfs.ingest.captions import _SCHEMA, next_captions
from mmfs.store import Store
from tests.ingest.making import open_store

ONE, TWO = "1" * 32, "2" * 32


def registered(store: Store, shard: str, sources: dict[str, str], *, owned: list[str] | None = None) -> None:
    """Put sources (media id by URI) and their media into a shard, without reading any file."""
    rows = [{"media_id": media_id, "uri": uri} for uri, media_id in sources.items()]
    store.tables.update("sources", shard, lambda _: pa.Table.from_pylist(rows))
    media = sorted(set(sources.values())) if owned is None else owned
    columns = {"media_id": pa.array(media, pa.string()), "uri": pa.array(["/"] * len(media), pa.string())}
    store.tables.update("raw_media", shard, lambda _: pa.table(columns))


def say(store: Store, uri: str, *texts: str, source: str = "list", now_us: int = 1) -> None:
    captions = tuple(Caption(text, source) for text in texts)
    assign(store, [Listed(uri, 1, None, 1, captions)], added_by="tests", now_us=now_us)


def texts(store: Store, shard: str = "000000") -> list[tuple[Any, ...]]:
    rows = store.tables.read("captions", shard=shard).to_pylist()
    return [(row["media_id"][0], row["caption_index"], row["text"]) for row in rows]


def test_the_captions_of_all_sources_of_a_media_are_gathered_each_text_once(tmp_path: Path) -> None:
    store = open_store(tmp_path, shard_max_files=2)
    say(store, "/a.jpg", "a dog", "a brown dog")
    say(store, "/b.jpg", "a cat")
    say(store, "/c.jpg", "a dog", "ein Hund")  # the same bytes as a.jpg, in the next shard
    registered(store, "000000", {"/a.jpg": ONE, "/b.jpg": TWO})
    registered(store, "000001", {"/c.jpg": ONE}, owned=[])
    report = build_captions(store, "000000")
    assert texts(store) == [("1", 0, "a dog"), ("1", 1, "a brown dog"), ("1", 2, "ein Hund"), ("2", 0, "a cat")]
    assert (report.rows, report.computed, report.carried, report.changed) == (4, 4, 0, True)
    assert build_captions(store, "000001").rows == 0
    again = build_captions(store, "000000")
    assert (again.rows, again.computed, again.carried, again.changed, again.digest) == (4, 0, 4, False, report.digest)


def test_a_caption_keeps_its_index_when_others_come_and_go(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    say(store, "/b.jpg", "second name")
    registered(store, "000000", {"/a.jpg": ONE, "/b.jpg": ONE})
    build_captions(store, "000000")
    say(store, "/a.jpg", "first name", "another", source="sidecar", now_us=2)  # sorts before /b.jpg
    assert build_captions(store, "000000").computed == 2
    assert texts(store) == [("1", 0, "second name"), ("1", 1, "first name"), ("1", 2, "another")]
    say(store, "/a.jpg", "another", "corrected", source="sidecar", now_us=3)
    build_captions(store, "000000")
    assert texts(store) == [("1", 0, "second name"), ("1", 2, "another"), ("1", 3, "corrected")]


def test_captions_that_models_wrote_are_carried_along(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    say(store, "/a.jpg", "from a list")
    registered(store, "000000", {"/a.jpg": ONE})
    written = {"caption_index": 5, "text": "from a model", "source": "captioner-7b", "fingerprint": "f"}
    rows = [{"media_id": ONE, **written}, {"media_id": TWO, **written}]
    store.tables.update("captions", "000000", lambda _: pa.Table.from_pylist(rows))
    build_captions(store, "000000")
    assert texts(store) == [("1", 5, "from a model"), ("1", 6, "from a list")]


def test_captions_of_media_that_left_the_shard_go(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    say(store, "/a.jpg", "a dog")
    registered(store, "000000", {"/a.jpg": ONE})
    build_captions(store, "000000")
    registered(store, "000000", {"/a.jpg": TWO})
    build_captions(store, "000000")
    assert texts(store) == [("2", 0, "a dog")]


def test_poisoned_captions_are_stored_as_they_are(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    poison = ["<script>alert(1)</script>", "'; DROP TABLE captions; --", "a\nb\tc\x1b[31m", "\u202egnp.exe", "{{7*7}}"]
    say(store, "/a.jpg", *poison)
    registered(store, "000000", {"/a.jpg": ONE})
    build_captions(store, "000000")
    assert [text for _, _, text in texts(store)] == poison


WORDS = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


@given(st.lists(WORDS, max_size=5))
def test_indices_are_unique_and_never_move(history: list[list[str]]) -> None:
    empty = current = _SCHEMA.empty_table()
    for wanted in history:
        before = {row["text"]: row["caption_index"] for row in current.to_pylist()}
        rows = next_captions(current, empty, {ONE: [Caption(word, "list") for word in wanted]} if wanted else {})
        current = pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], schema=_SCHEMA)
        after = {row["text"]: row["caption_index"] for row in current.to_pylist()}
        assert sorted(after) == sorted(wanted)
        assert len(set(after.values())) == len(after)
        assert all(after[word] == before[word] for word in after.keys() & before.keys())
