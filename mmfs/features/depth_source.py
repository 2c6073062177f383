"""Where a depth model of transformers comes from: its files and its preprocessing, found without torch or network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmfs.errors import ModelError
from mmfs.features.hub import cached_file, fetch_snapshot
from mmfs.features.weights import files_digest, safetensors_in
from mmfs.ids import digest
from mmfs.settings import DEMO_DEPTH_DIR, DepthConfig

SETTING = "MMFS_DEPTH__MODEL"
_CONFIG = "config.json"
_PROCESSOR = "preprocessor_config.json"
_INDEX = "model.safetensors.index.json"
#: Fields of config.json that say who wrote it, not what the model is.
_INCIDENTAL = ("transformers_version", "_name_or_path", "torch_dtype", "dtype")
_OFFLINE = (
    "connect once, or set MMFS_DEPTH__MODEL=/path to a directory with config.json, preprocessor_config.json and "
    f"model.safetensors; the demo model is {DEMO_DEPTH_DIR}"
)
_RESAMPLE: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class DepthSource:
    """A depth model, as far as it is on this machine.

    Attributes:
        directory: Where its files lie; None while they are still on the hub.
        identity: Digest of architecture, preprocessing and weights; of the model's name while they are missing.
    """

    directory: Path | None
    identity: str


@dataclass(frozen=True)
class DepthPreprocess:
    """How a picture becomes the model's input: the rules of the image processors of DPT, Depth Anything and GLPN.

    Attributes:
        size: Height and width aimed at, or None where only ``multiple`` counts (GLPN).
        keep_aspect_ratio: Scale both sides alike, as little as possible.
        multiple: Sides are multiples of this.
        interpolation: How pixels are resized.
        scale: What uint8 values are multiplied by, for each channel.
        shift: What is added then, for each channel.
    """

    size: tuple[int, int] | None
    keep_aspect_ratio: bool
    multiple: int
    interpolation: Literal["bilinear", "bicubic"]
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the model's input for a picture of this size.

        >>> rules = DepthPreprocess((518, 518), True, 14, "bicubic", (1.0,) * 3, (0.0,) * 3)
        >>> rules.input_size(256, 455)
        (518, 924)
        """
        if self.size is None:
            return max(1, height // self.multiple) * self.multiple, max(1, width // self.multiple) * self.multiple
        scale_h, scale_w = self.size[0] / height, self.size[1] / width
        if self.keep_aspect_ratio:
            scale_h = scale_w = scale_w if abs(1 - scale_w) < abs(1 - scale_h) else scale_h
        return self._constrained(scale_h * height), self._constrained(scale_w * width)

    def _constrained(self, side: float) -> int:
        return max(self.multiple, round(side / self.multiple) * self.multiple)


def find_depth(config: DepthConfig) -> DepthSource:
    """The model's files, as far as they are on this machine.

    Raises:
        ModelError: The directory does not exist or lacks files, or its weights are not safetensors.
    """
    path = Path(config.model).expanduser()
    if path.is_dir():
        return DepthSource(path, _identity(path))
    if path.is_absolute() or config.model.startswith("."):
        raise ModelError(f"{config.model} is no directory", where=SETTING, mend=_OFFLINE)
    found, processor = cached_file(config.model, _CONFIG), cached_file(config.model, _PROCESSOR)
    weights = cached_file(config.model, "model.safetensors") or cached_file(config.model, _INDEX)
    if found and processor and weights:
        return DepthSource(found.parent, _identity(found.parent))
    return DepthSource(None, digest("unreachable", config.model))


def fetch_depth(config: DepthConfig) -> Path:
    """The directory with the model's files, downloaded where they are missing.

    Raises:
        ModelError: As `find_depth`; or the files are neither here nor reachable.
    """
    source = find_depth(config)
    if source.directory is not None:
        return source.directory
    patterns = (_CONFIG, _PROCESSOR, "model*.safetensors", _INDEX)
    directory = fetch_snapshot(config.model, patterns, where=SETTING, offline_mend=_OFFLINE)
    _identity(directory)
    return directory


def read_preprocess(directory: Path) -> DepthPreprocess:
    """The preprocessing rules of a model directory.

    Raises:
        ModelError: The image processor is of a family that is not supported, or does what is not supported.
    """
    path = directory / _PROCESSOR
    given = _read_json(path)
    family = str(given.get("image_processor_type") or given.get("feature_extractor_type") or "")
    unsupported = [key for key in ("do_pad", "do_center_crop") if given.get(key)]
    if not family.startswith(("DPT", "GLPN")) or unsupported or not given.get("do_resize", True):
        raise ModelError(
            f"{path.name} asks for {', '.join(unsupported) or family or 'no known image processor'}",
            where=SETTING,
            mend="use a model with the image processor of DPT, Depth Anything or GLPN",
        )
    is_glpn = family.startswith("GLPN")
    resample = given.get("resample", 2 if is_glpn else 3)
    if resample not in _RESAMPLE:
        raise ModelError(f"resample {resample} in {path}", where=SETTING, mend="2 (bilinear) and 3 (bicubic) are known")
    factor = float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else 1.0
    mean, std = [0.0] * 3, [1.0] * 3
    if given.get("do_normalize", not is_glpn):
        mean, std = given.get("image_mean") or [0.5] * 3, given.get("image_std") or [0.5] * 3
    return DepthPreprocess(
        size=None if is_glpn else _square(given.get("size", 384)),
        keep_aspect_ratio=bool(given.get("keep_aspect_ratio", False)),
        multiple=int((given.get("size_divisor") or 32) if is_glpn else (given.get("ensure_multiple_of") or 1)),
        interpolation=_RESAMPLE[resample],
        scale=tuple(factor / s for s in std),
        shift=tuple(-m / s for m, s in zip(mean, std, strict=True)),
    )


def _square(size: Any) -> tuple[int, int]:
    if isinstance(size, dict):
        return int(size["height"]), int(size["width"])
    return int(size), int(size)


def _identity(directory: Path) -> str:
    config = {key: value for key, value in _read_json(directory / _CONFIG).items() if key not in _INCIDENTAL}
    described = json.dumps([config, _read_json(directory / _PROCESSOR)], sort_keys=True)
    return digest(described, files_digest(safetensors_in(directory, where=SETTING)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist", where=SETTING, mend=_OFFLINE) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}", where=SETTING, mend="fetch the model again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object", where=SETTING, mend="fetch the model again")
    return content
