"""Captions by words and by meaning, fused by rank."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfs.client import FeatureStore
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.features.text import TextEmbeddings
from mmfs.search import Hits, build_index, caption_search
from mmfs.search.fusion import fuse
from mmfs.settings import ClipConfig, Settings
from mmfs.store import Store
from tests.conftest import add_media
from tests.features.tiny import SHARD, add_captions, add_frames, write_clip

CAPTIONS = [
    ["a red ball on grass", "ein roter Ball"],
    ["two dogs in the snow"],
    ["a ship", "a boat", "the sea"],
    ["a red cube"],
    [],
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Five media with a frame each, four of them with captions, embedded and indexed. Read only."""
    folder: Path = tmp_path_factory.mktemp("captions")
    clip = ClipConfig(model=f"local-dir:{write_clip(folder)}", batch_size=4)
    made = Store.open(settings=Settings(store=str(folder / "store"), clip=clip, device="cpu", workers=1))
    add_media(made, SHARD, range(5))
    add_frames(made, range(5))
    add_captions(made, CAPTIONS)
    run_feature(made, instantiate(registered(made.settings)["text_embeddings"], made.settings), SHARD)
    build_index(made, "text_embeddings", [SHARD])
    return made


def media(hits: Hits) -> list[int]:
    return [int(name, 16) for name in hits.table["media_id"].to_pylist()]


def test_a_ranking_alone_stays_as_it_is_and_what_both_rank_high_comes_first() -> None:
    assert fuse([["a", "b", "c"]]) == [("a", 1 / 61), ("b", 1 / 62), ("c", 1 / 63)]
    assert fuse([["a", "b"], ["c", "b"]])[0] == ("b", 2 / 62)
    assert fuse([[], []]) == []


def test_scores_are_the_sums_of_reciprocal_ranks_by_words_and_by_meaning(store: Store) -> None:
    features = FeatureStore(store)
    words = media(features.search("red ball", space="caption_words", k=5))
    dense = features.search("red ball", space="text_embeddings", k=20, group="media")
    hits = features.search("red ball", space="captions", k=5)
    wanted = dict(fuse([words, media(dense)]))
    assert set(words) == {0, 3}
    assert len(hits) == 4  # by meaning, every caption is at some distance
    assert dict(zip(media(hits), hits.table["score"].to_pylist(), strict=True)) == pytest.approx(wanted)
    assert media(hits) == list(wanted)
    assert hits.info.plan == "no condition; by words and by meaning, fused by rank"
    assert hits.info.model.startswith("BM25 and ")
    assert (hits.info.build_id, hits.info.engine) == (dense.info.build_id, "captions")
    shown = dict(zip(media(hits), hits.table["caption"].to_pylist(), strict=True))
    assert shown[0] == "a red ball on grass"


def test_words_alone_find_nothing_without_a_word_in_common(store: Store) -> None:
    features = FeatureStore(store)
    assert features.search("zebra", space="caption_words").info.nothing == "no caption answers"
    assert len(features.search("zebra", space="captions")) == 4
    ball = features.search("red ball", space="caption_words")
    floor = sum(ball.table["score"].to_pylist()) / 2
    assert media(features.search("red ball", space="caption_words", min_score=floor)) == [0]


def test_captions_that_hold_an_unwanted_word_are_no_hits(store: Store) -> None:
    features = FeatureStore(store)
    for space in ("captions", "caption_words"):
        hits = features.search("a red ball", not_text="a red cube", space=space, k=5)
        assert 0 in media(hits)
        assert 3 not in media(hits)
    # Another caption of the same media may still answer.
    ship = features.search("a boat", not_text="ship", space="captions", k=5)
    assert {row["media_id"]: row["caption"] for row in ship.table.to_pylist()}[f"{2:032x}"] in ("a boat", "the sea")


@pytest.mark.parametrize("many", [False, True])
def test_conditions_hold_for_both_rankings(store: Store, monkeypatch: pytest.MonkeyPatch, many: bool) -> None:
    if many:
        monkeypatch.setattr(caption_search, "MAX_IDS", 0)
    hits = FeatureStore(store).search("red", space="captions", where="width >= 2", k=5)
    assert sorted(media(hits)) == [1, 2, 3]


def test_without_embeddings_of_todays_model_words_alone_are_searched_and_it_is_said(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = store.settings.model_copy(update={"clip": ClipConfig(model=f"local-dir:{write_clip(tmp_path, seed=9)}")})
    hits = FeatureStore(Store.open(settings=moved)).search("red", space="captions")
    assert (sorted(media(hits)), hits.info.build_id) == ([0, 3], None)
    assert "by words alone (the index of text_embeddings was built with" in hits.info.plan
    monkeypatch.setattr(TextEmbeddings, "is_demo", True, raising=False)
    demo = FeatureStore(store).search("red", space="captions")
    assert "by words alone (the demo model" in demo.info.plan
    assert sorted(media(demo)) == [0, 3]
