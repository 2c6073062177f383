"""Training takes its batches from a store's loader, and what it writes opens offline."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch

from mmfs.media.scenes import captions, scene
from mmfs.models import source
from mmfs.models.measure import measure_clip, measure_depth
from mmfs.models.train_clip import train_clip
from mmfs.models.train_depth import train_depth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory: Path = tmp_path_factory.mktemp("made")
    source.make_store(directory, split="train", images=10, videos=1)
    return directory


def test_batches_come_from_the_pinned_store_with_their_truth(made: Path) -> None:
    store = source.open_made(made)
    assert store is not None
    known = {captions(scene("train", i))[0] for i in range(11)}
    batch = next(source.clip_batches(store, batch_size=4))
    assert batch["frames.image"].shape == (4, 3, 256, 256)
    assert batch["frames.image"].dtype == torch.uint8
    for text, said in zip(batch["captions.text"], batch["phrases"], strict=True):
        assert text in known
        assert text in said
    batch = next(source.depth_batches(store, batch_size=3))
    assert batch["frames.image"].shape == (3, 3, 256, 320)
    assert batch["depth"].shape == (3, 128, 160)
    assert batch["depth"].min() > 2.0


def test_a_folder_without_a_finished_store_is_not_taken_for_one(tmp_path: Path) -> None:
    assert source.open_made(tmp_path) is None


def test_a_trained_image_text_model_opens_and_repeats_itself(made: Path, tmp_path: Path) -> None:
    store = source.open_made(made)
    assert store is not None
    batches = list(islice(source.clip_batches(store, batch_size=6), 2))
    for name in ("one", "two"):
        losses: list[float] = []
        train_clip(batches, tmp_path / name, steps=2, seed=3, report=lambda _, loss: losses.append(loss))  # noqa: B023
        assert len(losses) == 2
    files = [(tmp_path / name / "open_clip_model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    assert 0 <= measure_clip(tmp_path / "one", split="test", gallery=8).recall_at_1 <= 1


def test_a_trained_depth_model_opens_and_answers_in_metres(made: Path, tmp_path: Path) -> None:
    store = source.open_made(made)
    assert store is not None
    losses: list[float] = []
    train_depth(
        source.depth_batches(store, batch_size=3), tmp_path, steps=3, report=lambda _, loss: losses.append(loss)
    )
    assert len(losses) == 3
    error, of_constant = measure_depth(tmp_path, split="test", frames=4)
    assert 0 < error < 3
    assert 0 < of_constant < 1
