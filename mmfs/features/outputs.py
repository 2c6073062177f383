"""What ``compute`` returned, held against what the feature declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmfs.errors import FeatureError
from mmfs.features.feature import Blob, Feature, Output, Text, Vector

#: By codec: dtype, how many axes an array may have, and that in words.
_BLOBS: dict[str, tuple[Any, Sequence[int], str]] = {
    "depth16": (np.float32, (2,), "2 axes"),
    "jpeg": (np.uint8, (3,), "3 axes, [H, W, 3]"),
    "array16": (np.float32, range(1, 5), "1 to 4 axes"),
}


class NotFiniteError(Exception):
    """A computed value is NaN or infinite."""


def checked_outputs(feature: Feature, result: Any, rows: int) -> dict[str, Sequence[Any]]:
    """The outputs of one batch: arrays of the declared dtype for Vector and Scalar, lists for Text and Blob.

    Args:
        result: What ``compute`` returned.
        rows: Rows it was given.

    Raises:
        FeatureError: A column is absent or undeclared, has another number of rows, another width or another type;
            the message names feature and column.
        NotFiniteError: A value is NaN or infinite, or overflows the stored dtype.
    """
    outputs = feature.outputs
    if not isinstance(result, Mapping) or set(result) != set(outputs):
        got = ", ".join(map(str, result)) if isinstance(result, Mapping) else type(result).__name__
        raise FeatureError(
            f"compute returned {got or 'nothing'}",
            where=f"feature {feature.spec.table}",
            mend="return a dict with the declared outputs: " + ", ".join(outputs),
        )
    return {name: _column(feature, name, output, result[name], rows) for name, output in outputs.items()}


def _column(feature: Feature, name: str, output: Output, value: Any, rows: int) -> Any:
    def wrong(what: str, mend: str) -> FeatureError:
        return FeatureError(what, where=f"feature {feature.spec.table}, column {name}", mend=mend)

    got = len(value) if hasattr(value, "__len__") else "no"
    if got != rows:
        raise wrong(f"{got} rows came out where {rows} went in", "return one row for each")
    if isinstance(output, Text):
        if not all(isinstance(text, str) for text in value):
            raise wrong("not all values are strings", "a Text needs a list of B strings")
        return list(value)
    if isinstance(output, Blob):
        dtype, axes, said = _BLOBS[output.codec]
        arrays = [np.ascontiguousarray(_numpy(one), dtype=dtype) for one in value]
        for array in arrays:
            if array.ndim not in axes or (output.codec == "jpeg" and array.shape[-1] != 3):
                raise wrong(f"an array of shape {list(array.shape)}", f"{output.codec} needs {said}")
        return [_finite(name, array) for array in arrays]
    array = _numpy(value)
    shape: tuple[int, ...] = (rows,)
    said = "a Scalar needs [B]"
    if isinstance(output, Vector):
        shape, said = (rows, output.dim), f"the declared Vector({output.dim}) needs [B, {output.dim}]"
    if array.shape != shape:
        raise wrong(f"shape {list(array.shape)}", said)
    return _finite(name, _cast(array, output.dtype))


def _numpy(value: Any) -> np.ndarray[Any, Any]:
    """A host array; bfloat16, which numpy lacks, becomes float32."""
    if hasattr(value, "detach"):
        tensor = value.detach()
        return np.asarray((tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy())
    return np.asarray(value)


def _cast(array: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    # Overflow to infinity is found by the check for finite values.
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def _finite(name: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NotFiniteError(f"{name} is not finite")
    return array
