"""A small store of coloured pictures and clips, and an encoder that knows colours: a feature like any other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.codecs import encode_depth16, encode_jpeg
from mmfs.features.depth import DepthMaps
from mmfs.features.feature import Feature, Vector, feature
from mmfs.features.fingerprint import fingerprint_parts, recorded_parts, row_fingerprint, static_fingerprint
from mmfs.features.tablespec import table_of
from mmfs.store import PackWriter, Store

DIM = 16
_ANCHORS = np.random.default_rng(7).uniform(0, 255, (DIM, 3))
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 50, 230), "yellow": (230, 220, 40)}


@feature(table="colour_embeddings", grain="frame", inputs=["frames.image"], space=True)
class ColourEmbeddings(Feature):
    """Where a picture's mean colour lies, by its distance to sixteen anchors."""

    outputs: ClassVar = {"vector": Vector(DIM)}  # type: ignore[misc]
    is_demo = False

    def encode_images(self, images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """float32 [B, 16] of unit length, from uint8 [H, W, 3] each."""
        return np.stack([embed(image.reshape(-1, 3).mean(axis=0)) for image in images])

    def encode_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 [B, 16] of unit length: the mean of the colours named."""
        named = [[COLOURS[word] for word in text.split() if word in COLOURS] or [(128, 128, 128)] for text in texts]
        return np.stack([embed(np.mean(colours, axis=0)) for colours in named])


class OtherEmbeddings(ColourEmbeddings):
    """The same table by another model."""

    spec = ColourEmbeddings.spec

    def weights_digest(self) -> str:
        return "other"


def embed(colour: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """A colour (0-255 each) as a unit vector, float32 [16]."""
    near = np.exp(-((_ANCHORS - np.asarray(colour, float)) ** 2).sum(axis=1) / 2e4)
    return (near / np.linalg.norm(near)).astype(np.float32)


def media_id(number: int) -> str:
    return f"{number:032x}"


def media(
    number: int, colour: str = "red", *, frames: int = 1, caption: str | None = None, **columns: Any
) -> dict[str, Any]:
    """One media of the world; `columns` are those of raw_media."""
    kind = "video" if frames > 1 else "image"
    return {
        "number": number,
        "colour": colour,
        "frames": frames,
        "caption": caption,
        "raw": {"kind": kind, "width": 640, "height": 480, "uri": f"file:///media/{number}.{kind}", **columns},
    }


def write_shard(store: Store, shard: str, items: Sequence[dict[str, Any]], *, model: Feature | None = None) -> None:
    """Make these the media of a shard, with frames, captions and embeddings."""
    model = model or ColourEmbeddings()
    store.tables.ensure(table_of(model))
    raw, frames, captions, vectors = [], [], [], []
    writer = PackWriter(store.objects, "frames", shard)
    with writer:
        for item in items:
            name = media_id(item["number"])
            raw.append({"media_id": name, "sha256": name * 2, "attributes": json.dumps({}), **item["raw"]})
            if item["caption"] is not None:
                captions.append({"media_id": name, "caption_index": 0, "text": item["caption"], "fingerprint": "c"})
            for index in range(item["frames"]):
                picture = _picture(item["colour"], item["number"] * 1000 + index)
                writer.add(f"{name}_{index:06d}.jpg", encode_jpeg(picture))
                frames.append(
                    {
                        "media_id": name,
                        "frame_index": index,
                        "pts_us": index * 1_000_000,
                        "time_s": float(index),
                        "frame_width": 32,
                        "frame_height": 24,
                        "is_keyframe": index % 2 == 0,
                        "fingerprint": "f",
                    }
                )
                vectors.append(model.encode_images([picture])[0])  # type: ignore[attr-defined]
        refs = writer.finish()
    for row, ref in zip(frames, refs, strict=True):
        row.update(pack=ref.pack, offset=ref.offset, length=ref.length, crc32=ref.crc32)
    replace(store, "raw_media", shard, raw)
    replace(store, "frames", shard, frames)
    replace(store, "captions", shard, captions)
    write_embeddings(store, shard, frames, vectors, model)


def write_embeddings(
    store: Store, shard: str, keys: Sequence[dict[str, Any]], vectors: Sequence[npt.NDArray[np.float32]], model: Feature
) -> None:
    """Make these the shard's embeddings, as the feature runner would record them."""
    static = static_fingerprint(model)
    table = pa.table(
        {
            "media_id": pa.array([key["media_id"] for key in keys], pa.string()),
            "frame_index": pa.array([key["frame_index"] for key in keys], pa.int64()),
            "vector": pa.array([v.astype(np.float16) for v in vectors], pa.list_(pa.float16(), DIM)),
            "fingerprint": pa.array([row_fingerprint(static, [key["fingerprint"]]) for key in keys], pa.string()),
        }
    )
    table_name = model.spec.table
    store.tables.replace(
        table_name,
        shard,
        table,
        planned=store.tables.state(table_name, shard),
        info=recorded_parts(fingerprint_parts(model)),
    )


def add_depth(store: Store, shard: str) -> None:
    """Give every frame of a shard a depth map that grows from 1 at the left to 4 at the right."""
    store.tables.ensure(table_of(DepthMaps()))
    keys = store.tables.read("frames", columns=["media_id", "frame_index"], shard=shard).to_pylist()
    depth = np.tile(np.linspace(1, 4, 32, dtype=np.float32), (24, 1))
    with PackWriter(store.objects, "depth_maps", shard) as writer:
        for key in keys:
            writer.add(f"{key['media_id']}_{key['frame_index']:06d}.bin", encode_depth16(depth))
        refs = writer.finish()
    about = {
        "depth_width": 32,
        "depth_height": 24,
        "scale": 1.0,
        "depth_min": 1.0,
        "depth_max": 4.0,
        "fingerprint": "d",
    }
    where = [{"pack": ref.pack, "offset": ref.offset, "length": ref.length, "crc32": ref.crc32} for ref in refs]
    replace(store, "depth_maps", shard, [{**key, **about, **ref} for key, ref in zip(keys, where, strict=True)])


def replace(store: Store, table: str, shard: str, rows: Sequence[dict[str, Any]]) -> None:
    """Make these the rows of a shard."""
    spec = store.tables.spec(table)
    schema = pa.schema([(column.name, column.type) for column in spec.columns])
    store.tables.replace(
        table, shard, pa.Table.from_pylist(list(rows), schema=schema), planned=store.tables.state(table, shard)
    )


def _picture(colour: str, seed: int) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(-12, 13, (24, 32, 3))
    shade = np.random.default_rng(seed + 1).integers(-20, 21, 3)
    return np.clip(np.array(COLOURS[colour]) + noise + shade, 0, 255).astype(np.uint8)
