"""Makes the demo models: `python -m mmfs.models [clip] [depth]`, or measures the shipped ones: `... check`."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfs.models import source
from mmfs.models.measure import measure_clip, measure_depth
from mmfs.models.record import write_record
from mmfs.models.train_clip import train_clip
from mmfs.models.train_depth import train_depth
from mmfs.settings import DEMO_CLIP_DIR, DEMO_DEPTH_DIR

if TYPE_CHECKING:
    from mmfs.client import FeatureStore


@dataclass(frozen=True)
class Recipe:
    """How one model is made.

    Attributes: directory: where it is written. batches: the batches of a store. train: what uses them. measure: its
    numbers. batch_size, steps: how much it sees; the README records the processor time that took.
    """

    directory: Path
    batches: Callable[..., Iterator[dict[str, Any]]]
    train: Callable[..., None]
    measure: Callable[[Path], dict[str, float]]
    batch_size: int
    steps: int


def clip_numbers(directory: Path) -> dict[str, float]:
    """What the README says of the image-text model."""
    test, pairs = (measure_clip(directory, split=split) for split in ("test", "pairs"))
    by_kind = {f"precision_at_5_{kind}": value for kind, value in test.precision_at_5.items()}
    return {
        "recall_at_1": test.recall_at_1,
        "recall_at_1_unseen_pairs": pairs.recall_at_1,
        "precision_at_5": test.attribute_precision_at_5,
        **by_kind,
    }


def depth_numbers(directory: Path) -> dict[str, float]:
    """What the README says of the depth model."""
    error, of_constant = measure_depth(directory, split="test")
    pairs, _ = measure_depth(directory, split="pairs")
    return {"abs_rel": error, "abs_rel_unseen_pairs": pairs, "abs_rel_of_best_constant": of_constant}


RECIPES = {
    "clip": Recipe(DEMO_CLIP_DIR, source.clip_batches, train_clip, clip_numbers, batch_size=128, steps=360),
    "depth": Recipe(DEMO_DEPTH_DIR, source.depth_batches, train_depth, depth_numbers, batch_size=16, steps=850),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Renders, ingests, trains, measures and records."""
    # Threads that wait by spinning double the processor time where others use the machine; read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    parser = argparse.ArgumentParser(prog="python -m mmfs.models", description=__doc__)
    parser.add_argument("models", nargs="*", help="clip, depth (default: both), or check")
    parser.add_argument("--images", type=int, default=8000, help="pictures to render")
    parser.add_argument("--videos", type=int, default=100, help="clips to render")
    parser.add_argument("--scratch", type=Path, help="folder for rendered media and store, kept and used again")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order and choices")
    given = parser.parse_args(arguments)
    names = given.models or list(RECIPES)
    if unknown := set(names) - {*RECIPES, "check"}:
        parser.error(f"unknown {', '.join(sorted(unknown))}; choose from clip, depth, check")
    torch.set_num_threads(2)
    if "check" in names:
        for recipe in RECIPES.values():
            _print(recipe.directory.name, recipe.measure(recipe.directory))
        return
    with tempfile.TemporaryDirectory(prefix="mmfs-demo-models-") as passing:
        scratch = given.scratch or Path(passing)
        store = source.open_made(scratch) or source.make_store(
            scratch, split="train", images=given.images, videos=given.videos
        )
        for name in names:
            make(RECIPES[name], store, seed=given.seed)


def make(recipe: Recipe, store: FeatureStore, *, seed: int) -> None:
    """Trains one model from a store, measures it and records both."""

    def report(step: int, loss: float) -> None:
        if (step + 1) % 20 == 0:
            print(f"{recipe.directory.name}: step {step + 1} of {recipe.steps}, loss {loss:.3f}", flush=True)

    began = time.process_time()
    batches = recipe.batches(store, batch_size=recipe.batch_size, seed=seed)
    recipe.train(batches, recipe.directory, steps=recipe.steps, seed=seed, report=report)
    training = {
        "steps": recipe.steps,
        "batch": recipe.batch_size,
        "seed": seed,
        "CPU-seconds": round(time.process_time() - began),
    }
    measured = recipe.measure(recipe.directory)
    write_record(recipe.directory.name, recipe.directory, training=training, measured=measured)
    _print(recipe.directory.name, measured)


def _print(name: str, measured: dict[str, float]) -> None:
    print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in measured.items()), flush=True)


if __name__ == "__main__":
    main()
