"""Vectors of samples: read shard by shard, checked, brought to unit length, and kept where there is room."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mmfs.curation.selection import Samples, samples_of
from mmfs.errors import CurationError
from mmfs.features.fingerprint import FingerprintParts
from mmfs.schemas import Column, TableSpec
from mmfs.store.arrays import as_numpy
from mmfs.store.keys import Int64s, Keys, key_columns

if TYPE_CHECKING:
    from mmfs.store import Store

Floats = npt.NDArray[np.float32]

#: Vectors above this size go to a scratch file, which the system keeps in memory as far as there is any.
_IN_MEMORY_BYTES = 256 << 20


@dataclass(frozen=True)
class Space:
    """Vectors of samples.

    Attributes:
        table: Embedding table.
        samples: The samples looked at; some may have no vector.
        rows: Sample of each vector, ascending, int64 [m].
        vectors: Unit vectors, float32 [m, D].
        model: Model that computed them, and its fingerprint.
        versions: Version of every table that was read.
    """

    table: str
    samples: Samples
    rows: Int64s
    vectors: Floats
    model: str
    versions: dict[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    def media_codes(self) -> Int64s:
        """A number for the media of each vector, int64 [m]."""
        return self.samples.media_codes(self.rows)


def open_space(store: Store, table: str, *, subset: str | None = None, where: str | None = None) -> Space:
    """The vectors of the samples that belong to a subset and meet a condition.

    Raises:
        CurationError: The table is no embedding table, no sample has a vector, or vectors are of two models.
        StoreError, WhereError: The subset or the condition is wrong.
    """
    spec = embedding_table(store, table)
    assert spec.grain is not None  # embedding_table has checked it
    return vectors_of(store, spec, samples_of(store, spec.grain, subset=subset, where=where))


def vectors_of(store: Store, spec: TableSpec, samples: Samples) -> Space:
    """The vectors of these samples.

    Raises:
        CurationError: No sample has a vector, one is not finite or all zero, or they are of two models.
    """
    table, version, name = spec.name, store.tables.version(spec.name), _vector(spec)
    there = [shard for shard in samples.shards if shard in store.tables.shards(table, version)]
    model = _only_model(store, table, there)
    assert name.vector is not None
    vectors = _room(len(samples), name.vector.dim)
    rows = np.empty(len(samples), np.int64)
    end = 0
    for shard, first, keys in samples.by_shard():
        if shard not in there:
            continue
        read = store.tables.read(table, columns=[*key_columns(samples.grain), name.name], shard=shard, version=version)
        read = read.filter(read.column(name.name).is_valid()).combine_chunks()
        found = keys.locate_in(Keys.of(read, samples.grain))
        has = np.flatnonzero(found >= 0)
        if not len(has):
            continue
        values = as_numpy(read.column(name.name).combine_chunks().flatten()).reshape(read.num_rows, -1)
        if values.shape[1] != vectors.shape[1]:
            raise CurationError(
                f"shard {shard} of {table} holds vectors of {values.shape[1]} numbers, not {vectors.shape[1]}",
                mend=f"materialize {table} again",
            )
        vectors[end : end + len(has)] = _unit(values[found[has]].astype(np.float32), table, keys.at(has))
        rows[end : end + len(has)] = first + has
        end += len(has)
    if end == 0:
        raise CurationError(
            f"none of {len(samples):,} samples has a vector in {table}", mend=f"materialize {table} first"
        )
    return Space(table, samples, rows[:end], vectors[:end], model, {**samples.versions, table: version})


def embedding_table(store: Store, table: str) -> TableSpec:
    """The table of this name, if it holds one vector a sample.

    Raises:
        CurationError: There is no such table, or it is no space.
    """
    names = store.tables.names()
    if table in names:
        spec = store.tables.spec(table)
        if spec.grain is not None and sum(column.vector is not None for column in spec.columns) == 1:
            return spec
    spaces = [name for name in names if any(column.vector for column in store.tables.spec(name).columns)]
    raise CurationError(
        f"{table!r} is no space: " + ("it has no vectors" if table in names else "there is no such table"),
        mend="spaces of this store: " + (", ".join(spaces) or "none yet; materialize clip_embeddings"),
    )


def _vector(spec: TableSpec) -> Column:
    return next(column for column in spec.columns if column.vector)


def _room(rows: int, dim: int) -> Floats:
    """An array float32 [rows, dim]: in memory, or over a scratch file that goes with it."""
    if rows * dim * 4 <= _IN_MEMORY_BYTES:
        return np.empty((rows, dim), np.float32)
    with tempfile.TemporaryFile(prefix="mmfs-vectors-") as scratch:
        return np.memmap(scratch, np.float32, "w+", shape=(rows, dim))


def _unit(vectors: Floats, table: str, keys: Keys) -> Floats:
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    odd = ~np.isfinite(lengths) | (lengths == 0)
    if odd.any():
        key = keys.at(np.flatnonzero(odd)[:1]).names()[0]
        raise CurationError(
            f"{int(odd.sum())} vectors are all zero or not finite, first that of {key}",
            where=table,
            mend=f"materialize {table} again",
        )
    vectors /= lengths[:, None]
    return vectors


def _only_model(store: Store, table: str, shards: list[str]) -> str:
    """The model that computed these shards: its name and fingerprint, as their commits recorded them."""
    models = set()
    for shard in shards:
        info = store.tables.commit_info(table, shard)
        parts = [info.get(f"fingerprint.{part}", "") for part in FingerprintParts.__annotations__]
        fingerprint = FingerprintParts(*parts).digest[:12] if any(parts) else "not recorded"
        models.add(f"{info.get('model', 'unknown model')} (fingerprint {fingerprint})")
    if len(models) > 1:
        raise CurationError(
            "vectors of different models cannot be compared: " + ", ".join(sorted(models)),
            where=table,
            mend=f"materialize {table}, so that all shards are of one model",
        )
    return models.pop() if models else "unknown model"
