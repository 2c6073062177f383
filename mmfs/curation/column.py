"""A column over a selection: values of samples, and numbers cut into ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.curation.selection import Samples, samples_of
from mmfs.errors import CurationError
from mmfs.schemas import Grain
from mmfs.store.arrays import as_numpy
from mmfs.store.keys import Int64s, Keys

if TYPE_CHECKING:
    from mmfs.store import Store


@dataclass(frozen=True)
class ColumnOfSamples:
    """Values of samples.

    Attributes:
        samples: The samples looked at.
        values: Their values [n], null where there is none.
        versions: Version of every table that was read.
    """

    samples: Samples
    values: pa.Array
    versions: dict[str, int]

    @property
    def is_number(self) -> bool:
        """Whether values are numbers, which can be cut into ranges."""
        return bool(pa.types.is_integer(self.values.type) or pa.types.is_floating(self.values.type))

    def floats(self) -> npt.NDArray[np.float64]:
        """The numbers that there are, float64 [m <= n]."""
        known = self.values.drop_null().cast(pa.float64())
        return as_numpy(known).astype(np.float64)


@dataclass(frozen=True)
class Parts:
    """Samples by value, or by range of values.

    Attributes:
        codes: Part of each sample, int64 [n].
        names: Value of each part as it is in the column; None for samples without one; None for ranges.
        edges: Of ranges: first and last value of each, [p, 2], NaN for the part of samples without a value.
    """

    codes: Int64s
    names: list[object] | None
    edges: npt.NDArray[np.float64] | None

    @property
    def count(self) -> int:
        """How many parts there are."""
        return len(self.names) if self.names is not None else len(self.edges) if self.edges is not None else 0

    def sizes(self) -> Int64s:
        """Samples of each part, int64 [p]."""
        return np.bincount(self.codes, minlength=self.count).astype(np.int64)


def column_of(
    store: Store, by: str, *, grain: Grain, subset: str | None = None, where: str | None = None
) -> ColumnOfSamples:
    """A column over the samples of a grain that belong to a subset and meet a condition.

    Args:
        by: ``table.column``, or a name as WHERE has it.

    Raises:
        CurationError: The column holds vectors or bytes, or no sample is left.
        StoreError, WhereError: The subset, the condition or the column is wrong.
    """
    samples = samples_of(store, grain, subset=subset, where=where)
    table, dot, name = by.rpartition(".")
    owner = store.tables.catalog().resolve(name, table if dot else None, grain).table
    versions = {owner: store.tables.version(owner), **samples.versions}
    rows = store.select(grain, columns=[by], versions=versions)
    values = rows.column(by).combine_chunks()
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    elif pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise CurationError(f"{by} holds {kind}", mend="name a column of texts, numbers or truth values")
    place = np.empty(len(samples), np.int64)
    keys = Keys.of(rows, grain)
    shards = rows.column("shard").combine_chunks().dictionary_encode()
    codes = as_numpy(shards.indices)
    at = {name: code for code, name in enumerate(shards.dictionary.to_pylist())}
    for shard, first, wanted in samples.by_shard():
        inside = np.flatnonzero(codes == at.get(shard, -1))
        found = wanted.locate_in(keys.at(inside))
        # A sample that went away meanwhile has no value.
        place[first : first + len(wanted)] = np.where(found >= 0, inside[found] if len(inside) else -1, -1)
    taken = values.take(pa.array(place.tolist(), pa.int64(), mask=place < 0))
    return ColumnOfSamples(samples, taken, versions)


def parts_of(column: ColumnOfSamples, bins: int | None) -> Parts:
    """Samples by value; with ``bins``, numbers by ranges of equal width.

    Samples without a value are a part of their own, the last.

    Raises:
        CurationError: ``bins`` is not positive, or the column holds no numbers.
    """
    if bins is None:
        encoded = pc.dictionary_encode(column.values)
        names = encoded.dictionary.to_pylist()
        order = sorted(range(len(names)), key=lambda code: names[code])
        place = np.empty(len(names) + 1, np.int64)
        place[order] = np.arange(len(names))
        place[len(names)] = len(names)
        codes = place[as_numpy(encoded.indices.fill_null(len(names)))]
        more = [None] if column.values.null_count else []
        return Parts(codes, [names[code] for code in order] + more, None)
    if bins < 1 or not column.is_number:
        raise CurationError(
            f"bins = {bins} over {column.values.type}", mend="give one or more bins, and a column of numbers"
        )
    known = column.floats()
    finite = known[np.isfinite(known)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    edges = np.linspace(low, high, bins + 1)
    inside = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, bins - 1)
    codes = np.full(len(column.values), bins, np.int64)
    codes[~np.asarray(as_numpy(column.values.is_null().cast(pa.int8())), np.bool_)] = inside
    pairs = np.stack([edges[:-1], edges[1:]], axis=1)
    if column.values.null_count:
        pairs = np.concatenate([pairs, [[np.nan, np.nan]]])
    return Parts(codes, None, pairs)
