"""The device stage on the CPU: what it hands on never lies in memory that is used again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmfs.features.batching import RowBatch
from mmfs.features.device_stage import DeviceStage, _padded
from mmfs.features.feature import Feature, Scalar, feature


def _views(images: torch.Tensor, kind: str) -> Any:
    return {
        "same": images,
        "slice": images[:, :, 1:],
        "list": [image[0] for image in images],
        "array": images.numpy()[:, 0],
        "through numpy": torch.from_numpy(images.numpy()[:, :, 1:]),
        "tuple": tuple(image[0] for image in images),
        "nested": [{"part": image} for image in images],
    }[kind]


def _numbers(value: Any) -> list[float]:
    flat = [one["part"] if isinstance(one, dict) else one for one in value]
    return [float(torch.as_tensor(one).float().mean()) for one in flat]


@pytest.mark.parametrize("kind", ["same", "slice", "list", "tuple", "array", "through numpy", "nested"])
def test_what_is_prepared_outlives_the_memory_that_rows_were_decoded_into(kind: str) -> None:
    @feature(table="views", grain="frame", inputs=["frames.image"])
    class Views(Feature):
        """Hands on parts of what it gets."""

        outputs = {"x": Scalar()}

        def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
            return {"view": _views(batch["frames.image"], kind)}

    memory = np.arange(4, dtype=np.uint8).repeat(12).reshape(4, 3, 2, 2)
    rows = RowBatch([0, 1, 2, 3], {"frames.image": torch.from_numpy(memory)})
    [prepared], bad = DeviceStage(Views()).prepare(rows)
    assert bad == []
    memory[:] = 99
    assert _numbers(prepared.values["view"]) == [0.0, 1.0, 2.0, 3.0]


def test_a_last_batch_is_filled_up_with_repeats_of_its_last_row() -> None:
    padded = _padded({"x": torch.tensor([[1.0], [2.0]]), "name": ["a", "b"]}, 3)
    assert padded["x"].flatten().tolist() == [1.0, 2.0, 2.0, 2.0, 2.0]
    assert padded["name"] == ["a", "b", "b", "b", "b"]
    assert _padded({"x": [1]}, 0) == {"x": [1]}
