"""How good a frame is as a picture, in numbers that need no model; and what it looks like, in 64 bits.

All numbers of light are in grey levels, 0 to 255, so that thresholds published for 8-bit pictures apply.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mmfs.features.feature import Feature, Scalar, feature
from mmfs.features.resize import resize

if TYPE_CHECKING:
    from torch import Tensor

#: What red, green and blue add to luma (Rec. 601, as in JPEG, Pillow and OpenCV), to red - green and to yellow - blue:
#: the axes of the measure M3 of Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003).
_AXES = ((0.299, 0.587, 0.114), (1.0, -1.0, 0.0), (0.5, 0.5, -1.0))
#: Standard deviation on every axis below which a frame counts as blank, in grey levels: more than JPEG and the noise
#: of a dark sensor leave of an even surface.
_BLANK_BELOW = 4.0
#: Differences between frequencies that are rounding and not picture, in grey levels.
_NOISE = 1e-2


@feature(table="frame_quality", grain="frame", inputs=["frames.image", "frames.image@previous"])
class FrameQuality(Feature):
    """Brightness, contrast, sharpness, colourfulness, perceptual hash and motion of a frame.

    ``prepare`` brings a frame to two fixed sizes, so that sharpness can be compared between frames of different sizes:
    256 x 256 for what is measured, 32 x 32 for the hash and for the difference to the stored frame before.
    """

    needs_gpu = False
    batch_size = 8  # more would not fit the caches of a core
    outputs = {
        "brightness": Scalar("float32", "Mean luma, 0 (black) to 255 (white).", "grey levels"),
        "contrast": Scalar("float32", "Root mean square deviation of luma from its mean, 0 to 127.5.", "grey levels"),
        "sharpness": Scalar(
            "float32", "Variance of the Laplacian of luma at 256 x 256; blurred frames are low.", "grey levels squared"
        ),
        "colourfulness": Scalar(
            "float32", "After Hasler and Suesstrunk (2003): 0 is grey, 15 slightly, 45 quite, 109 extremely colourful."
        ),
        "phash": Scalar(
            "int64", "Perceptual hash: frames that look alike differ in few bits (bit_count of xor: up to about 10)."
        ),
        "is_blank": Scalar("bool", "Whether the frame is one even colour, or nearly so."),
        "motion": Scalar(
            "float32", "Mean absolute difference of luma to the stored frame before; 0 for the first.", "grey levels"
        ),
    }

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Frames at 256 x 256, uint8 ``[b, 3, 256, 256]``, and luma of them and of those before, ``[b, 32, 32]``."""
        images, before = batch["frames.image"], batch["frames.image@previous"]
        return {
            "frames": resize(images, (256, 256), "bilinear"),
            "luma": luma(resize(images, (32, 32), "bilinear")),
            "luma_before": luma(resize(before, (32, 32), "bilinear")),
        }

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """All outputs, ``[B]`` each."""
        import torch

        frames = batch["frames"]
        axes = (torch.tensor(_AXES, device=frames.device) @ frames.float().flatten(2)).unflatten(2, frames.shape[2:])
        mean = _mean(axes)
        deviation = _mean((axes - mean[..., None, None]).square_()).sqrt()
        edges = laplacian(axes[:, 0])
        return {
            "brightness": mean[:, 0],
            "contrast": deviation[:, 0],
            "sharpness": _mean(edges.square()) - _mean(edges).square(),
            "colourfulness": deviation[:, 1:].norm(dim=1) + 0.3 * mean[:, 1:].norm(dim=1),
            "phash": perceptual_hash(batch["luma"]),
            "is_blank": deviation.amax(1) < _BLANK_BELOW,
            "motion": (batch["luma"] - batch["luma_before"]).abs().mean((1, 2)),
        }


def _mean(planes: Tensor) -> Tensor:
    """Means of planes ``[..., H, W]``, line by line.

    Threads would share the sum of a whole plane when a batch has fewer planes than there are threads: then the last
    bits of a frame's numbers would depend on which frames are computed with it.
    """
    return planes.mean(-1).mean(-1)


def luma(images: Tensor) -> Tensor:
    """Luma of RGB pictures ``[B, 3, H, W]``, 0 to 255: float32 ``[B, H, W]``."""
    red, green, blue = images.float().unbind(1)
    weights = _AXES[0]
    return weights[0] * red + weights[1] * green + weights[2] * blue


def laplacian(grey: Tensor) -> Tensor:
    """Four times each inner pixel less its four neighbours: ``[B, H, W]`` -> ``[B, H - 2, W - 2]``."""
    inner = 4 * grey[:, 1:-1, 1:-1]
    for neighbour in (grey[:, :-2, 1:-1], grey[:, 2:, 1:-1], grey[:, 1:-1, :-2], grey[:, 1:-1, 2:]):
        inner -= neighbour
    return inner


def perceptual_hash(grey: Tensor) -> Tensor:
    """pHash of small pictures, luma ``[B, N, N]`` of 0 to 255: int64 ``[B]``.

    After Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010): of the cosine transform
    (DCT-II) the 8 x 8 lowest frequencies but for the first row and column, each a bit that says whether it lies above
    their median. Bit ``8 * row + column``, so that the lowest bit is the lowest frequency. An even picture has hash 0.
    """
    import torch

    size = grey.shape[-1]
    place = torch.arange(size, dtype=torch.float32, device=grey.device)
    wave = torch.arange(1, 9, dtype=torch.float32, device=grey.device)[:, None]
    basis = torch.cos(math.pi / size * (place + 0.5) * wave) * math.sqrt(2 / size)
    low = (basis @ grey @ basis.T).flatten(1)
    bits = low > low.median(1, keepdim=True).values + _NOISE
    return (bits.long() << torch.arange(64, device=grey.device)).sum(1)
