"""Small pictures of samples: the frame that shows each, and beside it what was computed of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.codecs import decode_jpeg, encode_jpeg, jpeg_size
from mmfs.features.preview import picture_of
from mmfs.media.contact_sheet import Picture, fitted
from mmfs.schemas import Grain
from mmfs.search.gallery import Thumbnail
from mmfs.search.lookup import Look
from mmfs.search.port import Hit

if TYPE_CHECKING:
    from mmfs.store import Store

#: Longest side in pixels, and the quality of what is encoded anew.
SIDE, _QUALITY = 320, 80
_FRAMES, _DEPTH = "frames", "depth_maps"


def thumbnails(
    store: Store, look: Look, hits: Sequence[Hit], grain: Grain, *, beside: str | None = None
) -> list[Thumbnail]:
    """The pictures of samples, one each.

    Args:
        look: The tables as they are seen.
        hits: The samples.
        grain: What they are; a frame is shown by itself, anything else by the first frame of its media.
        beside: Table whose blobs are drawn beside the frame, of the same grain as the samples; default: ``depth_maps``
            of the frame shown, where the store has them.

    Raises:
        IntegrityError: Stored bytes differ from their checksum.
    """
    frames = [look.row_of(_FRAMES, hit.shard, hit.media_id, hit.index if grain == "frame" else None) for hit in hits]
    if beside is not None:
        rows = [look.row_of(beside, hit.shard, hit.media_id, hit.index) for hit in hits]
    elif _DEPTH in store.tables.names():
        beside = _DEPTH
        rows = [
            look.row_of(_DEPTH, hit.shard, hit.media_id, frame["frame_index"][0].as_py()) if len(frame) else frame
            for hit, frame in zip(hits, frames, strict=True)
        ]
    else:
        rows = [frame.slice(0, 0) for frame in frames]
    pictures = [jpeg if jpeg is None else _small(jpeg) for jpeg in _blobs(store, _FRAMES, frames)]
    drawn = [None] * len(hits) if beside is None else _drawn(store, beside, rows)
    return [
        Thumbnail(picture, one, _about(beside, row) if beside is not None and one is not None else "")
        for picture, one, row in zip(pictures, drawn, rows, strict=True)
    ]


def _small(jpeg: bytes) -> bytes:
    """A stored JPEG, encoded anew only where it is larger than a thumbnail."""
    height, width = jpeg_size(jpeg)
    if max(height, width) <= SIDE:
        return jpeg
    least_side = max(1, min(height, width) * SIDE // max(height, width))
    return _jpeg(decode_jpeg(jpeg, least_side=least_side))


def _jpeg(picture: Picture) -> bytes:
    return encode_jpeg(fitted(picture, SIDE) if max(picture.shape[:2]) > SIDE else picture, _QUALITY)


def _drawn(store: Store, table: str, rows: Sequence[pa.Table]) -> list[bytes | None]:
    codec = store.tables.spec(table).codec or "jpeg"
    return [blob if blob is None else _jpeg(picture_of(codec, blob)) for blob in _blobs(store, table, rows)]


def _blobs(store: Store, table: str, rows: Sequence[pa.Table]) -> Iterator[bytes | None]:
    """The blob of each row, None where there is no row or it holds none; read together."""
    held = [bool(row.num_rows) and row["pack"][0].is_valid for row in rows]
    there = [row for row, here in zip(rows, held, strict=True) if here]
    blobs = iter(store.blobs(table, pa.concat_tables(there)) if there else [])
    return (next(blobs) if here else None for here in held)


def _about(table: str, row: pa.Table) -> str:
    """What is drawn, in a few words."""
    if table != _DEPTH:
        return table
    low, high = (float(row[name][0].as_py()) for name in ("depth_min", "depth_max"))
    return f"depth, {low:.3g} (dark) to {high:.3g} (bright)"
