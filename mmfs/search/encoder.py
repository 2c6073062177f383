"""What turns words and pictures into vectors of a space: the feature that computed its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import SearchError
from mmfs.features.device import resolve_device
from mmfs.features.feature import Feature, Vector
from mmfs.features.live import compute_rows, picture_tensor


class SpaceEncoder:
    """Encodes queries with a feature.

    Words go through the feature's ``encode_text``, pictures through its ``encode_images``, where it has them. A feature
    whose only input is ``captions.text``, or ``frames.image``, needs no such method: the query is computed as a row.

    Args:
        space: Embedding table, for messages.
        feature: The feature, loaded when it is needed; None where there is none for this table.
        device: As in the setting ``device``: where to load it.
    """

    def __init__(self, space: str, feature: Feature | None, device: str) -> None:
        self._space, self._feature, self._device = space, feature, device

    def encode_text(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed texts: float32 ``[B, D]``.

        Raises:
            SearchError: The feature cannot do it.
            ModelError: The model cannot be loaded.
        """
        return self._encode("encode_text", texts, "captions.text", texts, "words")

    def encode_images(self, images: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Embed pictures, RGB uint8 ``[H, W, 3]`` of any sizes: float32 ``[B, D]``.

        Raises:
            SearchError: The feature cannot do it.
            ModelError: The model cannot be loaded.
        """
        return self._encode("encode_images", images, "frames.image", map(picture_tensor, images), "pictures")

    def _encode(self, method: str, queries: Any, column: str, values: Any, what: str) -> npt.NDArray[np.float32]:
        feature = self._feature
        has_method = hasattr(feature, method)
        if feature is None or not (has_method or [wanted.name for wanted in feature.spec.inputs] == [column]):
            raise SearchError(
                f"{self._space} has no model for {what}",
                mend=f"search by frame=, like= or vector= instead, or give its feature a method {method}",
            )
        if feature.device is None:
            feature.load(resolve_device(self._device))
        if has_method:
            return np.asarray(getattr(feature, method)(queries), np.float32)
        [name] = [name for name, output in feature.outputs.items() if isinstance(output, Vector)]
        return np.asarray(compute_rows(feature, [{column: value} for value in values])[name], np.float32)
