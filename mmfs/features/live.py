"""Computing a feature for rows at hand: queries, and columns that a loader computes while it loads.

The same `prepare` and `compute` as when a shard is computed, with the same checks, so that results agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmfs.features.batching import Batch, RowBatch, ShapeBuckets, is_tensor, row_shapes, stack
from mmfs.features.outputs import checked_outputs

if TYPE_CHECKING:
    from torch import Tensor

    from mmfs.features.feature import Feature


def compute_rows(feature: Feature, rows: Sequence[Batch]) -> dict[str, Sequence[Any]]:
    """Compute rows with a loaded feature.

    Args:
        rows: Input column -> value of one row: as in `Feature.prepare`, but for the batch axis, on any device.

    Returns:
        Every output, one value a row in the order of ``rows``: arrays ``[B, ...]`` of the declared dtype for Vector
        and Scalar, lists for Text and Blob.

    Raises:
        FeatureError: The outputs are not what the feature declares.
        NotFiniteError: A value is NaN or infinite.
    """
    import torch

    buckets, computed = ShapeBuckets(feature.batch_size), []

    def run(batch: RowBatch) -> None:
        columns = checked_outputs(feature, feature.compute(batch.values), len(batch))
        computed.append((batch.positions, columns))

    with torch.inference_mode():
        for positions in _by_shape(rows).values():
            for start in range(0, len(positions), feature.batch_size):
                chosen = positions[start : start + feature.batch_size]
                batch = to_device(stack([rows[position] for position in chosen]), feature.device)
                for full in buckets.add(RowBatch(chosen, feature.prepare(batch))):
                    run(full)
        for rest in buckets.rest():
            run(rest)
    order = np.argsort([position for positions, _ in computed for position in positions])
    return {name: _in_order([columns[name] for _, columns in computed], order) for name in feature.outputs}


def to_device(batch: Batch, device: str | None) -> Batch:
    """A batch with its tensors on a device."""
    return {name: value.to(device or "cpu") if is_tensor(value) else value for name, value in batch.items()}


def picture_tensor(rgb: npt.NDArray[np.uint8]) -> Tensor:
    """A picture, uint8 ``[H, W, 3]``, as features take it: uint8 ``[3, H, W]``, channels last in memory."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)


def _by_shape(rows: Sequence[Batch]) -> dict[Any, list[int]]:
    positions = defaultdict(list)
    for position, row in enumerate(rows):
        positions[row_shapes(row)].append(position)
    return positions


def _in_order(parts: Sequence[Sequence[Any]], order: npt.NDArray[np.int64]) -> Sequence[Any]:
    if parts and isinstance(parts[0], np.ndarray):
        joined: npt.NDArray[Any] = np.concatenate(parts)[order]
        return joined
    values = [value for part in parts for value in part]
    return [values[place] for place in order.tolist()]
