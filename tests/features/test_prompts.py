"""Scores of frames for what is said in words, from their embeddings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mmfs.errors import FeatureError, SettingsError, WhereError
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.live import compute_rows
from mmfs.features.prompts import PromptScores
from mmfs.features.registry import instantiate
from mmfs.features.runner import run_feature
from mmfs.features.status import shard_status
from mmfs.features.tablespec import table_of
from mmfs.media.scenes import phrases, render, scene
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig, PromptScoresConfig, Settings, load_settings
from mmfs.store import Store
from tests.features.tiny import DIM, SHARD, add_frames, write_clip

DEMO = ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}", pretrained=None)


def prompt_scores(store: Store, **config: Any) -> PromptScores:
    made = PromptScores(PromptScoresConfig(**config))
    made.take_settings(store.settings)
    return made


def scored(feature: PromptScores, vectors: npt.NDArray[np.floating[Any]]) -> dict[str, npt.NDArray[np.float32]]:
    rows = [{"clip_embeddings.vector": torch.from_numpy(one.astype(np.float32))} for one in vectors]
    return compute_rows(feature, rows)  # type: ignore[return-value]


@pytest.fixture
def embedded(store: Store) -> Store:
    """Five frames with their embeddings."""
    add_frames(store, range(5))
    run_feature(store, ClipEmbeddings(store.settings.clip), SHARD)
    return store


def test_scores_are_the_softmax_of_cosines_at_the_temperature_of_the_model(embedded: Store) -> None:
    scores = {"ball": ["a red ball", "a blue ball"], "dog": "a dog"}
    feature = prompt_scores(embedded, scores=scores, neutral=("a photo", "a thing"))
    run_feature(embedded, feature, SHARD)
    rows = embedded.tables.read("prompt_scores")
    clip = ClipEmbeddings(embedded.settings.clip)
    clip.load("cpu")
    ball = clip.encode_text(["a red ball", "a blue ball"]).mean(0)
    frames = np.array(embedded.tables.read("clip_embeddings")["vector"].to_pylist(), np.float64)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    neutral = clip.encode_text(["a photo", "a thing"])
    for name, prompt in (("ball", ball / np.linalg.norm(ball)), ("dog", clip.encode_text(["a dog"])[0])):
        logits = clip.model.logit_scale * frames @ np.stack([prompt, *neutral]).T
        weights = np.exp(logits - logits.max(1, keepdims=True))
        assert np.allclose(rows[name].to_pylist(), weights[:, 0] / weights.sum(1), atol=1e-5)


def test_a_score_does_not_depend_on_the_others(embedded: Store) -> None:
    vectors = np.random.default_rng(0).normal(size=(20, DIM))
    found = []
    for scores in ({"dog": "a dog"}, {"cat": "a cat", "dog": ["a dog"], "cow": "a cow"}):
        feature = prompt_scores(embedded, scores=scores)
        feature.load("cpu")
        found.append(scored(feature, vectors)["dog"])
    assert np.allclose(*found, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.floats(-3, 3), min_size=192, max_size=192), min_size=1, max_size=3))
def test_the_shipped_prompts_and_the_demo_model_give_scores_between_0_and_1(vectors: list[list[float]]) -> None:
    feature = _demo(Settings(clip=DEMO))
    for score in scored(feature, np.array(vectors)).values():
        assert np.isfinite(score).all()
        assert (score >= 0).all()
        assert (score <= 1).all()


_demo_features: dict[Settings, PromptScores] = {}


def _demo(chosen: Settings) -> PromptScores:
    if chosen not in _demo_features:
        made = instantiate(PromptScores.spec, chosen)
        assert isinstance(made, PromptScores)
        made.load("cpu")
        _demo_features[chosen] = made
    return _demo_features[chosen]


def test_what_is_shown_scores_higher_than_what_is_not() -> None:
    scores = {"red": "a red object", "blue_floor": "a blue floor"}
    neutral = [f"a {colour} object" for colour in ("green", "yellow", "blue", "purple")] + ["a grey floor"]
    feature = _demo(Settings(clip=DEMO, prompts=PromptScoresConfig(scores=scores, neutral=neutral)))
    clip = ClipEmbeddings(DEMO)
    clip.load("cpu")
    scenes = [scene("test", number) for number in range(60)]
    found = scored(feature, clip.encode_images([render(one, 0.0)[0] for one in scenes]))
    for name, phrase in (("red", "a red object"), ("blue_floor", "a blue floor")):
        shown = np.array([phrase in phrases(one) for one in scenes])
        assert 3 < shown.sum() < 57
        # The share of pairs in the right order: the area under the curve.
        assert (found[name][shown][:, None] > found[name][~shown][None]).mean() > 0.9


def test_no_picture_is_opened(embedded: Store) -> None:
    for pack in list(embedded.objects.list("packs")):
        embedded.objects.delete(pack.path)
    assert run_feature(embedded, prompt_scores(embedded), SHARD).computed == 5


def test_scores_are_columns_to_filter_by(embedded: Store) -> None:
    run_feature(embedded, prompt_scores(embedded), SHARD)
    assert embedded.select("frame", where="nsfw <= 1 AND prompt_scores.weapon >= 0").num_rows == 5
    assert embedded.select("frame", where="nsfw > 1 OR gore > 1").num_rows == 0
    with pytest.raises(WhereError, match=r"cuteness.*nsfw, violence"):
        embedded.select("frame", where="cuteness > 0.5")


def test_another_prompt_makes_the_scores_stale_and_nothing_else(embedded: Store) -> None:
    run_feature(embedded, prompt_scores(embedded, scores={"dog": "a dog"}), SHARD)
    other = prompt_scores(embedded, scores={"dog": "a big dog"})
    assert shard_status(embedded, other, SHARD).causes == {"config": 5}
    assert shard_status(embedded, ClipEmbeddings(embedded.settings.clip), SHARD).fresh == 5
    assert shard_status(embedded, prompt_scores(embedded, scores={"dog": ["a dog"]}, batch_size=2), SHARD).fresh == 5


def test_scores_come_and_go_as_columns(embedded: Store) -> None:
    run_feature(embedded, prompt_scores(embedded, scores={"dog": "a dog", "cat": "a cat"}), SHARD)
    before = embedded.tables.version("prompt_scores")
    assert run_feature(embedded, prompt_scores(embedded, scores={"dog": "a dog", "cow": "a cow"}), SHARD).computed == 5
    rows = embedded.tables.read("prompt_scores")
    assert rows["cat"].null_count == 5
    assert rows["dog"].null_count == rows["cow"].null_count == 0
    assert embedded.tables.read("prompt_scores", version=before)["cat"].null_count == 0


def test_embeddings_of_another_model_are_refused_naming_both(embedded: Store, tmp_path: Path) -> None:
    other = PromptScores(PromptScoresConfig())
    other.clip = ClipConfig(model=f"local-dir:{write_clip(tmp_path, seed=1)}", pretrained=None)
    with pytest.raises(FeatureError, match="materialize clip_embeddings first") as caught:
        run_feature(embedded, other, SHARD)
    assert embedded.settings.clip.model in str(caught.value)
    assert other.clip.model in str(caught.value)
    assert "prompt_scores" not in embedded.tables.names()


def test_vectors_of_another_width_are_refused_with_both_widths(embedded: Store) -> None:
    feature = prompt_scores(embedded)
    feature.load("cpu")
    with pytest.raises(FeatureError, match=rf"have 7 numbers, prompts {DIM}"):
        scored(feature, np.ones((2, 7)))


@pytest.mark.parametrize("name", ["NSFW", "no-dash", "1st", "", "ü", "a b", "x" * 80, 'x"; DROP TABLE frames'])
def test_a_name_that_cannot_be_a_column_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot name a column"):
        PromptScoresConfig(scores={name: "a dog"})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"Dog": "a dog"}', "'Dog' cannot name a column"),
        ('{"dog": ""}', "'dog' has an empty prompt"),
        ('{"dog": []}', "'dog' has an empty prompt, or none"),
        ("{}", "no scores"),
        ('{"dog": 3}', "MMFS_PROMPTS__SCORES"),
        ('["dog"]', "MMFS_PROMPTS__SCORES"),
    ],
)
def test_wrong_prompts_in_a_variable_name_it(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    monkeypatch.setenv("MMFS_PROMPTS__SCORES", value)
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings()
    assert str(caught.value.where).startswith("MMFS_PROMPTS__SCORES")


def test_prompts_come_from_variables_and_are_recorded_with_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_PROMPTS__SCORES", '{"dog": "a dog", "cat": ["a cat", "a kitten"]}')
    chosen = load_settings()
    assert chosen.prompts.scores == (("dog", ("a dog",)), ("cat", ("a cat", "a kitten")))
    monkeypatch.delenv("MMFS_PROMPTS__SCORES")
    assert load_settings().with_recorded(chosen.recorded()).prompts == chosen.prompts
    assert hash(chosen) == hash(chosen.model_copy())


def test_a_name_that_every_table_has_is_refused(store: Store) -> None:
    with pytest.raises(FeatureError, match="'media_id' has the name of a key column"):
        table_of(prompt_scores(store, scores={"media_id": "a dog"}))
