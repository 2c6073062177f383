"""Training material by mmfs' own way: rendered files, a store, a pin, a loader."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfs.media.scenes import phrases, render, scene_from_json, write_scenes

if TYPE_CHECKING:
    from mmfs.client import FeatureStore
    from mmfs.media.scenes import Split

CLIP_PIN, DEPTH_PIN = "demo-clip", "demo-depth"


def make_store(directory: Path, *, split: Split, images: int, videos: int) -> FeatureStore:
    """Renders scenes, takes them into a new store and pins what the two trainings read.

    Args: directory: gets `media/` and `store/`. images, videos: how many of each; a video gives a frame a second.
    """
    from mmfs.client import open_store
    from mmfs.ingest import build_captions, build_frames, register_media

    write_scenes(directory / "media", split=split, images=images, videos=videos)
    store = open_store(directory / "store")
    store.ingest([directory / "media" / "captions.csv"], added_by="mmfs.models")
    for shard in sorted(store.core.tables.shards("listings")):
        register_media(store.core, shard, now_us=time.time_ns() // 1000)
        build_captions(store.core, shard)
        build_frames(store.core, shard)
    store.pin(CLIP_PIN, columns=["frames.image", "captions.text"])
    # Half of the media (ids are hashes): each new frame costs the rendering of its truth, and more steps on fewer
    # frames teach more than that.
    store.pin(DEPTH_PIN, columns=["frames.image"], where="media_id < '8'")
    return store


def open_made(directory: Path) -> FeatureStore | None:
    """The store that `make_store` finished in this directory before, or None."""
    from mmfs.client import open_store

    if not (directory / "store").exists():
        return None
    store = open_store(directory / "store", create=False)
    return store if {CLIP_PIN, DEPTH_PIN} <= set(store.pins()) else None


def clip_batches(store: FeatureStore, *, batch_size: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Endless batches for `train_clip`: uint8 [B, 3, 256, 256] (the middle of the frame), captions, true phrases."""
    spoken = {media_id: sorted(phrases(scene_from_json(value))) for media_id, value in _scenes(store).items()}
    loader = store.loader(CLIP_PIN, batch_size=batch_size, seed=seed, image_size=256, captions="first")
    for batch in loader.stream():
        media_ids = [key.partition(":")[0] for key in batch["_key"]]
        yield {**batch, "phrases": [spoken[media_id] for media_id in media_ids]}


def depth_batches(store: FeatureStore, *, batch_size: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Endless batches for `train_depth`: whole frames, uint8 [B, 3, 256, 320], and the depth rendered anew for them.

    Depth is float16 [B, 128, 160] in metres, the mean of 2 x 2 pixels; it is kept between epochs.
    """
    import torch

    described = _scenes(store)
    columns = ["media_id", "frame_index", "time_s"]
    rows = store.table("frames").to_arrow(columns=columns).to_pylist()
    times = {f"{row['media_id']}:{row['frame_index']}": float(row["time_s"]) for row in rows}
    kept: dict[str, torch.Tensor] = {}

    def truth(key: str) -> torch.Tensor:
        if key not in kept:
            _, depth = render(scene_from_json(described[key.partition(":")[0]]), times[key])
            halved = torch.nn.functional.avg_pool2d(torch.from_numpy(depth)[None], 2)[0]
            kept[key] = halved.half()
        return kept[key]

    loader = store.loader(DEPTH_PIN, batch_size=batch_size, seed=seed, image_size=None)
    for batch in loader.stream():
        images = torch.stack(list(batch["frames.image"]))
        yield {**batch, "frames.image": images, "depth": torch.stack([truth(key) for key in batch["_key"]])}


def _scenes(store: FeatureStore) -> dict[str, dict[str, Any]]:
    """The scene of each media, as its attributes tell it."""
    rows = store.table("raw_media").to_arrow(columns=["media_id", "attributes"]).to_pylist()
    return {row["media_id"]: json.loads(row["attributes"])["scene"] for row in rows}
