"""Text embeddings of captions, in the space of the pictures."""

from __future__ import annotations

from typing import Any

from mmfs.features.clip_model import NEUTRAL
from mmfs.features.clip_source import tokenizer_digest
from mmfs.features.clip_space import ClipSpaceFeature
from mmfs.features.feature import feature
from mmfs.ids import digest


@feature(
    table="text_embeddings",
    grain="caption",
    inputs=["captions.text"],
    space=True,
    neutral=NEUTRAL,
)
class TextEmbeddings(ClipSpaceFeature):
    """Unit-length embeddings of captions, by the text tower of the model of clip_embeddings.

    Captions and frames lie in one space, so that either finds the other: a text, a picture or a vector is a query of
    both tables. ``prepare`` makes tokens, ``compute`` embeds them.
    """

    def weights_digest(self) -> str:
        """Digest of architecture, weights and tokenizer; of their name where the weights are not here."""
        return digest(super().weights_digest(), tokenizer_digest(self.config))

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Tokens of captions, int64 ``[b, context]``; a caption that is null counts as empty."""
        return {"tokens": self.model.tokenize([text or "" for text in batch["captions.text"]])}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embed tokens, int64 ``[B, context]``, as float32 ``[B, dim]`` of unit length."""
        return {"vector": self.model.encode_texts(batch["tokens"], self.config.precision)}
