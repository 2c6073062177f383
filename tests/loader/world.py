"""A store with frames, vectors, depth and captions, whose every value can be computed from its key."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmfs.codecs import encode_depth16, encode_jpeg
from mmfs.schemas import Column, VectorType, feature_table, vector_column
from mmfs.settings import Settings
from mmfs.store import PackWriter, Store
from mmfs.store.pins import Pin, Pins

DIM = 8
Key = tuple[int, int]

CLIP = feature_table("clip_embeddings", "Vectors.", "frame", (vector_column("vector", "Embedding.", VectorType(DIM)),))
OTHER = feature_table(
    "other_embeddings", "Vectors of another model.", "frame", (vector_column("vector", "Embedding.", VectorType(DIM)),)
)
DEPTH = feature_table(
    "depth_maps",
    "Depth.",
    "frame",
    (Column("depth_max", pa.float32(), "Largest depth."),),
    blob="depth",
    codec="depth16",
)


def media_id(number: int) -> str:
    return f"{number:032x}"


def name_of(key: Key) -> str:
    return f"{media_id(key[0])}:{key[1]}"


def vector_of(key: Key, model: int = 0) -> np.ndarray:
    return (np.arange(DIM) + key[0] * 0.5 + key[1] * 0.25 + 64 * model).astype(np.float16)


def colour_of(key: Key) -> tuple[int, int, int]:
    return (key[0] * 7) % 256, (key[1] * 40) % 256, 128


def depth_of(key: Key) -> float:
    return float(1 + key[0] + key[1] / 8)


def jpeg_of(key: Key, height: int = 32, width: int = 32) -> bytes:
    return encode_jpeg(np.broadcast_to(np.uint8(colour_of(key)), (height, width, 3)), quality=95)


def depth16_of(key: Key) -> bytes:
    return encode_depth16(np.full((32, 32), depth_of(key), np.float32))


@dataclass
class World:
    """A store and what is in it."""

    store: Store
    frames: dict[str, list[Key]] = field(default_factory=dict)

    @classmethod
    def at(cls, url: Path | str) -> World:
        """An empty one."""
        return cls(Store.open(url, settings=Settings()))

    @property
    def keys(self) -> list[str]:
        """Keys of all frames in canonical order."""
        return [name_of(key) for shard in sorted(self.frames) for key in sorted(self.frames[shard])]

    def add_frames(
        self,
        shard: str,
        keys: Sequence[Key],
        blob: Callable[[Key], bytes] = jpeg_of,
        fingerprint: str = "f0",
        size_of: Callable[[Key], tuple[int, int] | None] = lambda _: None,
    ) -> None:
        """Replace the shard's frames; ``size_of`` says their height and width, None for unknown ones."""
        self.frames[shard] = sorted(keys)
        rows = self._blob_rows("frames", shard, sorted(keys), blob, "jpg")
        rows = rows.append_column("time_s", pa.array([float(index) for _, index in sorted(keys)]))
        rows = rows.append_column("fingerprint", pa.array([fingerprint] * len(keys)))
        sizes = [size_of(key) or (None, None) for key in sorted(keys)]
        for part, name in enumerate(("frame_height", "frame_width")):
            rows = rows.append_column(name, pa.array([size[part] for size in sizes], pa.int64()))
        self.store.tables.update("frames", shard, lambda _: rows)

    def add_vectors(self, shard: str, keys: Sequence[Key], table: str = "clip_embeddings", model: int = 0) -> None:
        self.store.tables.ensure(CLIP if table == "clip_embeddings" else OTHER)
        vectors = [vector_of(key, model).tolist() for key in keys]
        rows = self._keys(keys).append_column("vector", pa.array(vectors, pa.list_(pa.float16(), DIM)))
        rows = rows.append_column("fingerprint", pa.array([f"v{model}"] * len(keys)))
        self.store.tables.update(table, shard, lambda _: rows)

    def add_depth(self, shard: str, keys: Sequence[Key], blob: Callable[[Key], bytes] = depth16_of) -> None:
        self.store.tables.ensure(DEPTH)
        rows = self._blob_rows("depth_maps", shard, sorted(keys), blob, "d16")
        rows = rows.append_column("depth_max", pa.array([depth_of(key) for key in sorted(keys)], pa.float32()))
        self.store.tables.update("depth_maps", shard, lambda _: rows)

    def add_captions(self, shard: str, media: Sequence[int], each: int = 2) -> None:
        rows = [(media_id(m), i, f"caption {i} of {m}") for m in media for i in range(each)]
        table = pa.table(
            {
                "media_id": [row[0] for row in rows],
                "caption_index": pa.array([row[1] for row in rows], pa.int64()),
                "text": [row[2] for row in rows],
                "fingerprint": ["c0"] * len(rows),
            }
        )
        self.store.tables.update("captions", shard, lambda _: table)

    def add_media(self, shard: str, media: Sequence[int]) -> None:
        rows = pa.table(
            {
                "media_id": [media_id(m) for m in media],
                "kind": ["video"] * len(media),
                "width": pa.array([100 + m for m in media], pa.int64()),
            }
        )
        self.store.tables.update("raw_media", shard, lambda _: rows)

    def pin(self, name: str = "p", columns: Sequence[str] = ("frames.image",), **options: object) -> Pin:
        return Pins(self.store).create(name, columns=columns, now_us=1, **options)  # type: ignore[arg-type]

    @staticmethod
    def _keys(keys: Sequence[Key]) -> pa.Table:
        return pa.table(
            {
                "media_id": pa.array([media_id(m) for m, _ in keys], pa.string()),
                "frame_index": pa.array([index for _, index in keys], pa.int64()),
            }
        )

    def _blob_rows(
        self, table: str, shard: str, keys: Sequence[Key], blob: Callable[[Key], bytes], kind: str
    ) -> pa.Table:
        with PackWriter(self.store.objects, table, shard) as packs:
            for key in keys:
                packs.add(f"{media_id(key[0])}_{key[1]:06d}.{kind}", blob(key))
            refs = packs.finish()
        rows = self._keys(keys)
        for part in ("pack", "offset", "length", "crc32"):
            rows = rows.append_column(
                part, pa.array([getattr(ref, part) for ref in refs], pa.string() if part == "pack" else pa.int64())
            )
        return rows


def frames_of(media: Sequence[int], each: int) -> list[Key]:
    return [(m, index) for m in media for index in range(each)]


def build_world(folder: Path | str) -> World:
    """Three shards: 10, 7 and 3 media of 5, 3 and 1 frames, complete in every table."""
    world = World(Store.open(folder, settings=Settings()))
    for shard, media, each in (("000000", range(10), 5), ("000001", range(10, 17), 3), ("000002", range(17, 20), 1)):
        keys = frames_of(media, each)
        world.add_frames(shard, keys)
        world.add_vectors(shard, keys)
        world.add_depth(shard, keys)
        world.add_captions(shard, media)
        world.add_media(shard, media)
    return world


def copy_world(world: World, folder: Path) -> World:
    """The same world in another folder, to be changed."""
    shutil.copytree(world.store.url, folder)
    return World(Store.open(folder, settings=Settings()), dict(world.frames))
