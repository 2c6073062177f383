"""Any rows of a pinned table, at the cost of an array look-up.

The Parquet files are the truth. The first touch of a row group copies the asked columns, as fixed-width records, to
the node's disk; from then on a row is one look-up, wherever it lies. No Delta log is read: the pin names the files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmfs.loader.cache.folder import CacheFolder
from mmfs.loader.cache.shared_rows import SharedRows
from mmfs.loader.cache.small_files import SmallFiles
from mmfs.loader.records import Field, Records, keys_in
from mmfs.loader.row_groups import RowGroups
from mmfs.loader.scratch import KeptRows, ScratchRows
from mmfs.schemas import Grain
from mmfs.store.keys import Int64s, Keys
from mmfs.store.objects import Objects
from mmfs.store.pin import PinnedTable


class RandomRows:
    """Rows of one pinned table by number, counted through all its files in order.

    Args:
        objects: The store's objects.
        name, table: The pinned table.
        grain: Its grain, which gives its keys.
        fields: What to read besides the keys. Nothing else costs a byte.
        cache: The folder that the node's processes share; None: rows are kept in files of this process alone.

    Attributes:
        first_row: Number of the first row of each file; one longer than the files.
        shards: Number of the file of each shard.
        dtype: Of the records.
    """

    def __init__(
        self,
        objects: Objects,
        name: str,
        table: PinnedTable,
        *,
        grain: Grain,
        fields: Sequence[Field],
        cache: CacheFolder | None,
    ) -> None:
        self.name = name
        kept = SmallFiles(cache) if cache and not objects.is_local else None
        self._groups = RowGroups(objects, table, grain=grain, fields=fields, kept=kept)
        self.first_row = self._groups.first_row
        self.shards = {file.shard: number for number, file in enumerate(table.files)}
        self.dtype = self._groups.dtype
        self._kept: KeptRows = (
            SharedRows(self._groups, cache, table.packs) if cache else ScratchRows(self._groups, None)
        )

    @property
    def bytes_fetched(self) -> int:
        """Bytes of Parquet files read so far."""
        return self._groups.bytes_fetched

    def file_of(self, rows: Int64s) -> Int64s:
        """Number of the file that holds each row."""
        return self._groups.file_of(rows)

    def take(self, rows: Int64s) -> Records:
        """A copy of the records of these rows (`record_dtype`); offsets of texts are addresses for `text`.

        Raises:
            LoaderError: A file is gone or cannot be reached, or the disk is full.
            IntegrityError: A file is damaged.
        """
        return self._kept.take(rows)

    def previous(self, rows: Int64s, records: Records) -> Records:
        """For each of these rows and its record, the record of the row before in the same media; its own where none is.

        Raises:
            LoaderError: A file is gone or cannot be reached, or the disk is full.
            IntegrityError: A file is damaged.
        """
        found = self.take(np.maximum(rows - 1, self.first_row[self.file_of(rows)]))
        grain = self._groups.grain
        is_other = keys_in(found, grain).media != keys_in(records, grain).media
        found[is_other] = records[is_other]
        return found

    def keys_of_file(self, number: int) -> Keys:
        """All keys of one file, read anew."""
        return self._groups.keys(number)

    def text(self, address: int, length: int) -> str:
        """A text that a record points to."""
        return self._kept.text(address, length)
