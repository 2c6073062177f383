"""One Parquet file a shard: written in memory and put whole; read by name, never by listing a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from mmfs.errors import IntegrityError, StoreError
from mmfs.schemas import ROW_GROUP_ROWS, TableSpec
from mmfs.store.data_file import is_as_written
from mmfs.store.objects import Objects
from mmfs.store.rows import stored_schema
from mmfs.store.vectors import unpack_table

_DIGEST_KEY = b"mmfs.digest"
_INFO_KEY = b"mmfs.info"
#: What comes of a file that is damaged, and some of it of one that is whole.
_READ_ERRORS = (pa.ArrowException, OSError, MemoryError, KeyError, TypeError, ValueError)


def parquet_bytes(spec: TableSpec, rows: pa.Table, *, digest: str, info: Mapping[str, str]) -> pa.Buffer:
    """Canonical rows (`rows.canonical_rows`) as a Parquet file: row groups of `ROW_GROUP_ROWS`, equal in all tables.

    Vectors are stored plain (random rows are read by position); all else is zstd. Each page has its CRC-32. The footer
    carries the content digest and ``info``, so that both belong to every kept version of the shard.
    """
    plain = {column.name for column in spec.columns if column.vector}
    names = [column.name for column in spec.columns if not column.vector]
    schema = stored_schema(spec).with_metadata(
        {_DIGEST_KEY: digest.encode(), _INFO_KEY: json.dumps(dict(info)).encode()}
    )
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema,
        compression={column.name: "none" if column.name in plain else "zstd" for column in spec.columns},
        use_dictionary=[column.name for column in spec.columns if column.type == pa.string()],
        write_statistics=names,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(rows.cast(schema), row_group_size=ROW_GROUP_ROWS)
    return sink.getvalue()


class StoredFile(Protocol):
    """A file of the store, as the log of its table, a pin or a list of objects names it."""

    @property
    def path(self) -> str:
        """Name in the store."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""


def read_parquet(objects: Objects, file: StoredFile, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of one file; vectors as fixed-size lists of the dimension the file was written with.

    Args:
        columns: Only these, in this order; those that the table did not have when the file was written are all null.

    Raises:
        IntegrityError: The file is not the Parquet file it was, or a page of it differs from its checksum.
        StoreError: The file is gone, or cannot be read here and now: memory is short, say.
    """
    with objects.open_file(file.path, size_bytes=file.size_bytes) as source:
        try:
            parquet = pq.ParquetFile(source, page_checksum_verification=True)
            table = parquet.read(columns=None if columns is None else list(columns))
            table = unpack_table(table.replace_schema_metadata(None))
        except _READ_ERRORS as error:
            raise _unread(objects, file.path, error) from error
    if columns is None:
        return table
    for name in set(columns).difference(table.column_names):
        none = pa.nulls(parquet.metadata.num_rows)
        table = table.append_column(name, none) if table.num_columns else pa.table({name: none})
    return table.select(list(columns))


def read_footer(objects: Objects, file: StoredFile) -> tuple[str, dict[str, str]]:
    """Content digest and commit information of one file, from its footer alone.

    Raises:
        IntegrityError: The file is not a Parquet file of this store.
        StoreError: The file is gone, or cannot be read here and now: memory is short, say.
    """
    with objects.open_file(file.path, size_bytes=file.size_bytes) as source:
        try:
            metadata = pq.ParquetFile(source).metadata.metadata
            return metadata[_DIGEST_KEY].decode(), json.loads(metadata[_INFO_KEY])
        except _READ_ERRORS as error:
            raise _unread(objects, file.path, error) from error


def _unread(objects: Objects, path: str, error: Exception) -> StoreError:
    if isinstance(error, OSError) and error.errno is not None:  # of the system, not of what the bytes say
        return StoreError(f"cannot read {path}: {error.strerror}", where=objects.url, mend="check the disk")
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if _is_damage(objects, path, error):
        return IntegrityError(
            f"{path} cannot be read: {said}",
            where=objects.url,
            mend="run `mmfs verify --deep`, which says what mends it",
        )
    mend = "run again"
    if isinstance(error, MemoryError):
        mend = "free memory, or read it on a machine with more"
    elif isinstance(error, NotImplementedError):
        mend = "read it with the versions of libraries that wrote it"
    return StoreError(f"cannot read {path}: {said}", where=objects.url, mend=mend)


def _is_damage(objects: Objects, path: str, error: Exception) -> bool:
    """Whether the file is to blame. Its bytes decide: a flipped length may ask for more memory than there is."""
    is_whole = is_as_written(objects, path)
    if is_whole is None:
        return not isinstance(error, MemoryError | NotImplementedError | pa.ArrowCancelled)
    return not is_whole
