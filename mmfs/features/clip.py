"""Image embeddings of any open_clip model, and the text tower that searches them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import FeatureError, ModelError
from mmfs.features.clip_source import SETTING, ClipSource, embedding_dim, fetch_clip, find_clip
from mmfs.features.feature import Feature, Output, Vector, feature
from mmfs.features.precision import autocast
from mmfs.features.resize import open_clip_picture, resize
from mmfs.features.weights import require_finite
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig

if TYPE_CHECKING:
    from torch import Tensor


@feature(
    table="clip_embeddings",
    grain="frame",
    inputs=["frames.image"],
    space=True,
    depends_on=[open_clip_picture, resize, autocast],
)
class ClipEmbeddings(Feature):
    """Unit-length image embeddings of frames, by an open_clip model.

    ``prepare`` resizes and crops each frame in the reader threads, so that frames of any shape fill one batch;
    ``compute`` normalises on the device. Text and image queries take the same way (`encode_text`, `encode_images`).
    """

    config: ClipConfig
    section = "clip"
    #: The weights digest stands for the model, wherever its files lie.
    uncounted = frozenset({"batch_size", "model", "pretrained", "dim"})

    _model: Any = None
    _tokenizer: Any = None
    _preprocess: dict[str, Any]
    _scale: Tensor
    _shift: Tensor

    @property
    def outputs(self) -> Mapping[str, Output]:
        """One vector, as wide as the model's embeddings.

        Raises:
            ModelError: The width cannot be read offline.
        """
        return {"vector": Vector(embedding_dim(self.config), description="Unit-length image embedding.")}

    @property
    def is_demo(self) -> bool:
        """Whether this is the small model that ships with mmfs: not trained for photographs."""
        scheme, _, path = self.config.model.partition(":")
        return scheme == "local-dir" and Path(path).expanduser().resolve() == DEMO_CLIP_DIR.resolve()

    def weights_digest(self) -> str:
        """Digest of architecture, preprocessing and weights; of their name where the weights are not here."""
        return find_clip(self.config).identity

    def fetch_weights(self) -> None:
        """Bring the weights to this machine.

        Raises:
            ModelError: They cannot be reached.
        """
        fetch_clip(self.config)

    def setup(self, device: str) -> None:
        """Load the model.

        Raises:
            ModelError: The weights are not here, do not fit the architecture, or hold a NaN.
        """
        import torch

        source = fetch_clip(self.config)
        model, self._preprocess = _build(source)
        require_finite(model, where=str(source.weights))
        self._model = model.eval().requires_grad_(False).to(device)
        # (x / 255 - mean) / std as one multiplication and one addition.
        mean, std = (torch.tensor(self._preprocess[key]).reshape(3, 1, 1) for key in ("mean", "std"))
        self._scale = (1.0 / (255.0 * std)).to(device)
        self._shift = (-mean / std).to(device)
        self._tokenizer = None
        self.device = device

    def prepare(self, row: dict[str, Any]) -> dict[str, Any]:
        """Resize and crop one frame, uint8 ``[3, H, W]``, to the model's size."""
        return {"frames.image": open_clip_picture(row["frames.image"], self._preprocess).contiguous()}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embed pictures, uint8 ``[B, 3, size, size]``, as float32 ``[B, dim]`` of unit length."""
        from torch.nn.functional import normalize

        pixels = batch["frames.image"].to(self.device, non_blocking=True).float().mul_(self._scale).add_(self._shift)
        with autocast(str(self.device), self.config.precision):
            vectors = self._model.encode_image(pixels)
        return {"vector": normalize(vectors.float(), dim=-1)}

    def encode_images(self, images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Embed pictures as queries, by the same code as stored rows.

        Args:
            images: RGB, uint8 ``[H, W, 3]``, of any sizes.

        Returns:
            float32 ``[B, dim]`` of unit length.

        Raises:
            FeatureError: The model is not loaded.
        """
        import torch

        self._require_loaded()
        if not images:
            return np.empty((0, embedding_dim(self.config)), np.float32)
        chw = [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) for image in images]
        rows = [self.prepare({"frames.image": image})["frames.image"] for image in chw]
        with torch.inference_mode():
            vectors = self.compute({"frames.image": torch.stack(rows)})["vector"]
        return np.asarray(vectors.cpu().numpy(), dtype=np.float32)

    def encode_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts into the space of the pictures.

        Args:
            texts: Queries; what is beyond the model's context length is cut off.

        Returns:
            float32 ``[B, dim]`` of unit length.

        Raises:
            FeatureError: The model is not loaded.
            ModelError: Its tokenizer cannot be loaded.
        """
        import torch
        from torch.nn.functional import normalize

        self._require_loaded()
        if not texts:
            return np.empty((0, embedding_dim(self.config)), np.float32)
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(find_clip(self.config))
        with torch.inference_mode(), autocast(str(self.device), self.config.precision):
            vectors = self._model.encode_text(self._tokenizer(list(texts)).to(self.device))
            return np.asarray(normalize(vectors.float(), dim=-1).cpu().numpy(), dtype=np.float32)

    def _require_loaded(self) -> None:
        if self._model is None:
            raise FeatureError("the model is not loaded", where="clip_embeddings", mend='call load("cpu") first')


def _build(source: ClipSource) -> tuple[Any, dict[str, Any]]:
    """The model with its weights, on the CPU, and its whole preprocessing configuration."""
    import open_clip

    try:
        # open_clip may choose a pickle among several files, so the weights are loaded from the one chosen here.
        with _no_warning_of_random_weights():
            model = open_clip.create_model(
                source.build,
                load_weights=False,
                pretrained_text=False,
                pretrained_image=False,
                force_preprocess_cfg=source.preprocess,
            )
        open_clip.load_checkpoint(model, str(source.weights))
    except Exception as error:
        raise ModelError(
            f"the weights do not load into {source.build}: {str(error).strip().splitlines()[0]}",
            where=str(source.weights),
            mend=f"check that file and architecture belong together, or change {SETTING}",
        ) from error
    return model, dict(model.visual.preprocess_cfg)


@contextmanager
def _no_warning_of_random_weights() -> Iterator[None]:
    """open_clip warns of a model without weights, which here get theirs a moment later."""

    def keep(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("No pretrained weights loaded")

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


def _tokenizer(source: ClipSource) -> Any:
    import open_clip

    # Hub repositories often leave the tokenizer to another repository, which only the hub scheme looks up.
    named = (source.architecture or {}).get("text_cfg", {}).get("hf_tokenizer_name")
    alone = source.repo and named and not (Path(source.build.partition(":")[2]) / "tokenizer.json").exists()
    try:
        return open_clip.get_tokenizer(f"hf-hub:{source.repo}" if alone else source.build)
    except Exception as error:
        raise ModelError(
            f"the tokenizer of {source.build} does not load: {str(error).strip().splitlines()[0]}",
            where=SETTING,
            mend="put the tokenizer's files beside the weights, or connect once",
        ) from error
