"""Still pictures: probing by header, decoding to one upright RGB frame. Pillow is told the one format to expect."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import numpy.typing as npt

from mmfs.codecs import encode_jpeg
from mmfs.media.info import DecodedFrame, MediaInfo, Reason, RefusedError
from mmfs.media.orientation import UPRIGHT, Orientation, of_exif
from mmfs.media.sampling import Sampling, stored_size
from mmfs.media.whole import check_whole

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "avif": "AVIF",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
}
#: Modules of Pillow that read these formats.
PILLOW_PLUGINS = tuple(f"{name}ImagePlugin" for name in ("Jpeg", "Png", "WebP", "Avif", "Gif", "Bmp", "Tiff"))
_EXIF_ORIENTATION = 0x0112
_SIXTEEN_BIT = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_WITH_ALPHA = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
#: What libjpeg says when pixels are lost; its other warnings leave the picture whole.
_LOSSES = ("premature end", "huffman", "restart", "resync", "bogus", "progressi", "unsupported marker")


def probe_image(data: BinaryIO, info: MediaInfo, *, max_pixels: int) -> MediaInfo:
    """Fill in what the header says; no pixel is decoded.

    Raises:
        RefusedError: TRUNCATED, CORRUPT, TOO_LARGE or UNSUPPORTED.
    """
    with _opened(data, info, max_pixels) as image:
        orientation = _orientation(image)
        width, height = _upright_size(image, orientation)
        # What Pillow counts in a JPEG are previews behind the picture.
        frames = 1 if info.container == "jpeg" else getattr(image, "n_frames", 1)
        return replace(info, width=width, height=height, rotation_deg=orientation.rotation_deg, frame_count=int(frames))


def image_frame(data: BinaryIO, info: MediaInfo, sampling: Sampling, *, max_pixels: int) -> DecodedFrame:
    """The stored frame of an image; of an animated one, its first.

    Raises:
        RefusedError: TRUNCATED, CORRUPT, TOO_LARGE or UNSUPPORTED.
    """
    with _opened(data, info, max_pixels) as image:
        # TIFF turns itself upright when its pixels are loaded, so its tag must not be applied again.
        orientation = UPRIGHT if info.container == "tiff" else _orientation(image)
        width, height = stored_size(*image.size, sampling.short_side)
        rgb = None
        if info.container == "jpeg" and image.mode in ("RGB", "L"):
            rgb = _plain_jpeg(data, width, height)
        if rgb is None:
            rgb = np.asarray(_opaque_rgb(image))
        upright = orientation.apply(_resized(rgb, width, height))
    height, width = upright.shape[:2]
    return DecodedFrame(0, 0, 0.0, width, height, True, encode_jpeg(upright, sampling.quality))


@contextmanager
def _opened(data: BinaryIO, info: MediaInfo, max_pixels: int) -> Iterator[Image]:
    import PIL.Image

    if info.container not in _FORMATS:
        raise RefusedError(Reason.UNSUPPORTED, f"{info.container} pictures are not decoded", mend="convert it")
    check_whole(info.container, data, info.size_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with PIL.Image.open(data, formats=[_FORMATS[info.container]]) as image:
                if image.width * image.height > max_pixels:
                    raise RefusedError(
                        Reason.TOO_LARGE,
                        f"{image.width} x {image.height} pixels, over the limit of {max_pixels}",
                        mend="shrink it, or raise MMFS_GUARD__IMAGE_PIXELS",
                    )
                yield image
    except PIL.Image.DecompressionBombError as error:
        raise RefusedError(Reason.TOO_LARGE, str(error), mend="shrink the picture") from error
    except (RefusedError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise all sorts on broken bytes
        reason = Reason.TRUNCATED if "truncated" in str(error).lower() else Reason.CORRUPT
        raise RefusedError(reason, f"{info.container}: {error or type(error).__name__}") from error


def _orientation(image: Image) -> Orientation:
    try:
        return of_exif(image.getexif().get(_EXIF_ORIENTATION))
    except Exception:  # broken EXIF is no reason to lose a picture
        return UPRIGHT


def _upright_size(image: Image, orientation: Orientation) -> tuple[int, int]:
    # Pillow swaps the sides of a rotated TIFF when it opens it, those of all others never.
    return image.size if image.format == "TIFF" else orientation.size(*image.size)


def _plain_jpeg(data: BinaryIO, width: int, height: int) -> npt.NDArray[np.uint8] | None:
    """The pixels of a grey or colour JPEG at twice the size wanted or more, uint8 [H, W, 3]; None if it is odd."""
    import simplejpeg

    data.seek(0)
    try:
        rgb: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data.read(), colorspace="RGB", min_width=2 * width, min_height=2 * height
        )
    except ValueError as error:
        message = str(error)
        if any(loss in message.lower() for loss in _LOSSES):
            raise RefusedError(Reason.CORRUPT, f"jpeg: {message}") from error
        return None
    return rgb


def _opaque_rgb(image: Image) -> Image:
    """8-bit RGB: 16-bit samples shifted, palettes resolved, transparency over black."""
    import PIL.Image

    image.load()
    if image.mode in _SIXTEEN_BIT:
        # Pillow's own conversion clips at 255 instead of shifting.
        image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise RefusedError(Reason.UNSUPPORTED, "32-bit samples have no defined range of brightness", mend="convert it")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = PIL.Image.new("RGB", rgba.size)
        black.paste(rgba, mask=rgba.getchannel("A"))
        return black
    return image.convert("RGB")


def _resized(rgb: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    import PIL.Image

    if rgb.shape[:2] == (height, width):
        return rgb
    image = PIL.Image.fromarray(rgb).resize((width, height), PIL.Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(image)
