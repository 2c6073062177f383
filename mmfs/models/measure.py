"""Measures the demo models on scenes that no training saw, fed as the feature runner feeds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmfs.media.scenes import Split, captions, phrases, render, scene
from mmfs.models.evaluate import abs_rel, precision_at_k, recall_at_1

FRAME_QUALITY, FILE_QUALITY = 90, 95
# What the shipped models must reach on unseen scenes: at least this, but for the depth's error, at most this.
FLOORS = {"recall_at_1": 0.84, "recall_at_1_unseen_pairs": 0.75, "precision_at_5": 0.55, "abs_rel": 0.12}


@dataclass(frozen=True)
class ClipScores:
    """How well texts find pictures among as many as were measured.

    Attributes: recall_at_1: share of full captions that find their picture first. precision_at_5: mean share of true
    pictures among the five best, by kind of query: "color" ("a red object"), "shape" ("a cube"), "thing" ("a red
    cube"), "floor", "wall".
    """

    recall_at_1: float
    precision_at_5: dict[str, float]

    @property
    def attribute_precision_at_5(self) -> float:
        """Mean over the kinds of query that name one attribute: colour, shape, floor, wall."""
        return float(np.mean([value for kind, value in self.precision_at_5.items() if kind != "thing"]))


def measure_clip(directory: Path, *, split: Split, gallery: int = 256, first: int = 0) -> ClipScores:
    """Scores of an image-text model of open_clip on scenes `first` to `first + gallery - 1` of a split."""
    from mmfs.features.clip import ClipEmbeddings
    from mmfs.settings import ClipConfig

    model = ClipEmbeddings(ClipConfig(model=f"local-dir:{directory}", pretrained=None, precision="fp32"))
    model.setup("cpu")
    scenes = [scene(split, first + i) for i in range(gallery)]
    pictures = [frame_of(split, first + i)[0] for i in range(gallery)]
    images = np.concatenate([model.encode_images(pictures[i : i + 32]) for i in range(0, gallery, 32)])
    full = [captions(drawn)[0] for drawn in scenes]
    true = [phrases(drawn) for drawn in scenes]
    precision = {}
    for kind, queries in attribute_queries(true).items():
        scores = model.encode_text(queries) @ images.T
        relevant = np.array([[query in said for said in true] for query in queries])
        if (relevant.sum(1) >= 5).any():
            precision[kind] = precision_at_k(scores, relevant, k=5)
    return ClipScores(recall_at_1(model.encode_text(full), images, full), precision)


def measure_depth(directory: Path, *, split: Split, frames: int = 128, first: int = 0) -> tuple[float, float]:
    """Mean relative error of a metric depth model at the frames' own size, and that of the best constant depth.

    Every fourth frame is a still, the others lie a quarter, a half and three quarters into their clip.
    """
    from mmfs.features.depth import DepthMaps
    from mmfs.features.live import compute_rows, picture_tensor
    from mmfs.settings import DepthConfig

    model = DepthMaps(DepthConfig(model=str(directory), precision="fp32"))
    model.setup("cpu")
    errors, truths = [], []
    for i in range(frames):
        picture, truth = frame_of(split, first + i, share=(i % 4) / 4)
        depth = compute_rows(model, [{"frames.image": picture_tensor(picture)}])["depth"][0]
        errors.append(abs_rel(depth, truth))
        truths.append(truth[::4, ::4])
    shown = np.stack(truths)
    return float(np.mean(errors)), min(abs_rel(np.full_like(shown, c), shown) for c in np.arange(4.0, 9.0, 0.1))


def frame_of(split: Split, index: int, share: float = 0.0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A scene's frame as a store keeps it, uint8 [256, 320, 3], and its true depth, float32 [256, 320] in metres.

    Args: share: how much of the clip has passed.
    """
    import simplejpeg

    drawn = scene(split, index)
    picture, depth = render(drawn, share * drawn.duration_s)
    for quality, sampling in ((FILE_QUALITY, "444"), (FRAME_QUALITY, "420")):
        data = simplejpeg.encode_jpeg(picture, quality, colorspace="RGB", colorsubsampling=sampling)
        picture = simplejpeg.decode_jpeg(data, colorspace="RGB")
    return picture, depth


def attribute_queries(true: Sequence[frozenset[str]]) -> dict[str, list[str]]:
    """The queries of each kind ("color", "shape", "thing", "floor", "wall") that at least one scene answers.

    Args: true: what is true of each scene, by `mmfs.media.scenes.phrases`.
    """
    kinds: dict[str, list[str]] = {"color": [], "shape": [], "thing": [], "floor": [], "wall": []}
    for phrase in sorted(frozenset().union(*true)):
        match phrase.split():
            case [_, _, "object"]:
                kinds["color"].append(phrase)
            case [_, *_, "floor" | "wall" as surface] if len(phrase.split()) <= 4:
                kinds[surface].append(phrase)
            case [_, _]:
                kinds["shape"].append(phrase)
            case [_, word, _] if word not in ("small", "large"):
                kinds["thing"].append(phrase)
    return {kind: queries for kind, queries in kinds.items() if queries}
