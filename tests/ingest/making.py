"""Small media files, made on the spot, each different from every other number's."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
from PIL import Image

from mmfs.ingest import Listed, assign, list_sources
from mmfs.settings import GuardLimits, Settings
from mmfs.store import Store


def jpeg(number: int, width: int = 48, height: int = 32) -> bytes:
    """A JPEG of blocks whose colours depend on the number."""
    blocks = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def photo(path: Path, number: int) -> Path:
    """A JPEG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(number))
    return path


def clip(path: Path, number: int, *, frames: int = 20, fps: int = 10) -> Path:
    """A video of two seconds by default."""
    rng = np.random.default_rng(number)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            blocks = rng.integers(0, 256, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(blocks, format="rgb24")))
        container.mux(stream.encode())
    return path


def settings(**values: object) -> Settings:
    """Settings with one decoding process, so that tests start fast."""
    return Settings(workers=1, guard=GuardLimits(memory_mb=2048), **values)


def open_store(path: Path, **values: object) -> Store:
    """A store with such settings."""
    return Store.open(path, settings=settings(**values))


def ingest(store: Store, *uris: Path | str, now_us: int = 1) -> None:
    """List and assign."""
    assign(store, list_sources([str(uri) for uri in uris], store.settings), added_by="tests", now_us=now_us)


def by_uri(items: list[Listed] | object) -> dict[str, Listed]:
    """Listed entries by the last part of their URI."""
    return {item.uri.rpartition("/")[2]: item for item in items}  # type: ignore[attr-defined]
