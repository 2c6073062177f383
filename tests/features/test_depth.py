"""Depth maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmfs.errors import ModelError
from mmfs.features.depth import DepthMaps
from mmfs.features.depth_source import read_preprocess
from mmfs.features.live import compute_rows, picture_tensor
from mmfs.settings import DEMO_DEPTH_DIR, DepthConfig
from tests.features.tiny import picture, write_depth

SIZES = [(64, 96), (96, 64), (50, 131), (40, 40)]


def depth_of(feature: DepthMaps, rgb: np.ndarray) -> np.ndarray:
    return np.asarray(compute_rows(feature, [{"frames.image": picture_tensor(rgb)}])["depth"][0])


def write_dpt(directory: Path) -> Path:
    """A Depth-Anything model with few weights, and its image processor: aspect ratio kept, multiples of 14."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    torch.manual_seed(0)
    backbone = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
        apply_layernorm=True,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
        patch_size=14,
    )
    DepthAnythingForDepthEstimation(config).save_pretrained(directory)
    DPTImageProcessor(
        size={"height": 70, "width": 70},
        keep_aspect_ratio=True,
        ensure_multiple_of=14,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def dpt_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dpt(tmp_path_factory.mktemp("dpt"))


@pytest.mark.parametrize("family", ["glpn", "depth-anything"])
def test_depth_equals_that_of_transformers_own_way(family: str, depth_dir: Path, dpt_dir: Path) -> None:
    from transformers import AutoImageProcessor, AutoModelForDepthEstimation

    directory = depth_dir if family == "glpn" else dpt_dir
    feature = DepthMaps(DepthConfig(model=str(directory)))
    feature.load("cpu")
    processor = AutoImageProcessor.from_pretrained(directory)
    model = AutoModelForDepthEstimation.from_pretrained(directory).eval()
    for number, size in enumerate(SIZES):
        rgb = picture(number, size)
        with torch.inference_mode():
            outputs = model(**processor(images=Image.fromarray(rgb), return_tensors="pt"))
        theirs = processor.post_process_depth_estimation(outputs, target_sizes=[size])[0]["predicted_depth"].numpy()
        ours = depth_of(feature, rgb)
        assert ours.shape == size
        spread = max(float(theirs.max() - theirs.min()), 1e-3)
        assert np.abs(ours - theirs).max() < 0.02 * spread


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": {"height": 384, "width": 384}},
        {"size": {"height": 518, "width": 518}, "keep_aspect_ratio": True, "ensure_multiple_of": 14},
        {"size": {"height": 70, "width": 140}, "keep_aspect_ratio": True, "ensure_multiple_of": 32},
    ],
)
def test_the_input_size_is_that_of_the_image_processor(tmp_path: Path, arguments: dict[str, object]) -> None:
    from transformers import DPTImageProcessor

    processor = DPTImageProcessor(**arguments)
    processor.save_pretrained(tmp_path)
    rules = read_preprocess(tmp_path)
    for height, width in [(256, 341), (341, 256), (64, 48), (256, 455), (300, 300), (100, 40)]:
        pixels = processor(images=np.zeros((height, width, 3), np.uint8), return_tensors="pt")["pixel_values"]
        assert rules.input_size(height, width) == tuple(pixels.shape[-2:])


def test_old_image_processor_files_are_understood(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"feature_extractor_type": "DPTFeatureExtractor", "size": 384, "resample": 2, "do_normalize": True})
    )
    rules = read_preprocess(tmp_path)
    assert (rules.size, rules.interpolation) == ((384, 384), "bilinear")
    assert rules.scale == pytest.approx([2 / 255] * 3)
    assert rules.shift == (-1.0, -1.0, -1.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"image_processor_type": "ZoeDepthImageProcessor"}, "ZoeDepthImageProcessor.*GLPN"),
        ({"image_processor_type": "DPTImageProcessor", "do_pad": True}, "do_pad"),
        ({"image_processor_type": "DPTImageProcessor", "resample": 1}, "resample 1"),
    ],
)
def test_other_image_processors_are_refused_by_name(tmp_path: Path, content: dict[str, object], message: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        read_preprocess(tmp_path)


def test_frames_of_one_batch_keep_their_own_sizes(depth_config: DepthConfig) -> None:
    feature = DepthMaps(depth_config)
    feature.load("cpu")
    pictures = [picture(i, size) for i, size in enumerate([(64, 64), (70, 80), (66, 67), (70, 80)])]
    together = compute_rows(feature, [{"frames.image": picture_tensor(one)} for one in pictures])["depth"]
    for rgb, depth in zip(pictures, together, strict=True):
        assert depth.shape == rgb.shape[:2]
        np.testing.assert_allclose(depth, depth_of(feature, rgb), rtol=1e-4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"), "pytorch_model.bin is not safe"),
        (lambda path: (path / "model.safetensors").write_bytes(b"x" * 50), "does not load"),
        (lambda path: (path / "model.safetensors").unlink(), "holds no weights"),
        (lambda path: (path / "preprocessor_config.json").unlink(), "preprocessor_config.json does not exist"),
        (lambda path: (path / "config.json").write_text("{"), "cannot be read"),
    ],
)
def test_a_broken_model_directory_is_an_error_naming_the_file(tmp_path: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    spoil(write_depth(tmp_path / "model"))
    with pytest.raises(ModelError, match=message):
        DepthMaps(DepthConfig(model=str(tmp_path / "model"))).load("cpu")


def test_a_file_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = write_depth(tmp_path) / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.startswith("head"))
    save_file({k: v for k, v in weights.items() if k != name}, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights, head"):
        DepthMaps(DepthConfig(model=str(tmp_path))).load("cpu")


def test_a_missing_directory_names_the_setting() -> None:
    with pytest.raises(ModelError, match="is no directory") as caught:
        DepthMaps(DepthConfig(model="/no/such/model")).load("cpu")
    assert caught.value.where == "MMFS_DEPTH__MODEL"


def test_only_the_shipped_model_is_the_demo_model(depth_config: DepthConfig) -> None:
    assert not DepthMaps(depth_config).is_demo
    assert DepthMaps(DepthConfig(model=str(DEMO_DEPTH_DIR))).is_demo
