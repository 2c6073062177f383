"""Compares what a store of rendered scenes answers with what is true of the scenes: no human judgement needed."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mmfs.client import FeatureStore
from mmfs.codecs import decode_depth16
from mmfs.features.clip import ClipEmbeddings
from mmfs.features.registry import instantiate, registered
from mmfs.media.scenes import Scene, canonical, captions, phrases, render, scene_from_json
from mmfs.models.evaluate import abs_rel, precision_at_k, recall_at_1
from mmfs.models.measure import attribute_queries
from mmfs.search import Hits

#: What rendered scenes say of their creator; how they are told from a user's own pictures.
SCENES = "raw_media.creator = 'mmfs scenes'"


@dataclass(frozen=True)
class StoreTruth:
    """How good the stored features are, measured against the scenes.

    Attributes:
        gallery: Pictures searched.
        recall_at_1: Share of full captions that find their picture first.
        attribute_precision_at_5: Mean share of true pictures among the five best for queries that name one attribute.
        depth_frames: Frames whose depth was compared, video frames among them.
        depth_abs_rel: Mean of |depth - truth| / truth over their pixels.
    """

    gallery: int
    recall_at_1: float
    attribute_precision_at_5: float
    depth_frames: int
    depth_abs_rel: float


def measure_store(store: FeatureStore, *, depth_frames: int = 64) -> StoreTruth:
    """Measure the vectors and depth maps that the store holds of rendered scenes.

    Args:
        depth_frames: At most so many frames, evenly spread over the store.
    """
    rows = store.core.select(
        "frame",
        where=f"{SCENES} AND raw_media.kind = 'image'",
        columns=["raw_media.attributes", "clip_embeddings.vector"],
    )
    scenes = [_scene(text) for text in rows["raw_media.attributes"].to_pylist()]
    images = np.array(rows["clip_embeddings.vector"].to_pylist(), np.float32)
    model = instantiate(registered(store.settings)["clip_embeddings"], store.settings)
    if not isinstance(model, ClipEmbeddings):
        raise TypeError(f"clip_embeddings is filled by {type(model).__name__}")
    model.load("cpu")
    full = [captions(scene)[0] for scene in scenes]
    true = [phrases(scene) for scene in scenes]
    precision = []
    for kind, queries in attribute_queries(true).items():
        relevant = np.array([[query in said for said in true] for query in queries])
        if kind != "thing" and (relevant.sum(1) >= 5).any():
            precision.append(precision_at_k(model.encode_text(queries) @ images.T, relevant, k=5))
    compared, error = _depth_error(store, depth_frames)
    return StoreTruth(
        gallery=len(scenes),
        recall_at_1=recall_at_1(model.encode_text(full), images, full),
        attribute_precision_at_5=float(np.mean(precision)),
        depth_frames=compared,
        depth_abs_rel=error,
    )


def precision_of(store: FeatureStore, hits: Hits, query: str) -> float:
    """Share of the hits that show what was asked for, by the scenes' own captions."""
    media = hits.table["media_id"].to_pylist()
    about = store.core.select("media", where=SCENES, columns=["raw_media.attributes"])
    attributes = dict(zip(about["media_id"].to_pylist(), about["raw_media.attributes"].to_pylist(), strict=True))
    shown = [media_id in attributes and canonical(query) in phrases(_scene(attributes[media_id])) for media_id in media]
    return float(np.mean(shown)) if shown else 0.0


def _depth_error(store: FeatureStore, limit: int) -> tuple[int, float]:
    reference = ["pack", "offset", "length", "crc32"]
    rows = store.core.select(
        "frame",
        where=SCENES,
        columns=["raw_media.attributes", "time_s", *(f"depth_maps.{column}" for column in reference)],
    )
    step = max(1, rows.num_rows // limit)
    rows = rows.take(pa.array(range(0, rows.num_rows, step)[:limit]))
    blobs = store.blobs(
        "depth_maps", rows.rename_columns([name.removeprefix("depth_maps.") for name in rows.column_names])
    )
    errors = [
        abs_rel(decode_depth16(blob), render(_scene(text), time_s)[1])
        for blob, text, time_s in zip(
            blobs, rows["raw_media.attributes"].to_pylist(), rows["time_s"].to_pylist(), strict=True
        )
    ]
    return len(errors), float(np.mean(errors))


def _scene(attributes: str) -> Scene:
    return scene_from_json(json.loads(attributes)["scene"])
