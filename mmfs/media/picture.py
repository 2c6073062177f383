"""One decoded video frame to one stored JPEG: scaled while still YUV, turned upright, encoded."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmfs.codecs import encode_jpeg
from mmfs.media.orientation import UPRIGHT, Orientation, of_matrix
from mmfs.media.sampling import Sampling, stored_size

if TYPE_CHECKING:
    from av.buffer import Buffer
    from av.video.frame import VideoFrame

_MATRIX = struct.Struct("=9i")
_UNSPECIFIED = 2
_BT709, _BT601 = 1, 5
#: Untagged video of this height or more is taken for BT.709, as players do.
_HD_HEIGHT = 720
_FULL_RANGE = 2


def orientation_of(frame: VideoFrame) -> Orientation:
    """How the container's display matrix wants a frame shown."""
    import av.sidedata.sidedata

    side_data: Mapping[object, Buffer] = frame.side_data  # type: ignore[assignment]  # PyAV declares str keys
    matrix = side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    return UPRIGHT if matrix is None else of_matrix(_MATRIX.unpack_from(matrix))


def to_jpeg(frame: VideoFrame, sampling: Sampling) -> tuple[bytes, int, int]:
    """The stored picture of a frame, and its width and height."""
    width, height = stored_size(frame.width, frame.height, sampling.short_side)
    scaled = frame.reformat(
        width,
        height,
        "rgb24",
        src_colorspace=_colorspace(frame),
        src_color_range=frame.color_range,
        dst_color_range=_FULL_RANGE,
        # Averaging areas costs a third of Lanczos and looks the same once every pixel stems from four or more.
        interpolation="AREA" if 2 * height <= frame.height else "LANCZOS",
        threads=1,
    )
    rgb = np.asarray(scaled.to_ndarray(), dtype=np.uint8)
    upright = orientation_of(frame).apply(rgb)
    return encode_jpeg(upright, sampling.quality), upright.shape[1], upright.shape[0]


def _colorspace(frame: VideoFrame) -> int:
    if frame.colorspace != _UNSPECIFIED:
        return frame.colorspace
    return _BT709 if frame.height >= _HD_HEIGHT else _BT601
