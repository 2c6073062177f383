"""Depth maps of frames, by any depth model of transformers that preprocesses as DPT or GLPN do."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmfs.codecs import DEPTH16_TOP
from mmfs.errors import ModelError
from mmfs.features.depth_source import SETTING, DepthPreprocess, fetch_depth, find_depth, read_preprocess
from mmfs.features.feature import Blob, Feature, Scalar, feature
from mmfs.features.precision import autocast
from mmfs.features.resize import resize
from mmfs.features.weights import require_finite
from mmfs.settings import DEMO_DEPTH_DIR, DepthConfig

if TYPE_CHECKING:
    from torch import Tensor


@feature(
    table="depth_maps",
    grain="frame",
    inputs=["frames.image"],
    neutral=[fetch_depth, require_finite],
)
class DepthMaps(Feature):
    """Depth of every pixel of a frame, at the frame's size, by a depth model of transformers.

    Values are the model's own: metres for metric models (GLPN), inverse relative depth for DPT and Depth Anything.
    ``prepare`` resizes frames to the model's input on the device; frames whose inputs have one shape share a batch.
    """

    config: DepthConfig
    section = "depth"
    #: The weights digest stands for the model, wherever its files lie.
    uncounted = frozenset({"batch_size", "model"})
    outputs = {
        "depth": Blob("depth16", "Depth of every pixel, in the model's unit."),
        "depth_width": Scalar("int64", "Width of the depth map.", "pixels"),
        "depth_height": Scalar("int64", "Height of the depth map.", "pixels"),
        "scale": Scalar("float32", "What stored halves are multiplied by; decoding does it."),
        "depth_min": Scalar("float32", "Smallest depth, in the model's unit."),
        "depth_max": Scalar("float32", "Largest depth, in the model's unit."),
    }

    _model: Any = None
    _preprocess: DepthPreprocess
    _scale: Tensor
    _shift: Tensor

    @property
    def is_demo(self) -> bool:
        """Whether this is the small model that ships with mmfs: not trained for photographs."""
        return Path(self.config.model).expanduser().resolve() == DEMO_DEPTH_DIR.resolve()

    def weights_digest(self) -> str:
        """Digest of architecture, preprocessing and weights; of the name where the weights are not here."""
        return find_depth(self.config).identity

    def fetch_weights(self) -> None:
        """Bring the weights to this machine.

        Raises:
            ModelError: They cannot be reached.
        """
        fetch_depth(self.config)

    def setup(self, device: str) -> None:
        """Load the model.

        Raises:
            ModelError: The weights are not here, do not fit the architecture, or hold a NaN.
        """
        import torch

        directory = fetch_depth(self.config)
        self._preprocess = read_preprocess(directory)
        model = _build(directory)
        require_finite(model, where=str(directory))
        self._model = model.eval().requires_grad_(False).to(device)
        self._scale = torch.tensor(self._preprocess.scale).reshape(3, 1, 1).to(device)
        self._shift = torch.tensor(self._preprocess.shift).reshape(3, 1, 1).to(device)
        self.device = device

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Resize frames, uint8 ``[b, 3, H, W]``, to the model's input, and keep their own size."""
        images = batch["frames.image"]
        size = (int(images.shape[-2]), int(images.shape[-1]))
        pixels = resize(images, self._preprocess.input_size(*size), self._preprocess.interpolation)
        return {"pixels": pixels, "size": [size] * len(images)}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Depth of pictures, uint8 ``[B, 3, h, w]``: B float32 maps ``[H, W]`` at the sizes of the frames."""
        import torch

        pixels = batch["pixels"].float().mul_(self._scale).add_(self._shift)
        with autocast(str(self.device), self.config.precision):
            predicted = self._model(pixel_values=pixels).predicted_depth
        maps = _at_sizes(predicted.float(), batch["size"])
        lowest, highest = (torch.stack([find(depth) for depth in maps]) for find in (torch.amin, torch.amax))
        return {
            "depth": maps,
            "depth_width": [depth.shape[1] for depth in maps],
            "depth_height": [depth.shape[0] for depth in maps],
            "scale": (torch.maximum(lowest.abs(), highest.abs()) / DEPTH16_TOP).clamp_min(1.0),
            "depth_min": lowest,
            "depth_max": highest,
        }


def _at_sizes(predicted: Tensor, sizes: list[tuple[int, int]]) -> list[Tensor]:
    """Predictions ``[B, h, w]`` resized to the frames' sizes as transformers does it, frames of one size together."""
    import torch
    from torch.nn.functional import interpolate

    rows_of: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row, size in enumerate(sizes):
        rows_of[size].append(row)
    maps: dict[int, Tensor] = {}
    for size, rows in rows_of.items():
        # Not predicted[rows]: an index that comes from the host makes it wait until the device has done all before.
        some = predicted if len(rows) == len(predicted) else torch.stack([predicted[row] for row in rows])
        resized = interpolate(some[:, None], size=size, mode="bicubic", align_corners=False)[:, 0]
        maps.update(zip(rows, resized, strict=True))
    return [maps[row] for row in range(len(sizes))]


def _build(directory: Path) -> Any:
    from transformers import AutoModelForDepthEstimation
    from transformers.utils import logging

    shows_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model, loading = AutoModelForDepthEstimation.from_pretrained(
            directory,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype="float32",
            output_loading_info=True,
        )
    except Exception as error:
        raise _unloadable(directory, str(error).strip().splitlines()[0]) from error
    finally:
        if shows_progress:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    if missing := sorted(loading["missing_keys"]):
        raise _unloadable(directory, f"the file lacks {len(missing)} weights, {missing[0]} for one")
    return model


def _unloadable(directory: Path, why: str) -> ModelError:
    return ModelError(
        f"the depth model does not load: {why}",
        where=str(directory),
        mend=f"it must be one of AutoModelForDepthEstimation with all its weights; or change {SETTING}",
    )
