"""``store.curate``: answers are tables with keys and provenance, and what they choose can be trained on."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mmfs.client import FeatureStore
from mmfs.curation import space as spaces
from mmfs.errors import CurationError, StoreError, WhereError
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.store import Store
from mmfs.store.subsets import Provenance
from tests.curation.world import SPACE, clustered, fill, frame_key, media_id, put, unit


@pytest.fixture
def lab(store: Store) -> FeatureStore:
    """Forty frames around four centres, one far from all; media 0 to 9 are videos of the kind video."""
    vectors = clustered(40, 16, seed=5, centres=4, width=0.05)
    vectors[17] = unit(np.random.default_rng(6).normal(size=16))
    raw = {number: {"kind": "video" if number < 10 else "image", "width": 100 + number} for number in range(40)}
    fill(store, vectors, hashes=list(range(40)), raw=raw)
    return FeatureStore(store)


def test_the_frame_that_is_like_no_other_is_the_first_outlier(lab: FeatureStore) -> None:
    found = lab.curate.outliers(top=3, neighbours=5)
    assert found["key"][0].as_py() == frame_key(17)
    assert found["score"].to_pylist() == sorted(found["score"].to_pylist(), reverse=True)
    assert lab.curate.figures(found) == {"vectors": 40, "is_exact": True}


def test_frames_of_the_same_video_do_not_hide_that_it_is_odd(store: Store) -> None:
    vectors = unit(np.concatenate([np.tile([[0, 0, 1]], (6, 1)), [[1, 0.01 * step, 0] for step in range(20)]]))
    fill(store, vectors, media=[0] * 6 + list(range(1, 21)))
    curate = FeatureStore(store).curate
    assert set(curate.outliers(top=6, neighbours=3)["media_id"].to_pylist()) == {media_id(0)}
    assert media_id(0) not in curate.outliers(top=6, neighbours=3, within_media=True)["media_id"].to_pylist()


def test_a_diverse_choice_has_one_of_each_cluster_first_and_says_how_well_it_covers(lab: FeatureStore) -> None:
    found = lab.curate.diverse(5, seed=1)
    centres = lab.curate.clusters(4, where="media_id != '" + media_id(17) + "'")
    cluster_of = dict(zip(centres["key"].to_pylist(), centres["cluster"].to_pylist(), strict=True))
    chosen = [key for key in found["key"].to_pylist() if key != frame_key(17)]
    assert len({cluster_of[key] for key in chosen}) == len(chosen) == 4
    figures = lab.curate.figures(found)
    assert figures["vectors"] == 40
    assert 0 < figures["mean_distance"] <= figures["radius"] < 0.2
    assert found["score"][0].as_py() == 2.0
    assert lab.curate.diverse(5, seed=1).equals(found)


def test_clusters_are_numbered_by_size_and_cover_every_sample(lab: FeatureStore) -> None:
    found = lab.curate.clusters(4, where=f"media_id != '{media_id(17)}'")
    sizes = [Counter(found["cluster"].to_pylist())[number] for number in range(4)]
    assert lab.curate.figures(found)["sizes"] == sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == 39
    assert max(found["distance"].to_pylist()) < 0.1


def test_leaks_name_the_same_media_first_and_then_what_is_too_near(store: Store) -> None:
    vectors = unit([[1, 0, 0], [1, 0.05, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0.5], [1, 1, 1]])
    fill(store, vectors, media=[0, 1, 2, 3, 4, 2])
    lab = FeatureStore(store)
    keys = {"train": [frame_key(0), frame_key(2, 1), frame_key(3), frame_key(4)], "eval": [frame_key(1), frame_key(2)]}
    for name, members in keys.items():
        lab.subset(name).save(pa.table({"key": members}))
    found = lab.curate.leaks("train", "eval").to_pylist()
    assert [(row["key"], row["other_key"], row["reason"]) for row in found] == [
        (frame_key(2, 1), frame_key(2), "same media"),
        (frame_key(0), frame_key(1), "vector"),
    ]
    assert [row["score"] for row in found] == [1.0, pytest.approx(0.99875, abs=1e-3)]
    assert lab.curate.leaks("train", "eval", threshold=0.8).num_rows == 3
    assert lab.curate.leaks("train", "eval", where=f"media_id = '{media_id(3)}'").num_rows == 0


def test_nearest_of_another_subset_is_that_of_comparing_all_with_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = clustered(60, 8, seed=9)
    fill(store, vectors)
    lab = FeatureStore(store)
    lab.subset("a").save(pa.table({"key": [frame_key(number) for number in range(40)]}))
    lab.subset("b").save(pa.table({"key": [frame_key(number) for number in range(40, 60)]}))
    monkeypatch.setattr(importlib.import_module("mmfs.curation.leaks"), "_SIDE", 7)
    found = lab.curate.leaks("a", "b", threshold=-1.0)
    close = vectors[:40] @ vectors[40:].T
    for row in found.to_pylist():
        mine, other = int(row["media_id"], 16), int(row["other_key"][:32], 16) - 40
        assert close[mine, other] == pytest.approx(close[mine].max(), abs=2e-3)
    assert found.num_rows == 40


def test_balanced_takes_as_many_of_each_value_as_there_are_and_is_seeded(lab: FeatureStore) -> None:
    found = lab.curate.balanced("raw_media.kind", n=30, seed=3)
    kinds = Counter("video" if int(key[:32], 16) < 10 else "image" for key in found["key"].to_pylist())
    assert kinds == {"video": 10, "image": 20}
    assert lab.curate.balanced("raw_media.kind", n=30, seed=3).equals(found)
    assert not lab.curate.balanced("raw_media.kind", n=30, seed=4).equals(found)
    even = lab.curate.balanced("kind", each=7)
    assert [part["drawn"] for part in lab.curate.figures(even)["parts"]] == [7, 7]
    ranges = lab.curate.balanced("brightness", each=2, bins=4)
    assert Counter(ranges["part"].to_pylist()) == {0: 2, 1: 2, 2: 2, 3: 2}
    media = lab.curate.balanced("kind", each=1, grain="media")
    assert media.column_names == ["media_id", "key", "part"]


def test_a_distribution_counts_values_and_says_quantiles_of_numbers(lab: FeatureStore) -> None:
    kinds = lab.curate.distribution("raw_media.kind")
    assert kinds.to_pylist() == [
        {"value": "image", "samples": 30, "share": 0.75},
        {"value": "video", "samples": 10, "share": 0.25},
    ]
    widths = lab.curate.distribution("width", bins=4, where="kind = 'video'")
    assert widths["samples"].to_pylist() == [3, 2, 2, 3]
    assert widths["low"].to_pylist() == [100.0, 102.25, 104.5, 106.75]
    figures = lab.curate.figures(widths)
    assert (figures["min"], figures["p50"], figures["max"], figures["samples"]) == (100.0, 104.5, 109.0, 10)
    assert lab.curate.distribution("creator").to_pylist() == [{"value": None, "samples": 40, "share": 1.0}]
    assert lab.curate.distribution("width").num_rows == 10


def test_samples_without_a_value_are_counted_beside_the_ranges(store: Store) -> None:
    fill(store, clustered(4, 4, seed=0), raw={1: {"fps": 5.0}, 2: {"fps": 15.0}})
    found = FeatureStore(store).curate.distribution("fps", bins=2)
    assert found.to_pylist() == [
        {"low": 5.0, "high": 10.0, "samples": 1, "share": 0.25},
        {"low": 10.0, "high": 15.0, "samples": 1, "share": 0.25},
        {"low": None, "high": None, "samples": 2, "share": 0.5},
    ]


def test_a_saved_answer_says_where_it_came_from_and_can_be_pinned_asked_and_loaded(lab: FeatureStore) -> None:
    found = lab.curate.diverse(6, where="kind = 'image'", seed=2)
    saved = lab.subset("varied").save(found)
    assert (saved.grain, saved.samples) == ("frame", 6)
    [row] = lab.sql('SELECT DISTINCT query, "where", model, source_versions FROM subsets').to_pylist()
    assert row["query"] == "diverse(n=6, space='clip_embeddings', seed=2)"
    assert row["where"] == "kind = 'image'"
    assert row["model"].startswith("model of weights (fingerprint ")
    assert json.loads(row["source_versions"]) == {
        table: lab.core.tables.version(table) for table in ("frames", "raw_media", SPACE)
    }
    assert lab.subset("varied").to_arrow()["score"].to_pylist() == found["score"].to_pylist()
    pin = lab.pin("p", columns=[f"{SPACE}.vector"], subset="varied")
    assert pin.samples == 6
    inside = lab.curate.clusters(2, subset="varied")
    assert sorted(inside["key"].to_pylist()) == sorted(found["key"].to_pylist())
    batch = next(iter(lab.loader("p", batch_size=6)))
    assert sorted(batch["_key"]) == sorted(found["key"].to_pylist())


def test_provenance_outlives_filters_and_slices(lab: FeatureStore) -> None:
    found = lab.curate.duplicates(max_hamming=None)
    kept = found.filter(found["is_kept"]).slice(0, 3).select(["key"])
    assert Provenance.of(kept) == Provenance.of(found)
    assert (Provenance.of(found).query or "").startswith("duplicates(threshold=0.95, keep='largest'")
    assert Provenance.of(pa.table({"key": []})) == Provenance()


def test_media_that_were_taken_down_are_not_looked_at(lab: FeatureStore) -> None:
    put(lab.core, "tombstones", "all", pa.table({"media_id": [media_id(17)], "at_us": [1]}))
    assert frame_key(17) not in lab.curate.clusters(2)["key"].to_pylist()
    assert lab.curate.distribution("kind")["samples"].to_pylist() == [29, 10]


def test_vectors_that_do_not_fit_go_to_a_scratch_file_and_nothing_else_changes(
    lab: FeatureStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = lab.curate.outliers(top=5, neighbours=3)
    monkeypatch.setattr(spaces, "_IN_MEMORY_BYTES", 0)
    opened = spaces.open_space(lab.core, SPACE)
    assert isinstance(opened.vectors, np.memmap)
    assert lab.curate.outliers(top=5, neighbours=3).equals(before)


def test_asking_for_more_than_there_is_is_refused_with_what_there_is(lab: FeatureStore) -> None:
    for call in (
        lambda: lab.curate.outliers(top=41),
        lambda: lab.curate.diverse(41),
        lambda: lab.curate.diverse(0),
        lambda: lab.curate.clusters(41),
        lambda: lab.curate.balanced("kind", n=41),
    ):
        with pytest.raises(CurationError, match="there are 40"):
            call()
    with pytest.raises(CurationError, match="39 others in other media"):
        lab.curate.outliers(top=1, neighbours=40)
    with pytest.raises(CurationError, match="give one of n= and each="):
        lab.curate.balanced("kind", n=1, each=1)


def test_a_wrong_space_subset_or_column_is_named(lab: FeatureStore) -> None:
    with pytest.raises(CurationError, match=r"'clip_embedings' is no space.*spaces of this store: clip_embeddings"):
        lab.curate.diverse(2, space="clip_embedings")
    with pytest.raises(StoreError, match="no subset 'gone'"):
        lab.curate.diverse(2, subset="gone")
    with pytest.raises(WhereError, match="hight"):
        lab.curate.diverse(2, where="hight > 3")
    with pytest.raises(CurationError, match="no frame is left"):
        lab.curate.diverse(2, where="width > 10000")
    with pytest.raises(CurationError, match="name a column of texts"):
        lab.curate.distribution(f"{SPACE}.vector")
    with pytest.raises(CurationError, match="give one or more bins, and a column of numbers"):
        lab.curate.distribution("kind", bins=3)
    with pytest.raises(CurationError, match="threshold = 3"):
        lab.curate.leaks("a", "b", threshold=3)


def test_a_subset_of_another_grain_is_refused_and_one_of_media_stands_for_its_frames(lab: FeatureStore) -> None:
    words = feature_table("text_embeddings", "T.", "caption", (vector_column("vector", "V.", VectorType(4)),))
    lab.core.tables.ensure(words)
    lab.subset("frames").save(pa.table({"key": [frame_key(1)]}))
    with pytest.raises(CurationError, match="holds samples of grain frame, and captions are looked at"):
        lab.curate.diverse(1, space="text_embeddings", subset="frames")
    lab.subset("media").save(pa.table({"media_id": [media_id(1), media_id(2)]}))
    assert lab.curate.clusters(1, subset="media")["key"].to_pylist() == [frame_key(2), frame_key(1)]


def test_frames_without_vectors_are_said_to_have_none(lab: FeatureStore) -> None:
    lab.core.tables.update(SPACE, "000000", lambda rows: rows.slice(0, 0))
    with pytest.raises(CurationError, match=r"none of 1 samples has a vector in clip_embeddings.*materialize"):
        lab.curate.diverse(1, where=f"media_id = '{media_id(2)}'")


def test_vectors_of_two_models_or_that_are_no_vectors_are_refused(store: Store) -> None:
    vectors = clustered(6, 4, seed=0)
    fill(store, vectors)
    put(store, SPACE, "000001", store.tables.read(SPACE, shard="000001").slice(1), {"model": "old"})
    with pytest.raises(CurationError, match="vectors of different models cannot be compared: model of weights"):
        FeatureStore(store).curate.diverse(1)
    vectors[4] = 0
    fill(store, vectors)
    with pytest.raises(CurationError, match=f"1 vectors are all zero or not finite, first that of {frame_key(4)}"):
        FeatureStore(store).curate.diverse(1)
