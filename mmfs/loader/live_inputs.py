"""What live columns are computed from: stored values as features take them, blobs decoded at their stored size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import IntegrityError
from mmfs.loader.contents import Contents, places_of
from mmfs.loader.fetch import Bad
from mmfs.store.pin import PinnedColumn

Mask = npt.NDArray[np.bool_]
Records = npt.NDArray[np.void]

#: In place of a value: there is no row that it could come from.
ABSENT = object()


def input_values(source: PinnedColumn, records: Records, there: Mask, contents: Contents) -> list[Any]:
    """One value for each record, as in `mmfs.features.live.compute_rows`.

    Args:
        records: Records of the column's table.
        there: Which of them are rows.
        contents: What they point to.

    Returns:
        Tensors for vectors (float32 [D]) and blobs (as decoded, pictures uint8 [3, H, W]); numbers, texts and None for
        the rest; `ABSENT` where there is no row; `Bad` where a blob cannot be read.
    """
    has, values = there & records[f"{source.field}?"], records[source.field]
    if source.kind in ("vector", "blob"):
        found = [ABSENT] * len(values)
        places = np.flatnonzero(has)
        some = _vectors(values[places]) if source.kind == "vector" else _blobs(source, values[places], contents)
        for place, value in zip(places.tolist(), some, strict=True):
            found[place] = value
        return found
    known = [contents.text(*span) for span in values.tolist()] if source.kind == "text" else values.tolist()
    return [
        value if is_known else None if is_row else ABSENT
        for value, is_known, is_row in zip(known, has.tolist(), there.tolist(), strict=True)
    ]


def _vectors(values: npt.NDArray[np.generic]) -> list[Any]:
    import torch

    return list(torch.from_numpy(values.astype(np.float32)))


def _blobs(source: PinnedColumn, references: Records, contents: Contents) -> list[Any]:
    """Decoded blobs; each is decoded once, however many inputs it is."""
    import torch

    # Only features' decoder, so that a column computed here and a stored one see the same values.
    from mmfs.features.decoding.decoders import decode

    found = []
    for place, reference, data in zip(places_of(references), references, contents.blobs(references), strict=True):
        value: Any = data
        if not isinstance(data, Bad):
            value = contents.decoded.get(place)
            if value is None:
                try:
                    tensor = torch.from_numpy(decode(source.codec or "", data))
                    value = tensor.permute(2, 0, 1) if source.codec == "jpeg" else tensor
                except IntegrityError as error:
                    value = contents.bad(reference, error.what)
                contents.decoded[place] = value
        found.append(value)
    return found
