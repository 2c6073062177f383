"""The shipped models open offline, are the files that were recorded, and reach their floors on unseen scenes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmfs.models.measure import FLOORS, frame_of, measure_clip, measure_depth
from mmfs.models.record import MANIFEST, README, digests
from mmfs.settings import DEMO_CLIP_DIR, DEMO_DEPTH_DIR

UNUSED = 5000  # scenes from here on were neither trained on nor measured for the README


def test_files_are_those_recorded_and_small() -> None:
    manifest, readme = json.loads(MANIFEST.read_text()), README.read_text()
    total = 0
    for directory in (DEMO_CLIP_DIR, DEMO_DEPTH_DIR):
        record = manifest[directory.name]
        assert digests(directory) == record["files"]
        weights = next(digest for name, digest in record["files"].items() if name.endswith(".safetensors"))
        assert weights in readme
        assert all(f"| {value:.3f} |" in readme for value in record["measured"].values())
        total += sum(path.stat().st_size for path in directory.iterdir())
    assert total <= 16_000_000


def test_recorded_numbers_reach_the_floors() -> None:
    measured = {k: v for record in json.loads(MANIFEST.read_text()).values() for k, v in record["measured"].items()}
    for name, floor in FLOORS.items():
        assert measured[name] <= floor if name == "abs_rel" else measured[name] >= floor


@pytest.mark.parametrize(("split", "name"), [("test", "recall_at_1"), ("pairs", "recall_at_1_unseen_pairs")])
def test_texts_find_their_pictures(split: str, name: str) -> None:
    scores = measure_clip(DEMO_CLIP_DIR, split=split, gallery=128, first=UNUSED)  # type: ignore[arg-type]
    assert scores.recall_at_1 >= FLOORS[name]
    if split == "test":
        assert scores.attribute_precision_at_5 >= FLOORS["precision_at_5"]


def test_depth_is_metric() -> None:
    error, of_constant = measure_depth(DEMO_DEPTH_DIR, split="test", frames=24, first=UNUSED)
    assert error <= FLOORS["abs_rel"]
    assert error < 0.6 * of_constant


def test_open_clip_s_own_preprocessing_opens_it_and_agrees() -> None:
    import open_clip
    import torch
    from PIL import Image

    from mmfs.features.clip import ClipEmbeddings
    from mmfs.settings import ClipConfig

    name = f"local-dir:{DEMO_CLIP_DIR}"
    model, preprocess = open_clip.create_model_from_pretrained(name)
    tokenize = open_clip.get_tokenizer(name)
    picture, _ = frame_of("test", UNUSED)
    ours = ClipEmbeddings(ClipConfig(model=name, pretrained=None, precision="fp32"))
    ours.setup("cpu")
    model.eval()
    with torch.inference_mode():
        image = model.encode_image(preprocess(Image.fromarray(picture))[None], normalize=True)[0].numpy()
        texts = model.encode_text(tokenize(["a red ball", "xyzzy"]), normalize=True).numpy()
    assert float(image @ ours.encode_images([picture])[0]) > 0.995
    np.testing.assert_allclose(texts, ours.encode_text(["a red sphere", "plugh"]), atol=1e-4)


def test_filler_words_change_little_and_nonsense_finds_nothing() -> None:
    from mmfs.features.clip import ClipEmbeddings
    from mmfs.settings import ClipConfig

    model = ClipEmbeddings(ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}", pretrained=None, precision="fp32"))
    model.setup("cpu")
    images = model.encode_images([frame_of("test", UNUSED + i)[0] for i in range(24)])
    plain, padded, nonsense = model.encode_text(["a red ball", "a photo of a red ball", "xyzzy plugh"])
    assert float(plain @ padded) > 0.9
    assert float((images @ nonsense).max()) < 0.15
    assert float((images @ plain).max()) > float((images @ nonsense).max())
