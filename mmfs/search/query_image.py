"""A picture given as a query: a file that may be anything, so it goes through the guard like all media."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.codecs import decode_jpeg
from mmfs.errors import SearchError
from mmfs.media import Failure, FrameJob, Guard
from mmfs.settings import FramesConfig, GuardLimits

#: Enough for every query tower there is, and for keeping the JPEG in between harmless.
_SHORT_SIDE, _QUALITY = 512, 95


def query_image(image: Any, limits: GuardLimits) -> npt.NDArray[np.uint8]:
    """RGB uint8 [H, W, 3] of a path (of a video: its first frame), a PIL image, or an array.

    Raises:
        SearchError: It is no picture; a file that is broken, hostile or too large is named with its reason.
    """
    if isinstance(image, str | Path):
        return _of_file(Path(image), limits)
    if hasattr(image, "convert"):
        image = _of_pillow(image, limits)
    array = np.asarray(image)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        raise SearchError(
            f"the query image is {array.dtype} {list(array.shape)}",
            mend="give a path, a PIL image, or RGB uint8 [height, width, 3]",
        )
    return array


def _of_pillow(image: Any, limits: GuardLimits) -> npt.NDArray[np.uint8]:
    """RGB of a PIL image. One that was only opened is not decoded yet, so its header is judged first."""
    if image.width * image.height > limits.image_pixels:
        raise SearchError(
            f"the query image has {image.width} x {image.height} pixels, more than {limits.image_pixels:,}",
            where="MMFS_GUARD__IMAGE_PIXELS",
            mend="give a smaller picture",
        )
    try:
        return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise SearchError(f"the query image is broken: {error}", mend="give a whole picture") from error


def _of_file(path: Path, limits: GuardLimits) -> npt.NDArray[np.uint8]:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SearchError(
            f"the query image cannot be read: {error.strerror}", where=str(path), mend="name a readable picture file"
        ) from error
    sampling = FramesConfig(mode="keyframes", short_side=_SHORT_SIDE, quality=_QUALITY)
    with Guard(limits, workers=1) as guard:
        outcome = next(iter(guard.frames([FrameJob("query", path, sha256, None, sampling)])))
    if isinstance(outcome, Failure):
        raise SearchError(
            f"the query image is refused ({outcome.reason}): {outcome.message}", where=str(path), mend="give a picture"
        )
    if not outcome.frames:
        raise SearchError("the query file holds no picture", where=str(path), mend="give a picture")
    return decode_jpeg(outcome.frames[0].jpeg)
