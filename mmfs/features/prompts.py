"""How much frames look like what prompts say, read off their embeddings: no picture is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmfs.errors import FeatureError
from mmfs.features.clip_model import NEUTRAL, load_clip
from mmfs.features.clip_source import fetch_clip, find_clip, tokenizer_digest
from mmfs.features.feature import Feature, Output, Scalar, feature
from mmfs.ids import digest
from mmfs.settings import ClipConfig, PromptScoresConfig, Settings

if TYPE_CHECKING:
    from torch import Tensor


@feature(
    table="prompt_scores",
    grain="frame",
    inputs=["clip_embeddings.vector"],
    neutral=[*NEUTRAL, ClipConfig],
)
class PromptScores(Feature):
    """Zero-shot scores of frames for what the settings name in words: content moderation, or anything else.

    A score lies between 0 and 1: a softmax, at the model's own temperature, of how near a frame is to the prompts of
    the score and to each of the neutral prompts. Scores do not depend on one another, so that adding one leaves the
    others as they are. They rank and filter (``WHERE nsfw > 0.5``) and are no guarantee; see `PromptScoresConfig`.

    Attributes:
        clip: Model that computed the embeddings; default: that of the settings.
    """

    config: PromptScoresConfig
    section = "prompts"
    needs_gpu = False
    clip: ClipConfig | None = None

    _prompts: Tensor
    _neutral: Tensor
    _logit_scale: float

    @property
    def outputs(self) -> Mapping[str, Output]:
        """One number for each score."""
        return {
            name: Scalar("float32", f"How much the frame looks like the prompts of {name}, 0 to 1; a zero-shot score.")
            for name, _ in self.config.scores
        }

    @property
    def model_name(self) -> str:
        """How people call the model that reads the prompts."""
        return " ".join(part for part in (self._clip.model, self._clip.pretrained) if part)

    def take_settings(self, settings: Settings) -> None:
        """Take the model of the embeddings."""
        self.clip = self.clip or settings.clip

    def weights_digest(self) -> str:
        """Digest of the model of the embeddings and its tokenizer; of its name where the weights are not here."""
        return digest(find_clip(self._clip).identity, tokenizer_digest(self._clip))

    def fetch_weights(self) -> None:
        """Bring the weights to this machine.

        Raises:
            ModelError: They cannot be reached.
        """
        fetch_clip(self._clip)

    def check_inputs(self, recorded: Mapping[str, Mapping[str, str]]) -> None:
        """Refuse embeddings of another model than the one that reads the prompts: the spaces have nothing in common.

        Raises:
            FeatureError: It names both.
        """
        [table] = self.spec.tables
        info, weights = recorded[table], digest(find_clip(self._clip).identity)
        if (found := info.get("fingerprint.weights")) not in (None, weights):
            raise FeatureError(
                f"{table} was computed with {info.get('model', 'another model')} (weights {found[:12]}), but the "
                f"prompts are read by {self.model_name} (weights {weights[:12]})",
                where=f"feature {self.spec.table}",
                mend=f"materialize {table} first, or set MMFS_CLIP__MODEL back",
            )

    def setup(self, device: str) -> None:
        """Embed the prompts.

        Raises:
            ModelError: The weights cannot be read.
        """
        import torch
        from torch.nn.functional import normalize

        model = load_clip(self._clip, device)
        with torch.inference_mode():
            # In full precision, whatever that of the pictures: there are few prompts, and all scores hang on them.
            each = [model.encode_texts(model.tokenize(texts), "fp32") for _, texts in self.config.scores]
            self._prompts = normalize(torch.stack([vectors.mean(0) for vectors in each]), dim=-1)
            self._neutral = model.encode_texts(model.tokenize(self.config.neutral), "fp32")
        self._logit_scale = model.logit_scale

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Scores of vectors, float32 ``[B, dim]``: ``[B]`` for each name.

        Raises:
            FeatureError: The vectors have another width than the prompts.
        """
        import torch
        from torch.nn.functional import normalize

        [vectors] = batch.values()
        if vectors.shape[1] != self._prompts.shape[1]:
            raise FeatureError(
                f"embeddings have {vectors.shape[1]} numbers, prompts {self._prompts.shape[1]}",
                where=f"feature {self.spec.table}",
                mend="materialize the embeddings with the model of the settings first",
            )
        vectors = normalize(vectors, dim=-1)
        likeness = self._logit_scale * vectors @ self._prompts.T
        against = torch.logsumexp(self._logit_scale * vectors @ self._neutral.T, dim=1, keepdim=True)
        scores = torch.sigmoid(likeness - against)
        return {name: scores[:, column] for column, (name, _) in enumerate(self.config.scores)}

    @property
    def _clip(self) -> ClipConfig:
        return self.clip or ClipConfig()
