"""Is a data file what was written, and what mends it when it is not?"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import IntegrityError, MissingObjectError
from mmfs.schemas import TableSpec
from mmfs.store.arrays import as_bools
from mmfs.store.data_file import DataFile, is_as_written
from mmfs.store.digest import content_digest
from mmfs.store.objects import Objects
from mmfs.store.parquet import read_footer, read_parquet
from mmfs.store.rows import canonical_rows, spec_as_written


def mend_of(spec: TableSpec, shard: str) -> str:
    """What brings damaged rows of a shard back: computing them again, or a backup of what nothing computes."""
    if spec.is_derived:
        return f"run `mmfs verify --drop-damaged`, then materialize shard {shard} of {spec.name}"
    return f"restore the file of shard {shard} of {spec.name} from a backup"


def checked_rows(objects: Objects, spec: TableSpec, file: DataFile, *, deep: bool) -> pa.Table:
    """The rows of a data file that is there, as long as it was, and holds as many rows as it did, in order.

    Args:
        deep: All columns and every byte, compared with their digests; else only the key, and the references into packs.

    Raises:
        IntegrityError: It is not what was written; the mend is that of its table.
        StoreError: It cannot be read here and now, which says nothing of its bytes.
    """
    mend = mend_of(spec, file.shard)
    try:
        if objects.size(file.path) != file.size_bytes:
            raise IntegrityError(f"{file.path} is not {file.size_bytes} bytes long", mend=mend)
        if deep and is_as_written(objects, file.path) is False:
            raise IntegrityError(f"{file.path} differs from its checksum", mend=mend)
        digest, _ = read_footer(objects, file)
        rows = read_parquet(objects, file, None if deep else _names(spec))
    except (IntegrityError, MissingObjectError) as error:
        raise IntegrityError(error.what, where=error.where, mend=mend) from error
    if rows.num_rows != file.rows:
        raise IntegrityError(f"{file.path} holds {rows.num_rows} rows where the log says {file.rows}", mend=mend)
    there = {field.name for field in rows.schema if not pa.types.is_null(field.type)}
    if lacking := [name for name in _names(spec) if name not in there]:
        raise IntegrityError(f"{file.path} lacks the column {lacking[0]}", mend=mend)
    if not _is_sorted(spec, rows):
        raise IntegrityError(f"rows of {file.path} are not sorted by their key, or one is there twice", mend=mend)
    if deep and content_digest(canonical_rows(spec_as_written(spec, rows), rows)) != digest:
        raise IntegrityError(f"rows of {file.path} differ from their digest", mend=mend)
    return rows


def _names(spec: TableSpec) -> list[str]:
    """The key, and the references into packs."""
    return [*spec.key, *(("pack", "offset", "length", "crc32") if spec.blob else ())]


def _is_sorted(spec: TableSpec, rows: pa.Table) -> bool:
    """Whether each key is greater than the one before."""
    if rows.num_rows < 2:
        return True
    greater = np.zeros(rows.num_rows - 1, np.bool_)
    equal = np.ones(rows.num_rows - 1, np.bool_)
    for name in spec.key:
        column = rows.column(name).combine_chunks()
        before, after = column.slice(0, len(column) - 1), column.slice(1)
        greater |= equal & as_bools(pc.greater(after, before))
        equal &= as_bools(pc.equal(after, before))
    return bool(greater.all())
