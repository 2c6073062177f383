"""Nothing that was listed may get lost on its way to frames, and quarantine must stay small."""

from __future__ import annotations

import pyarrow as pa

from mmfs.ingest.checks import captions_of_nothing, quarantine_above, unaccounted_files, unaccounted_pictures
from mmfs.store import Store
from mmfs.store.problem import Problem
from tests.conftest import add_frames, add_media, media_id

SHARD = "000000"


def _listed(store: Store, *uris: str) -> None:
    store.tables.update("listings", SHARD, lambda _: pa.table({"uri": uris}))


def _quarantined(store: Store, stage: str, *uris: str) -> None:
    rows = pa.table({"uri": uris, "stage": [stage] * len(uris), "reason": ["corrupt"] * len(uris)})
    store.tables.update("quarantine", SHARD, lambda _: rows)


def _said(problems: list[Problem]) -> list[str]:
    return [str(problem) for problem in problems]


def test_a_listed_file_is_a_source_or_in_quarantine(store: Store) -> None:
    _listed(store, "a", "b", "c")
    _quarantined(store, "raw_media", "b")
    store.tables.update("sources", SHARD, lambda _: pa.table({"media_id": [media_id(0)], "uri": ["a"]}))
    assert _said(unaccounted_files(store, SHARD)) == ["1 listed files are neither media nor in quarantine, first c"]


def test_a_picture_has_frames_or_a_quarantine_row(store: Store) -> None:
    add_media(store, SHARD, range(3))
    add_frames(store, SHARD, [0])
    _quarantined(store, "frames", "file:///media/1.jpg")
    assert _said(unaccounted_pictures(store, SHARD)) == [
        f"1 pictures or videos have neither frames nor a quarantine row, first {media_id(2)}"
    ]


def test_frames_and_captions_belong_to_media(store: Store) -> None:
    add_frames(store, SHARD, [7])
    caption = {"media_id": [media_id(8)], "caption_index": [0], "text": ["x"], "fingerprint": ["f"]}
    store.tables.update("captions", SHARD, lambda _: pa.table(caption))
    assert _said(unaccounted_pictures(store, SHARD)) == [f"1 media have frames but no row, first {media_id(7)}"]
    assert _said(captions_of_nothing(store, SHARD)) == [f"1 media have captions but no row, first {media_id(8)}"]


def test_quarantine_is_told_only_above_the_setting(store: Store) -> None:
    _listed(store, *(f"{number:03d}" for number in range(40)))
    _quarantined(store, "raw_media", "000", "001")
    assert quarantine_above(store, SHARD) == []
    _quarantined(store, "raw_media", "000", "001", "002")
    assert _said(quarantine_above(store, SHARD)) == ["3 of 40 files (7.5%) are in quarantine: corrupt 3, first 000"]
