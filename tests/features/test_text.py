"""Embeddings of captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.live import compute_rows
from mmfs.features.runner import run_feature
from mmfs.features.status import shard_status
from mmfs.features.text import TextEmbeddings
from mmfs.settings import ClipConfig
from mmfs.store import Store
from tests.features.tiny import SHARD, add_captions, write_clip

TEXTS = ["a red ball", "two dogs on a lawn", "", "word " * 200, "'; DROP TABLE captions; --", "\N{SNOWMAN}"]


def _vectors(store: Store) -> np.ndarray:
    return np.array(store.tables.read("text_embeddings")["vector"].to_pylist(), np.float32)


def test_stored_captions_equal_the_same_texts_as_queries(store: Store) -> None:
    add_captions(store, [TEXTS[:4], TEXTS[4:]])
    report = run_feature(store, TextEmbeddings(store.settings.clip), SHARD)
    assert (report.computed, report.quarantined) == (6, 0)
    rows = store.tables.read("text_embeddings")
    assert rows["caption_index"].to_pylist() == [0, 1, 2, 3, 0, 1]
    clip = ClipEmbeddings(store.settings.clip)
    clip.load("cpu")
    assert np.abs(_vectors(store) - clip.encode_text(TEXTS)).max() < 1e-3


def test_texts_of_all_lengths_fill_whole_batches(store: Store) -> None:
    add_captions(store, [TEXTS])
    report = run_feature(store, TextEmbeddings(store.settings.clip), SHARD)  # batches of 4
    assert report.batches == 2


def test_a_caption_that_is_null_counts_as_empty(clip_config: ClipConfig) -> None:
    feature = TextEmbeddings(clip_config)
    feature.load("cpu")
    vectors = compute_rows(feature, [{"captions.text": None}, {"captions.text": ""}])["vector"]
    assert np.array_equal(vectors[0], vectors[1])


def test_other_weights_make_captions_and_frames_stale_alike(store: Store, tmp_path: Path) -> None:
    add_captions(store, [TEXTS])
    run_feature(store, TextEmbeddings(store.settings.clip), SHARD)
    other = TextEmbeddings(ClipConfig(model=f"local-dir:{write_clip(tmp_path, seed=1)}"))
    assert shard_status(store, other, SHARD).causes == {"weights": 6}


@pytest.mark.parametrize("texts", [[], TEXTS, TEXTS * 3])
def test_a_text_has_the_same_vector_in_any_company(clip_config: ClipConfig, texts: list[str]) -> None:
    feature = TextEmbeddings(clip_config)
    feature.load("cpu")
    alone = [feature.encode_text([text])[0] for text in texts]
    together = feature.encode_text(texts)
    assert together.shape == (len(texts), 16)
    assert all(np.abs(one - other).max() < 1e-5 for one, other in zip(alone, together, strict=True))
