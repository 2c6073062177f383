"""Image and text embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmfs.codecs import decode_jpeg
from mmfs.errors import FeatureError, ModelError
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.live import picture_tensor
from mmfs.features.resize import open_clip_pictures
from mmfs.features.runner import run_feature
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig
from mmfs.store import Store
from tests.features.tiny import DIM, SHARD, picture, write_clip

SIZES = [(256, 341), (341, 256), (100, 100), (32, 500), (20, 27), (224, 224)]


@pytest.fixture
def clip(clip_config: ClipConfig) -> ClipEmbeddings:
    feature = ClipEmbeddings(clip_config)
    feature.load("cpu")
    return feature


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("target", [64, (48, 64)])
def test_pictures_are_resized_as_open_clip_does_it_within_two_grey_levels(
    size: tuple[int, int], mode: str, target: int | tuple[int, int]
) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    rgb = picture(1, size)
    cfg = PreprocessCfg(size=target, mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode=mode)
    theirs = image_transform_v2(cfg, is_train=False)(Image.fromarray(rgb)) * 255
    preprocess = {"size": target, "interpolation": "bicubic", "resize_mode": mode, "fill_color": 0}
    ours = open_clip_pictures(picture_tensor(rgb)[None], preprocess)[0]
    assert ours.dtype == torch.uint8
    assert ours.shape == theirs.shape
    assert (ours.float() - theirs).abs().max() <= 2


def test_embeddings_equal_those_of_open_clips_own_way(clip: ClipEmbeddings, clip_dir: Path) -> None:
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{clip_dir}")
    pictures = [picture(i, size) for i, size in enumerate(SIZES)]
    with torch.inference_mode():
        batch = torch.stack([preprocess(Image.fromarray(one)) for one in pictures])
        theirs = model.eval().encode_image(batch, normalize=True).numpy()
        tokens = open_clip.get_tokenizer(f"local-dir:{clip_dir}")(["a red ball", "two dogs"])
        their_texts = model.encode_text(tokens, normalize=True).numpy()
    assert (clip.encode_images(pictures) * theirs).sum(1).min() > 0.9999
    np.testing.assert_allclose(clip.encode_text(["a red ball", "two dogs"]), their_texts, atol=1e-6)


def test_queries_and_stored_rows_agree(store: Store, frames: Callable[..., None]) -> None:
    frames(range(7), sizes=((48, 64), (64, 48)))
    clip = ClipEmbeddings(store.settings.clip)
    run_feature(store, clip, SHARD)
    stored = np.stack(store.tables.read("clip_embeddings").column("vector").to_numpy(zero_copy_only=False))
    images = [decode_jpeg(data) for data in store.blobs("frames", store.tables.read("frames"))]
    queries = clip.encode_images(images)
    assert queries.dtype == np.float32
    assert np.abs(queries - stored.astype(np.float32)).max() < 1e-3
    assert np.abs(np.linalg.norm(queries, axis=1) - 1).max() < 1e-6


def test_no_queries_give_no_vectors(clip: ClipEmbeddings) -> None:
    assert clip.encode_text([]).shape == clip.encode_images([]).shape == (0, DIM)


def test_encoding_before_loading_is_an_error_that_says_so(clip_config: ClipConfig) -> None:
    with pytest.raises(FeatureError, match="not loaded"):
        ClipEmbeddings(clip_config).encode_text(["x"])


def test_a_long_text_is_cut_and_an_odd_one_is_data(clip: ClipEmbeddings) -> None:
    vectors = clip.encode_text(["word " * 500, "", "'; DROP TABLE frames; --", "\N{SNOWMAN}"])
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize(
    ("config", "dim"),
    [
        (ClipConfig(), 512),
        (ClipConfig(model="ViT-L-14", pretrained="laion2b_s32b_b82k"), 768),
        (ClipConfig(model="hf-hub:nobody/nothing", dim=640), 640),
    ],
)
def test_the_width_is_known_without_weights(config: ClipConfig, dim: int) -> None:
    assert ClipEmbeddings(config).outputs["vector"].dim == dim  # type: ignore[union-attr]


def test_an_unknown_width_names_the_setting_for_it() -> None:
    with pytest.raises(ModelError, match="cannot be read offline") as caught:
        _ = ClipEmbeddings(ClipConfig(model="hf-hub:nobody/nothing")).outputs
    assert caught.value.where == "MMFS_CLIP__DIM"


def test_weights_from_a_safetensors_file_fill_a_built_in_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip_dir: Path
) -> None:
    import mmfs.features.clip_source as source

    config = json.loads((clip_dir / "open_clip_config.json").read_text())
    (tmp_path / "model_configs").mkdir()
    (tmp_path / "model_configs" / "Tiny-1.json").write_text(json.dumps(config["model_cfg"]))
    monkeypatch.setattr(source, "_open_clip_folder", lambda: tmp_path)
    import open_clip

    open_clip.add_model_config(tmp_path / "model_configs" / "Tiny-1.json")
    feature = ClipEmbeddings(ClipConfig(model="Tiny-1", pretrained=str(clip_dir / "open_clip_model.safetensors")))
    feature.load("cpu")
    assert feature.encode_images([picture(0)]).shape == (1, DIM)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ClipConfig(model="ViT-B-33"), r"no architecture 'ViT-B-33'.*ViT-B-32"),
        (ClipConfig(pretrained="laion9b"), r"neither a file nor a pretrained tag.*laion2b_s34b_b79k"),
        (ClipConfig(pretrained=None), "random embeddings"),
        (
            ClipConfig(model="local-dir:/no/such/place"),
            r"/place/open_clip_config.json does not exist.*demo model",
        ),
    ],
)
def test_a_model_that_does_not_exist_is_named_with_what_does(config: ClipConfig, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ClipEmbeddings(config).load("cpu")


def test_pickled_weights_are_refused(tmp_path: Path, clip_dir: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text((clip_dir / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match=r"open_clip_pytorch_model.bin is not safetensors.*could run any code"):
        ClipEmbeddings(ClipConfig(model=f"local-dir:{tmp_path}")).load("cpu")
    pickled = tmp_path / "open_clip_pytorch_model.bin"
    with pytest.raises(ModelError, match="not safetensors"):
        ClipEmbeddings(ClipConfig(pretrained=str(pickled))).load("cpu")


def test_a_pickle_beside_safetensors_is_left_alone(tmp_path: Path) -> None:
    write_clip(tmp_path)
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "weights.safetensors")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"not even a pickle")
    feature = ClipEmbeddings(ClipConfig(model=f"local-dir:{tmp_path}"))
    feature.load("cpu")
    assert feature.encode_images([picture(0)]).shape == (1, DIM)


@pytest.mark.parametrize("damage", ["cut", "nan", "foreign"])
def test_damaged_weights_are_an_error_naming_the_file(tmp_path: Path, damage: str, depth_dir: Path) -> None:
    path = write_clip(tmp_path, fill=float("nan") if damage == "nan" else None) / "open_clip_model.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    if damage == "foreign":
        path.write_bytes((depth_dir / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="NaN" if damage == "nan" else "do not load") as caught:
        ClipEmbeddings(ClipConfig(model=f"local-dir:{tmp_path}")).load("cpu")
    assert str(path) == caught.value.where


def test_only_the_shipped_model_is_the_demo_model(clip_config: ClipConfig) -> None:
    assert not ClipEmbeddings(clip_config).is_demo
    assert not ClipEmbeddings(ClipConfig()).is_demo
    assert ClipEmbeddings(ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}")).is_demo
