"""A loaded open_clip model: both of its towers, its preprocessing and its tokenizer. Features share it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from mmfs.errors import ModelError
from mmfs.features.clip_source import SETTING, ClipSource, embedding_dim, fetch_clip, tokenizer_digest
from mmfs.features.precision import Precision, autocast
from mmfs.features.resize import open_clip_pictures
from mmfs.features.weights import require_finite
from mmfs.settings import ClipConfig

if TYPE_CHECKING:
    from torch import Tensor


class ClipModel:
    """An open_clip model on a device. Its methods may be called from several threads.

    Args:
        source: Where its files are; the weights must be on this machine.
        device: ``cpu`` or ``cuda:N``.

    Attributes:
        preprocess: open_clip's whole ``preprocess_cfg``: size, mean, std, resize_mode, interpolation, fill_color.
        logit_scale: What the model multiplies cosines by before a softmax: one over its temperature.

    Raises:
        ModelError: The weights do not fit the architecture, or hold a NaN.
    """

    def __init__(self, source: ClipSource, device: str) -> None:
        import torch

        model = _build(source)
        require_finite(model, where=str(source.weights))
        self.device = device
        self.preprocess: dict[str, Any] = dict(model.visual.preprocess_cfg)
        self.logit_scale = float(model.logit_scale.detach().exp())
        self._source = source
        self._model = model.eval().requires_grad_(False).to(device)
        # (x / 255 - mean) / std as one multiplication and one addition.
        mean, std = (torch.tensor(self.preprocess[key]).reshape(3, 1, 1) for key in ("mean", "std"))
        self._scale = (1.0 / (255.0 * std)).to(device)
        self._shift = (-mean / std).to(device)
        self._tokenizer: Any = None
        self._tokenizing = threading.Lock()

    def fit(self, images: Tensor) -> Tensor:
        """Pictures, uint8 ``[B, 3, H, W]``, at the model's size: uint8 ``[B, 3, size, size]``."""
        return open_clip_pictures(images, self.preprocess)

    def encode_pictures(self, pictures: Tensor, precision: Precision) -> Tensor:
        """Embed pictures of the model's size, uint8 ``[B, 3, size, size]``: float32 ``[B, dim]`` of unit length."""
        pixels = pictures.float().mul_(self._scale).add_(self._shift)
        with autocast(self.device, precision):
            vectors = self._model.encode_image(pixels)
        return _unit(vectors)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Tokens of texts, int64 ``[B, context]`` on the device; what is beyond the context length is cut off.

        Raises:
            ModelError: The tokenizer cannot be loaded.
        """
        with self._tokenizing:  # tokenizers of transformers are not safe to share
            if self._tokenizer is None:
                self._tokenizer = _build_tokenizer(self._source)
            tokens: Tensor = self._tokenizer(list(texts))
        return tokens.to(self.device)

    def encode_texts(self, tokens: Tensor, precision: Precision) -> Tensor:
        """Embed tokens, int64 ``[B, context]``, into the space of the pictures: float32 ``[B, dim]`` of unit length."""
        with autocast(self.device, precision):
            vectors = self._model.encode_text(tokens)
        return _unit(vectors)


#: Models in use, by weights digest and device, so that features of one process share them. References are weak: a
#: model goes when the last feature that uses it goes. Precision is no part of the key, since it is chosen at each call.
_in_use: WeakValueDictionary[tuple[str, str], ClipModel] = WeakValueDictionary()
_loading = threading.Lock()


def load_clip(config: ClipConfig, device: str) -> ClipModel:
    """The model of these settings on a device: the one that is in use already, else loaded now.

    Raises:
        ModelError: The weights cannot be reached or read.
    """
    with _loading:
        source = fetch_clip(config)
        key = (source.identity + tokenizer_digest(config), device)
        model = _in_use.get(key)
        if model is None:
            model = _in_use[key] = ClipModel(source, device)
        return model


def _unit(vectors: Tensor) -> Tensor:
    from torch.nn.functional import normalize

    return normalize(vectors.float(), dim=-1)


def _build(source: ClipSource) -> Any:
    """The model with its weights, on the CPU."""
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
    return model


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


def _build_tokenizer(source: ClipSource) -> Any:
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


#: What features reach through the model and what changes none of their results: where its files come from, for which
#: the weights digest stands, checks that only refuse, and silence.
NEUTRAL = (fetch_clip, embedding_dim, tokenizer_digest, require_finite, _no_warning_of_random_weights)
