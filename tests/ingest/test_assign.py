"""Giving URIs their shards."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmfs.ingest import Caption, Listed, assign
from mmfs.ingest.filling import Filled, Limits, fill
from mmfs.ingest.listed import merge_listed
from mmfs.ingest.listing_rows import listing_row, listing_table, read_listed
from mmfs.store import Store
from tests.ingest.making import open_store

MIB = 1 << 20


def files(count: int, *, size_bytes: int = 1, start: int = 0) -> list[Listed]:
    return [Listed(f"/media/{n:05d}.jpg", size_bytes, None, 7) for n in range(start, start + count)]


def placed(store: Store) -> dict[str, list[str]]:
    """URIs by shard."""
    rows = store.tables.read("listings", columns=["shard", "uri"]).to_pylist()
    return {shard: [row["uri"] for row in rows if row["shard"] == shard] for shard in store.tables.shards("listings")}


def test_the_open_shard_fills_by_files_then_the_next_one_opens(tmp_path: Path) -> None:
    store = open_store(tmp_path, shard_max_files=3)
    report = assign(store, files(5), added_by="me", now_us=1)
    assert (report.new, report.known, report.shards) == (5, 0, ["000000", "000001"])
    assert {shard: len(uris) for shard, uris in placed(store).items()} == {"000000": 3, "000001": 2}
    report = assign(store, files(2, start=5), added_by="me", now_us=2)
    assert report.shards == ["000001", "000002"]
    assert {shard: len(uris) for shard, uris in placed(store).items()} == {"000000": 3, "000001": 3, "000002": 1}


def test_the_open_shard_fills_by_bytes_and_the_file_that_fills_it_may_be_of_any_size(tmp_path: Path) -> None:
    store = open_store(tmp_path, shard_target_mb=1)
    sizes = [MIB // 2, MIB // 2, 1, 5 * MIB, MIB]
    items = [Listed(f"/{n}.mp4", size, None, 1) for n, size in enumerate(sizes)]
    assign(store, items, added_by="me", now_us=1)
    assert placed(store) == {
        "000000": ["/0.mp4", "/1.mp4"],
        "000001": ["/2.mp4", "/3.mp4"],
        "000002": ["/4.mp4"],
    }


def test_the_same_listing_in_any_order_gives_the_same_shards(tmp_path: Path) -> None:
    items = [*files(7), Listed("/media/large.mp4", 2 * MIB, None, 1)]
    found = []
    for seed in range(3):
        store = open_store(tmp_path / str(seed), shard_max_files=3, shard_target_mb=1)
        shuffled = random.Random(seed).sample(items, len(items))
        assign(store, shuffled, added_by="me", now_us=seed)
        found.append((placed(store), store.tables.digest("listings")))
    assert found[0] == found[1] == found[2]


def test_a_second_assignment_changes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assign(store, files(3), added_by="me", now_us=1)
    before = store.tables.version("listings")
    report = assign(store, files(3), added_by="me", now_us=2)
    assert (report.new, report.known, report.updated, report.shards) == (0, 3, 0, [])
    assert store.tables.version("listings") == before


def test_a_changed_file_and_new_captions_update_the_row_where_it_is(tmp_path: Path) -> None:
    store = open_store(tmp_path, shard_max_files=2)
    items = files(4)
    assign(store, items, added_by="me", now_us=1)
    changed = [
        replace(items[0], mtime_us=8),
        replace(items[3], captions=(Caption("a dog", "list"),), licence="CC0"),
        items[1],
    ]
    report = assign(store, changed, added_by="you", now_us=2)
    assert (report.new, report.updated, report.shards) == (0, 2, ["000000", "000001"])
    rows = {row["uri"]: row for row in store.tables.read("listings").to_pylist()}
    assert (rows[items[0].uri]["mtime_us"], rows[items[0].uri]["listed_at_us"]) == (8, 2)
    assert read_listed(rows[items[3].uri]) == changed[1]
    assert rows[items[3].uri]["added_by"] == "me"
    assert (rows[items[1].uri]["listed_at_us"], rows[items[2].uri]["listed_at_us"]) == (1, 1)


def test_an_empty_listing_makes_no_shard(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert assign(store, [], added_by="me", now_us=1).shards == []
    assert placed(store) == {}


def test_assignments_at_the_same_time_put_every_uri_into_one_shard(tmp_path: Path) -> None:
    open_store(tmp_path, shard_max_files=5)

    def work(worker: int) -> int:
        store = open_store(tmp_path, shard_max_files=5)
        return assign(store, files(12, start=3 * worker), added_by=str(worker), now_us=1).new

    with ThreadPoolExecutor(4) as pool:
        new = list(pool.map(work, range(4)))
    shards = placed(open_store(tmp_path))
    everywhere = [uri for uris in shards.values() for uri in uris]
    assert sorted(everywhere) == [item.uri for item in files(21)]
    assert sum(new) == 21
    assert all(len(uris) <= 5 for uris in shards.values())


captions = st.lists(st.builds(Caption, st.text(max_size=5), st.sampled_from(["list", "sidecar"])), max_size=4)
states = st.builds(
    Listed,
    uri=st.just("/a.jpg"),
    size_bytes=st.sampled_from([None, 1, 2]),
    mtime_us=st.integers(0, 3),
    captions=captions.map(tuple),
    licence=st.sampled_from([None, "CC0", "MIT"]),
    attributes=st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=2),
    refused=st.sampled_from([None, "forbidden: no"]),
)


@given(states, states)
def test_listing_something_again_settles_at_once(old: Listed, new: Listed) -> None:
    merged = merge_listed(old, new)
    assert merge_listed(merged, new) == merged
    assert merged.refused is None or new.refused is not None
    assert {c.text for c in new.captions} <= {c.text for c in merged.captions}


@given(states)
def test_a_row_holds_an_entry_whole(listed: Listed) -> None:
    (row,) = listing_table([listing_row(listed, added_by="me", listed_at_us=1)]).to_pylist()
    assert read_listed(row) == listed


def test_shards_fill_as_the_pure_function_says(tmp_path: Path) -> None:
    rng = random.Random(7)
    store = open_store(tmp_path, shard_max_files=16, shard_target_mb=1)
    sizes = [rng.choice([None, rng.randrange(90_000), rng.randrange(900_000)]) for _ in range(90)]
    for day in range(0, len(sizes), 10):
        items = [Listed(f"/{n:04d}.jpg", sizes[n], None, 1) for n in range(day, day + 10)]
        assign(store, items, added_by="me", now_us=day)
    limits = Limits(target_bytes=MIB, max_files=16)
    expected = fill(limits, Filled(), np.array([size or 0 for size in sizes], np.int64))
    rows = store.tables.read("listings", columns=["shard", "size_bytes"]).to_pylist()
    found = [[row["size_bytes"] or 0 for row in rows if row["shard"] == f"{n:06d}"] for n in range(len(expected))]
    assert [Filled(len(held), sum(held)) for held in found] == expected
    assert len(expected) > 5


def test_a_store_that_nears_the_number_of_shards_it_is_meant_for_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert assign(store, files(1), added_by="me", now_us=1).warnings == ()
    (row,) = files(1, start=1)
    store.tables.update(
        "listings", "014999", lambda _: listing_table([listing_row(row, added_by="me", listed_at_us=1)])
    )
    [warning] = assign(store, files(1, start=2), added_by="me", now_us=1).warnings
    assert "15,000 shards" in warning
    assert "MMFS_SHARD_TARGET_MB" in warning
