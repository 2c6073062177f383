"""`mmfs compact`: what it would do, what it did, and how it ends when a pack is damaged."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from mmfs.store import Store
from tests.cli.conftest import Run
from tests.conftest import add_frames, media_id


@pytest.fixture
def url(store: Store) -> str:
    """A store with one shard most of whose frames are gone."""
    add_frames(store, "000000", range(4))
    store.tables.update("frames", "000000", lambda rows: rows.slice(0, 2))
    return store.url


def test_a_dry_run_says_what_would_be_rewritten_and_the_real_one_does_it_once(run: Run, url: str) -> None:
    code, out, _ = run("compact", "--dry-run", "--store", url)
    assert code == 0
    assert "would rewrite 1 of 1 shards" in out
    code, out, _ = run("compact", "--store", url, "--json")
    found = json.loads(out)
    assert code == 0
    assert [(one["table"], one["shard"], one["packs_after"]) for one in found["rewritten"]] == [("frames", "000000", 1)]
    assert "rewrote 0 of 1 shards" in run("compact", "--store", url)[1]


def test_what_was_left_for_media_that_were_taken_down_is_said_and_ends_with_code_0(run: Run, url: str) -> None:
    store = Store.open(url)
    store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(0)]}))
    code, out, _ = run("compact", "--store", url)
    assert code == 0
    assert "packs of frames/000000 that hold media that were taken down, and stay as they are: 1" in out
    assert json.loads(run("compact", "--store", url, "--json")[1])["taken_down"] == {"frames/000000": 1}


def test_a_damaged_pack_is_named_and_ends_with_code_1(run: Run, url: str) -> None:
    store = Store.open(url)
    pack = store.tables.read("frames")["pack"][0].as_py()
    store.objects.put(pack, bytes(store.objects.size(pack)))
    code, out, _ = run("compact", "--store", url)
    assert code == 1
    assert pack in out.replace("\n", "")
    assert "rewrote 0 of 1 shards" in out
