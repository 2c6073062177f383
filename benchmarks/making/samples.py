"""A store for the loader's benchmarks: JPEG frames, vectors, depth maps and captions of videos, in eight shards.

A frame has 256 x 256 pixels in about 18 KiB, its depth map 128 x 128 in about 16 KiB, its vector 512 halves; a video
has one caption. Making 20,000 of them takes half a minute, so a finished store is kept in the machine's temporary
folder and found there again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

    from mmfs.store import Store

SIDE, DEPTH_SIDE, DIM, SHARDS, WINDOW = 256, 128, 512, 8, 16
#: Part of the folder's name: another kind of samples needs another.
_KIND = "mmfs-samples-2"
#: Different pictures and depth maps; pictures are shifted, so that every frame has bytes of its own.
_PICTURES = 64
_SUBSET_SHARE = 0.01


class Row(NamedTuple):
    """One sample, for a peer to write into its own format."""

    key: str
    video: int
    frame: int
    image: bytes
    vector: npt.NDArray[np.float16]
    caption: str


@dataclass(frozen=True)
class Samples:
    """Frames of videos in a store, with pins for each benchmark.

    Attributes:
        folder: Holds the store, and what peers make of it.
        videos, frames: Videos, and frames of each.
    """

    folder: Path
    videos: int
    frames: int

    @classmethod
    def sized(cls, *, quick: bool) -> Samples:
        """20,000 samples of 400 videos, or, to try the scripts, 768 of 16."""
        videos, frames = (16, 48) if quick else (400, 50)
        return cls(Path(tempfile.gettempdir()) / f"{_KIND}-{videos}x{frames}", videos, frames)

    @classmethod
    def few(cls) -> Samples:
        """4,000 samples of 80 videos, for a server that is slow."""
        return cls(Path(tempfile.gettempdir()) / f"{_KIND}-80x50", 80, 50)

    @property
    def count(self) -> int:
        return self.videos * self.frames

    @property
    def windows(self) -> int:
        """Windows of 16 frames, side by side, that never leave their video."""
        return self.videos * (self.frames // WINDOW)

    def store(self) -> Store:
        """The store; nothing is loaded that loading batches would not load."""
        from mmfs.settings import Settings
        from mmfs.store import Store

        return Store.open(self.folder / "store", settings=Settings())

    def loader(self, pin: str, **options: Any) -> Any:
        """A loader of one of the pins, two threads unless said otherwise."""
        from mmfs.loader import Loader
        from mmfs.store.pins import Pins

        store = self.store()
        return Loader(store, Pins(store).get(pin), **({"batch_size": 256, "threads": 2} | options))

    def subset(self) -> npt.NDArray[np.int64]:
        """Numbers of a random 1 % of the samples, ascending, int64."""
        rng = np.random.default_rng(1)
        return np.sort(rng.choice(self.count, max(8, int(self.count * _SUBSET_SHARE)), replace=False))

    def rows(self) -> Iterator[Row]:
        """All samples as the store holds them, in canonical order."""
        store = self.store()
        for shard in store.tables.shards("frames"):
            frames = store.tables.read("frames", shard=shard)
            vectors = store.tables.read("clip_embeddings", shard=shard).column("vector").combine_chunks()
            numbers = vectors.flatten().to_numpy().reshape(-1, DIM)
            captions = store.tables.read("captions", shard=shard)
            texts = dict(zip(captions["media_id"].to_pylist(), captions["text"].to_pylist(), strict=True))
            blobs = store.blobs("frames", frames)
            keys = zip(frames["media_id"].to_pylist(), frames["frame_index"].to_pylist(), strict=True)
            for (media, index), blob, vector in zip(keys, blobs, numbers, strict=True):
                yield Row(f"{media}:{index}", int(media, 16), index, blob, vector, texts[media])


def make_samples(samples: Samples) -> None:
    """Make the store unless it is there. Run it in a process of its own: what it loads does not survive a fork."""
    if samples.folder.exists():
        return
    unfinished = samples.folder.with_name(samples.folder.name + ".unfinished")
    draft = Samples(unfinished, samples.videos, samples.frames)
    _write(draft)
    _pin(draft)
    unfinished.rename(samples.folder)


def _write(samples: Samples) -> None:
    import pyarrow as pa

    from mmfs.schemas import Column, VectorType, feature_table, vector_column

    top = Column("depth_max", pa.float32(), "Largest depth.")
    vector = vector_column("vector", "Vectors.", VectorType(DIM))
    specs = (
        feature_table("clip_embeddings", "Vectors.", "frame", (vector,)),
        feature_table("depth_maps", "Depth maps.", "frame", (top,), blob="depth", codec="depth16"),
        # What `frames` and `clip_embeddings` hold, as one table: what does a join cost?
        feature_table("wide", "Pictures and vectors.", "frame", (vector,), blob="image", codec="jpeg"),
    )
    store = samples.store()
    for spec in specs:
        store.tables.ensure(spec)
    made = _Made(np.random.default_rng(0))
    for shard in range(SHARDS):
        videos = range(shard * samples.videos // SHARDS, (shard + 1) * samples.videos // SHARDS)
        _write_shard(store, f"{shard:06d}", videos, samples.frames, made)


class _Made:
    """Pictures, depth maps and vectors, the same at every run."""

    def __init__(self, rng: np.random.Generator) -> None:
        from mmfs.codecs import encode_depth16

        self._rng = rng
        self._pictures = [self._picture() for _ in range(_PICTURES)]
        depths = [
            self._blocks(DEPTH_SIDE, 1)[..., 0] / 25 * (1 + rng.normal(0, 0.0017, (DEPTH_SIDE, DEPTH_SIDE))) + 1
            for _ in range(_PICTURES)
        ]
        self.depths = [encode_depth16(depth.astype(np.float32)) for depth in depths]

    def jpeg(self, number: int) -> bytes:
        from mmfs.codecs import encode_jpeg

        return encode_jpeg(np.roll(self._pictures[number % _PICTURES], number * 37 % SIDE, axis=1), quality=78)

    def vectors(self, rows: int) -> npt.NDArray[np.float16]:
        return self._rng.normal(size=(rows, DIM)).astype(np.float16)

    def _picture(self) -> npt.NDArray[np.uint8]:
        noisy = self._blocks(SIDE, 3) + self._rng.normal(0, 15, (SIDE, SIDE, 3))
        return noisy.clip(0, 255).astype(np.uint8)

    def _blocks(self, side: int, channels: int) -> npt.NDArray[np.float64]:
        colours = self._rng.integers(0, 256, (side // 16, side // 16, channels))
        return np.kron(colours, np.ones((16, 16, 1)))


def _write_shard(store: Store, shard: str, videos: Sequence[int], frames: int, made: _Made) -> None:
    import pyarrow as pa

    keys = [(video, frame) for video in videos for frame in range(frames)]
    media = [f"{video:032x}" for video, _ in keys]
    index = pa.array([frame for _, frame in keys], pa.int64())
    keyed = pa.table({"media_id": media, "frame_index": index, "fingerprint": ["generated"] * len(keys)})
    jpegs = [made.jpeg(video * frames + frame) for video, frame in keys]
    depths = [made.depths[(video * frames + frame) % _PICTURES] for video, frame in keys]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(made.vectors(len(keys)).reshape(-1)), DIM)

    def put(table: str, rows: pa.Table) -> None:
        store.tables.update(table, shard, lambda _: rows)

    times = pa.array([float(frame) for _, frame in keys])
    put("frames", _packed(store, "frames", shard, keyed, jpegs, "jpg").append_column("time_s", times))
    tops = pa.array([12.0] * len(keys), pa.float32())
    put("depth_maps", _packed(store, "depth_maps", shard, keyed, depths, "d16").append_column("depth_max", tops))
    put("clip_embeddings", keyed.append_column("vector", vectors))
    put("wide", _packed(store, "wide", shard, keyed, jpegs, "jpg").append_column("vector", vectors))
    captions = {
        "media_id": [f"{video:032x}" for video in videos],
        "caption_index": pa.array([0] * len(videos), pa.int64()),
        "text": [f"caption of video {video}: a red ball rolls across a table, past two blue cups" for video in videos],
        "fingerprint": ["generated"] * len(videos),
    }
    put("captions", pa.table(captions))


def _packed(store: Store, table: str, shard: str, keyed: pa.Table, blobs: Sequence[bytes], kind: str) -> pa.Table:
    """``keyed`` with references to these blobs, which are put into packs."""
    import pyarrow as pa

    from mmfs.store import PackWriter

    keys = zip(keyed["media_id"].to_pylist(), keyed["frame_index"].to_pylist(), strict=True)
    with PackWriter(store.objects, table, shard) as packs:
        for (media, frame), blob in zip(keys, blobs, strict=True):
            packs.add(f"{media}_{frame:06d}.{kind}", blob)
        refs = packs.finish()
    for part in ("pack", "offset", "length", "crc32"):
        kept = pa.string() if part == "pack" else pa.int64()
        keyed = keyed.append_column(part, pa.array([getattr(ref, part) for ref in refs], kept))
    return keyed


def _pin(samples: Samples) -> None:
    """A pin for each benchmark."""
    from mmfs.store.pins import Pins, Window
    from mmfs.store.subsets import Provenance, save_subset

    store = samples.store()
    keys = store.tables.read("frames", columns=["media_id", "frame_index"])
    save_subset(store, "sparse", keys.take(samples.subset()), Provenance(), now_us=0)
    pins = Pins(store)
    image, vector, depth = "frames.image", "clip_embeddings.vector", "depth_maps.depth"
    columns = {
        "image": [image],
        "vector": [vector],
        "depth": [depth],
        "vector-caption": [vector, "captions.text"],
        "three": [image, depth, vector],
        "image-vector": [image, vector],
        "wide": ["wide.image", "wide.vector"],
    }
    for name, asked in columns.items():
        pins.create(name, columns=asked, now_us=0)
    pins.create("sparse", columns=[image], subset="sparse", now_us=0)
    pins.create("windows", columns=[image], window=Window(frames=WINDOW, step=WINDOW), now_us=0)
