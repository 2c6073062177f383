"""One loaded model for all features of a process that need it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import torch

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.clip_model import load_clip
from mmfs.features.text import TextEmbeddings
from mmfs.settings import ClipConfig
from tests.features.tiny import picture, write_clip


def test_features_of_one_model_and_device_share_it_whatever_their_precision(clip_config: ClipConfig) -> None:
    pictures = ClipEmbeddings(clip_config)
    texts = TextEmbeddings(clip_config.model_copy(update={"precision": "bf16", "batch_size": 2}))
    pictures.load("cpu")
    texts.load("cpu")
    assert pictures.model is texts.model
    # Precision is chosen at each call: the one does not change what the other gives.
    coarse, fine = texts.encode_images([picture(1)]), pictures.encode_images([picture(1)])
    assert 0 < np.abs(coarse - fine).max() < 0.05


def test_models_of_other_weights_are_not_confused(clip_config: ClipConfig, tmp_path: Path) -> None:
    other = ClipConfig(model=f"local-dir:{write_clip(tmp_path, seed=3)}")
    assert load_clip(clip_config, "cpu") is not load_clip(other, "cpu")


def test_a_model_goes_with_the_last_feature_that_uses_it(clip_config: ClipConfig, tmp_path: Path) -> None:
    feature = ClipEmbeddings(ClipConfig(model=f"local-dir:{write_clip(tmp_path, seed=4)}"))
    feature.load("cpu")
    model = weakref.ref(feature.model)
    del feature
    gc.collect()
    assert model() is None


def test_changed_weights_in_the_same_folder_are_loaded_anew(tmp_path: Path) -> None:
    config = ClipConfig(model=f"local-dir:{write_clip(tmp_path)}")
    feature = ClipEmbeddings(config)
    feature.load("cpu")
    before = feature.encode_text(["a red ball"])
    write_clip(tmp_path, seed=5)
    feature.load("cpu")
    assert np.abs(feature.encode_text(["a red ball"]) - before).max() > 0.01


def test_the_scale_of_logits_is_one_over_the_temperature(clip_config: ClipConfig) -> None:
    assert load_clip(clip_config, "cpu").logit_scale == float(torch.tensor(1 / 0.07).log().exp())
