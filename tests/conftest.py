"""Fixtures that every part's tests may use: an empty store, and small builders of rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings

from mmfs.settings import Settings
from mmfs.store import PackWriter, Store

Media = Callable[..., pa.Table]
Frames = Callable[..., pa.Table]

# Examples are slow on a busy machine, which is no failure.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def _no_settings_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the developer's shell decide nothing here."""
    for name in [name for name in os.environ if name.startswith("MMFS_") and name != "MMFS_SAMPLE_MEDIA"]:
        monkeypatch.delenv(name)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store with all base tables."""
    return Store.open(tmp_path / "store", settings=Settings())


def media_id(number: int) -> str:
    """A media id that sorts as its number does."""
    return f"{number:032x}"


def media_rows(numbers: range | list[int], **columns: object) -> pa.Table:
    """Rows of raw_media: image ``n`` is ``n + 1`` pixels wide and 100 high. A column given is put on every row."""
    numbers = list(numbers)
    rows: dict[str, object] = {
        "media_id": [media_id(n) for n in numbers],
        "kind": ["image"] * len(numbers),
        "uri": [f"file:///media/{n}.jpg" for n in numbers],
        "sha256": [f"{n:064x}" for n in numbers],
        "size_bytes": [1000 + n for n in numbers],
        "container": ["jpeg"] * len(numbers),
        "width": [n + 1 for n in numbers],
        "height": [100] * len(numbers),
        "ingested_at_us": [1_700_000_000_000_000] * len(numbers),
    }
    rows |= {name: [value] * len(numbers) for name, value in columns.items()}
    return pa.table(rows)


def add_media(store: Store, shard: str, numbers: range | list[int], **columns: object) -> pa.Table:
    """Put `media_rows` into a shard; the rows as the store holds them."""
    store.tables.update("raw_media", shard, lambda _: media_rows(numbers, **columns))
    return store.tables.read("raw_media", shard=shard)


def add_frames(
    store: Store,
    shard: str,
    numbers: range | list[int],
    *,
    per_media: int = 3,
    blob: Callable[[int, int], bytes] | None = None,
) -> pa.Table:
    """Frames ``0 .. per_media`` of each media number, with their packs; the rows as the store holds them.

    Args:
        blob: Bytes of (media number, frame index); default: a few hundred bytes that name both.
    """
    make = blob or (lambda number, index: f"frame {number}:{index};".encode() * 20)
    keys = [(number, index) for number in numbers for index in range(per_media)]
    with PackWriter(store.objects, "frames", shard) as packs:
        for number, index in keys:
            packs.add(f"{media_id(number)}_{index:06d}.jpg", make(number, index))
        refs = packs.finish()
    rows = pa.table(
        {
            "media_id": [media_id(number) for number, _ in keys],
            "frame_index": [index for _, index in keys],
            "pts_us": [index * 1_000_000 for _, index in keys],
            "time_s": [float(index) for _, index in keys],
            "frame_width": [64] * len(keys),
            "frame_height": [48] * len(keys),
            "is_keyframe": [index == 0 for _, index in keys],
            "pack": pa.array([ref.pack for ref in refs], pa.string()),
            "offset": pa.array([ref.offset for ref in refs], pa.int64()),
            "length": pa.array([ref.length for ref in refs], pa.int64()),
            "crc32": pa.array([ref.crc32 for ref in refs], pa.int64()),
            "fingerprint": ["f0"] * len(keys),
        }
    )
    store.tables.update("frames", shard, lambda _: rows)
    return store.tables.read("frames", shard=shard)
