"""What features that embed into the space of an open_clip model have in common: its settings, weights and queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmfs.errors import FeatureError
from mmfs.features.clip_model import ClipModel, load_clip
from mmfs.features.clip_source import embedding_dim, fetch_clip, find_clip
from mmfs.features.feature import Feature, Output, Vector
from mmfs.features.live import picture_tensor
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig


class ClipSpaceFeature(Feature):
    """Base of features whose one vector lies in the joint space of pictures and texts of an open_clip model.

    Queries of both kinds are encoded by the model that computed the rows (`encode_text`, `encode_images`).
    """

    config: ClipConfig
    section = "clip"
    #: The weights digest stands for the model, wherever its files lie.
    uncounted = frozenset({"batch_size", "model", "pretrained", "dim"})

    _model: ClipModel | None = None

    @property
    def outputs(self) -> Mapping[str, Output]:
        """One vector, as wide as the model's embeddings.

        Raises:
            ModelError: The width cannot be read offline.
        """
        return {"vector": Vector(embedding_dim(self.config), description="Unit-length embedding.")}

    @property
    def model(self) -> ClipModel:
        """The loaded model.

        Raises:
            FeatureError: It is not loaded.
        """
        if self._model is None:
            raise FeatureError("the model is not loaded", where=self.spec.table, mend='call load("cpu") first')
        return self._model

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
        """Load the model, or take the one that another feature of this process has loaded.

        Raises:
            ModelError: The weights are not here, do not fit the architecture, or hold a NaN.
        """
        self._model = load_clip(self.config, device)

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

        model, found = self.model, [np.empty((0, embedding_dim(self.config)), np.float32)]
        for start in range(0, len(images), self.batch_size):
            chosen = images[start : start + self.batch_size]
            with torch.inference_mode():
                each = [model.fit(picture_tensor(image)[None].to(model.device)) for image in chosen]
                found.append(model.encode_pictures(torch.cat(each), self.config.precision).cpu().numpy())
        return np.concatenate(found)

    def encode_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts as queries, by the same code as stored captions.

        Args:
            texts: Queries; what is beyond the model's context length is cut off.

        Returns:
            float32 ``[B, dim]`` of unit length.

        Raises:
            FeatureError: The model is not loaded.
            ModelError: Its tokenizer cannot be loaded.
        """
        import torch

        model, found = self.model, [np.empty((0, embedding_dim(self.config)), np.float32)]
        for start in range(0, len(texts), self.batch_size):
            tokens = model.tokenize(texts[start : start + self.batch_size])
            with torch.inference_mode():
                found.append(model.encode_texts(tokens, self.config.precision).cpu().numpy())
        return np.concatenate(found)
