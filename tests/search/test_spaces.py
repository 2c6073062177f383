"""Spaces of captions, of frames, and of features of one's own; and that no query reaches the space of another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mmfs.client import FeatureStore
from mmfs.errors import SearchError, WhereError
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.feature import Feature, Vector, feature
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.features.text import TextEmbeddings
from mmfs.search import Hits, Searcher, SearchQuery, build_index
from mmfs.settings import ClipConfig, Settings
from mmfs.store import Store
from tests.conftest import add_media, media_id
from tests.features.tiny import DIM, SHARD, add_captions, add_frames, picture, write_clip

CAPTIONS = [["a red ball on grass", "ein roter Ball"], ["two dogs in the snow"], ["a ship", "a boat", "the sea"]]
SPACES = ["clip_embeddings", "text_embeddings", "letter_counts", "mean_colours", "turned"]


@feature(table="letter_counts", grain="caption", inputs=["captions.text"], space=True)
class LetterCounts(Feature):
    """How often three letters are in a text: no method for queries, none is needed."""

    outputs: ClassVar = {"vector": Vector(3)}  # type: ignore[misc]

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"vector": torch.tensor([[float(text.count(c)) for c in "aos"] for text in batch["captions.text"]])}


@feature(table="mean_colours", grain="frame", inputs=["frames.image"], space=True)
class MeanColours(Feature):
    """Mean red, green and blue."""

    outputs: ClassVar = {"colour": Vector(3)}  # type: ignore[misc]

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"colour": batch["frames.image"].float().mean((2, 3)) / 255}


@feature(table="turned", grain="frame", inputs=["clip_embeddings.vector"], space=True)
class Turned(Feature):
    """Embeddings, backwards: no query can be computed."""

    outputs: ClassVar = {"vector": Vector(DIM)}  # type: ignore[misc]

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"vector": batch["clip_embeddings.vector"].flip(1)}


@pytest.fixture(scope="module")
def clip_config(tmp_path_factory: pytest.TempPathFactory) -> ClipConfig:
    return ClipConfig(model=f"local-dir:{write_clip(tmp_path_factory.mktemp('clip'))}", batch_size=4)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, clip_config: ClipConfig) -> Store:
    """Three media with a frame each and six captions, embedded and indexed in five spaces. Read only."""
    url = str(tmp_path_factory.mktemp("spaces") / "store")
    store = Store.open(settings=Settings(store=url, clip=clip_config, device="cpu", features=(__name__,), workers=1))
    add_media(store, SHARD, range(3))
    add_frames(store, range(3))
    add_captions(store, CAPTIONS)
    for table in SPACES:
        run_feature(store, instantiate(registered(store.settings)[table], store.settings), SHARD)
        build_index(store, table, [SHARD])
    return store


@pytest.fixture(scope="module")
def features(filled: Store) -> FeatureStore:
    return FeatureStore(filled)


def keys(hits: Hits) -> list[str]:
    return hits.table["key"].to_pylist()


def test_words_find_captions_by_their_own_keys(features: FeatureStore) -> None:
    for number, texts in enumerate(CAPTIONS):
        for index, text in enumerate(texts):
            hits = features.search(text, space="text_embeddings", k=3)
            assert hits.table.column_names[:2] == ["media_id", "caption_index"]
            assert keys(hits)[0] == f"{media_id(number)}:{index}"
            first = hits.table.to_pylist()[0]
            assert (first["caption"], first["uri"], first["time_s"]) == (text, f"file:///media/{number}.jpg", None)
            assert first["score"] > 0.999
    assert hits.info.space == "text_embeddings"
    assert features.subset("ships").save(hits).samples == 3


def test_pictures_find_captions_and_words_find_frames_in_the_space_they_share(
    features: FeatureStore, clip_config: ClipConfig
) -> None:
    clip = ClipEmbeddings(clip_config)
    clip.load("cpu")
    texts = [text for own in CAPTIONS for text in own]
    scores = clip.encode_text(texts) @ clip.encode_images([picture(1)])[0]
    hits = features.search(image=picture(1), space="text_embeddings", k=6)
    assert hits.table["caption"].to_pylist() == [texts[place] for place in np.argsort(-scores)]
    assert hits.table["score"].to_pylist() == pytest.approx(np.sort(scores)[::-1], abs=2e-3)
    # A caption's vector is a query of the frames, and the other way round.
    vector = clip.encode_text(["a ship"])[0]
    assert keys(features.search(vector=vector, space="clip_embeddings")) == keys(features.search("a ship"))


def test_captions_are_filtered_by_their_own_columns_and_those_of_the_media(features: FeatureStore) -> None:
    found = features.search("a", space="text_embeddings", where="width >= 2 AND source = 'list'")
    assert {key.split(":")[0] for key in keys(found)} == {media_id(1), media_id(2)}
    assert keys(features.search("a", space="text_embeddings", where="text LIKE 'ein%'")) == [f"{media_id(0)}:1"]
    with pytest.raises(WhereError, match="time_s"):
        features.search("a", space="text_embeddings", where="time_s > 1")


def test_captions_like_others_are_found_and_each_media_once_where_asked(features: FeatureStore) -> None:
    ship = f"{media_id(2)}:0"
    liked = features.search(like=[ship], space="text_embeddings", k=6)
    assert ship not in keys(liked)
    assert len(liked) == 5
    grouped = features.search("a boat", space="text_embeddings", group="media")
    assert len(set(grouped.table["media_id"].to_pylist())) == len(grouped) == 3


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"frame": (media_id(0), 0)}, r"frame= names a frame, .*like=.*<media_id>:<caption_index>"),
        ({"like": [media_id(0)]}, "not in the index of text_embeddings, whose keys are <media_id>:<caption_index>"),
        ({"like": [f"{media_id(0)}:7"]}, "not in the index of text_embeddings, whose keys are"),
        ({"vector": np.ones(DIM + 1)}, rf"shape \[{DIM + 1}\]; give {DIM} finite numbers"),
    ],
)
def test_samples_of_another_grain_and_vectors_of_another_width_are_refused(
    features: FeatureStore, query: dict[str, Any], says: str
) -> None:
    with pytest.raises(SearchError, match=says):
        features.search(space="text_embeddings", **query)


def test_a_feature_of_one_input_needs_no_method_for_queries(features: FeatureStore) -> None:
    assert keys(features.search("two dogs in the snow", space="letter_counts", k=1)) == [f"{media_id(1)}:0"]
    assert keys(features.search(image=picture(2), space="mean_colours", k=1)) == [f"{media_id(2)}:0"]


@pytest.mark.parametrize(
    ("space", "query", "what"),
    [
        ("letter_counts", {"image": picture(0)}, "pictures"),
        ("mean_colours", {"text": "red"}, "words"),
        ("mean_colours", {"like": ["red"]}, "words"),
        ("turned", {"text": "red"}, "words"),
        ("turned", {"image": picture(0)}, "pictures"),
    ],
)
def test_what_a_space_has_no_model_for_is_said(
    features: FeatureStore, space: str, query: dict[str, Any], what: str
) -> None:
    with pytest.raises(SearchError, match=f"{space} has no model for {what}"):
        features.search(space=space, **query)


@pytest.mark.parametrize("space", SPACES)
def test_every_space_answers_examples_and_vectors(features: FeatureStore, space: str) -> None:
    hits = features.search(like=[f"{media_id(0)}:0"], space=space)
    assert len(hits) == len(set(keys(hits))) == (5 if hits.table.column_names[1] == "caption_index" else 2)
    dim = 3 if space in ("letter_counts", "mean_colours") else DIM
    assert len(features.search(vector=np.arange(1.0, dim + 1), space=space, k=2)) == 2
    with pytest.raises(SearchError, match=rf"give {dim} finite numbers"):
        features.search(vector=np.ones(dim + 1), space=space)


@pytest.mark.parametrize("cls", [ClipEmbeddings, TextEmbeddings])
@pytest.mark.parametrize("query", [{"text": "a ship"}, {"image": picture(0)}, {"like": ("a ship",)}])
def test_a_query_of_another_model_is_refused_naming_both(
    filled: Store, tmp_path: Path, cls: type[ClipEmbeddings | TextEmbeddings], query: dict[str, Any]
) -> None:
    other = cls(ClipConfig(model=f"local-dir:{write_clip(tmp_path, seed=9)}"))
    with pytest.raises(SearchError, match="was built with") as caught:
        Searcher(filled).search(SearchQuery(space=cls.spec.table, **query), other)
    assert filled.settings.clip.model in str(caught.value)
    assert other.config.model in str(caught.value)
    # Examples lie in the space already.
    key = f"{media_id(0)}:0"
    assert len(Searcher(filled).search(SearchQuery(space=cls.spec.table, like=(key,), k=2), other)) == 2


def test_a_feature_of_another_fingerprint_is_refused_though_its_weights_are_the_same(filled: Store) -> None:
    halved = ClipEmbeddings(filled.settings.clip.model_copy(update={"precision": "bf16"}))
    with pytest.raises(SearchError, match="was built with"):
        Searcher(filled).search(SearchQuery(text="a ship"), halved)
    other_batches = ClipEmbeddings(filled.settings.clip.model_copy(update={"batch_size": 1}))
    assert len(Searcher(filled).search(SearchQuery(text="a ship"), other_batches)) == 3


def test_an_index_keeps_the_name_of_a_model_that_the_settings_no_longer_name(filled: Store, tmp_path: Path) -> None:
    moved = filled.settings.model_copy(update={"clip": ClipConfig(model=f"local-dir:{write_clip(tmp_path, seed=9)}")})
    with pytest.raises(SearchError, match="was built with") as caught:
        FeatureStore(Store.open(settings=moved)).search("a ship", space="text_embeddings")
    assert filled.settings.clip.model in str(caught.value)


def test_a_demo_model_answers_in_the_space_of_captions_and_is_labelled(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextEmbeddings, "is_demo", True, raising=False)
    hits = Searcher(filled).search(SearchQuery(text="a ship", space="text_embeddings", where="source = 'list'"))
    assert hits.info.space == "text_embeddings"
    assert "demo model" in (hits.info.label or "")
    assert keys(hits)[0] == f"{media_id(2)}:0"
