"""Which batch column belongs to what a pin says of a column."""

from __future__ import annotations

from mmfs.codecs import decode_array16, decode_flac
from mmfs.loader.array_columns import ArrayColumn
from mmfs.loader.columns import BatchColumn, BlobColumn, NumberColumn, Size, TextColumn
from mmfs.loader.picture_columns import DepthColumn, PictureColumn, StoredDepthColumn, StoredPictureColumn
from mmfs.store.pin import PinnedColumn


def batch_column(source: PinnedColumn, *, decode: bool, size: Size | None) -> BatchColumn:
    """The batch column of a pinned one. Blobs of a codec that has no decoder here stay bytes.

    Args:
        decode: False for stored bytes.
        size: Height and width of pictures and depth maps; None: as stored.
    """
    if source.kind == "text":
        return TextColumn()
    if source.kind != "blob":
        return NumberColumn(source)
    match source.codec if decode else None:
        case "jpeg":
            return StoredPictureColumn() if size is None else PictureColumn(size)
        case "depth16":
            return StoredDepthColumn() if size is None else DepthColumn(size)
        case "flac":
            return ArrayColumn(decode_flac)
        case "array16":
            return ArrayColumn(decode_array16)
        case _:
            return BlobColumn()
