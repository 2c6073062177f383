"""Image embeddings of any open_clip model, and the text tower that searches them."""

from __future__ import annotations

from typing import Any

from mmfs.features.clip_model import NEUTRAL
from mmfs.features.clip_space import ClipSpaceFeature
from mmfs.features.feature import feature


@feature(
    table="clip_embeddings",
    grain="frame",
    inputs=["frames.image"],
    space=True,
    neutral=NEUTRAL,
)
class ClipEmbeddings(ClipSpaceFeature):
    """Unit-length image embeddings of frames, by an open_clip model.

    ``prepare`` resizes and crops on the device, so that frames of any shape fill one batch; ``compute`` normalises
    there. Text and image queries take the same way (`encode_text`, `encode_images`).
    """

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Resize and crop frames, uint8 ``[b, 3, H, W]``, to the model's size."""
        return {"pictures": self.model.fit(batch["frames.image"])}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embed pictures, uint8 ``[B, 3, size, size]``, as float32 ``[B, dim]`` of unit length."""
        return {"vector": self.model.encode_pictures(batch["pictures"], self.config.precision)}
