"""Rows of a table that all processes of a node share: each row group is fetched and decoded once a node."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from mmfs.errors import LoaderError
from mmfs.ids import digest
from mmfs.loader.cache.folder import ROWS, CacheFolder
from mmfs.loader.cache.open_files import OpenFiles
from mmfs.loader.cache.sidecar import Sidecar
from mmfs.loader.records import Records
from mmfs.loader.row_groups import RowGroups
from mmfs.loader.scratch import GROUP_SHIFT, KeptRows, ScratchRows, text_fields
from mmfs.schemas import ROW_GROUP_ROWS
from mmfs.store.faults import fault_point
from mmfs.store.keys import Int64s

log = logging.getLogger("mmfs.loader")

_LOCKS = 16


class SharedRows(KeptRows):
    """Rows in sidecars of a cache folder; when its disk is full, in files of this process alone.

    Args:
        groups: Reads what is not there.
        cache: The folder.
        packs: The pinned packs, whose numbers are in the records of blobs.
    """

    def __init__(self, groups: RowGroups, cache: CacheFolder, packs: Sequence[str]) -> None:
        self._groups = groups
        self._cache = cache
        blobs = packs if any(field.kind == "blob" for field in groups.fields) else ()
        self._layout = digest("rows/1", groups.url, groups.grain, repr(groups.fields), *blobs)
        self._texts = text_fields(groups.fields)
        self._first_group: list[int] = groups.first_group.tolist()
        self._open: OpenFiles[Sidecar] = cache.open_files()
        self._known: dict[int, tuple[bytes, list[int]]] = {}
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._own: ScratchRows | None = None
        self._switch = threading.Lock()

    def take(self, rows: Int64s) -> Records:
        if self._own is None:
            try:
                return self._take(rows)
            except OSError as error:
                self._go_without(error)
        assert self._own is not None
        return self._own.take(rows)

    def text(self, address: int, length: int) -> str:
        if self._own is None:
            try:
                return self._text(address, length)
            except OSError as error:
                self._go_without(error)
        assert self._own is not None
        return self._own.text(address, length)

    def _take(self, rows: Int64s) -> Records:
        files = self._groups.file_of(rows)
        local = rows - self._groups.first_row[files]
        pairs = list(zip(files.tolist(), local.tolist(), strict=True))
        # Who has it open can read on when the file loses its name.
        sidecars = {number: self._sidecar(number) for number in dict.fromkeys(files.tolist())}
        missing: dict[int, set[int]] = {}
        for number, row in pairs:
            group = row // ROW_GROUP_ROWS
            if sidecars[number].texts_at[group] < 0:
                missing.setdefault(number, set()).add(group)
        for number, wanted in missing.items():
            self._fill(sidecars[number], number, sorted(wanted))
        width = self._groups.dtype.itemsize
        parts = [sidecars[number].records[row * width : (row + 1) * width] for number, row in pairs]
        records: Records = np.frombuffer(bytearray().join(parts), self._groups.dtype)
        if self._texts:
            group = self._groups.first_group[files] + local // ROW_GROUP_ROWS
            for name in self._texts:
                records[name]["offset"] += group << GROUP_SHIFT
        return records

    def _text(self, address: int, length: int) -> str:
        group = address >> GROUP_SHIFT
        number = bisect_right(self._first_group, group) - 1
        group -= self._first_group[number]
        sidecar = self._sidecar(number)
        if sidecar.texts_at[group] < 0:  # another file has the name since the record was read
            self._fill(sidecar, number, [group])
        return sidecar.text(group, address & ((1 << GROUP_SHIFT) - 1), length).decode()

    def _sidecar(self, number: int) -> Sidecar:
        return self._open.get(number, self._open_sidecar)

    def _open_sidecar(self, number: int) -> Sidecar:
        rows, width = self._groups.files[number].rows, self._groups.dtype.itemsize
        path = self._cache.rows / f"{self._name(number)}{ROWS}"
        try:
            sidecar = Sidecar(path, rows, width)
        except OSError:
            self._cache.sweep()
            sidecar = Sidecar(path, rows, width)
        nonce, texts_at = self._known.get(number, (b"", []))
        if nonce == sidecar.nonce:  # opened again: what was proved stays so
            sidecar.texts_at = texts_at
        self._known[number] = (sidecar.nonce, sidecar.texts_at)
        return sidecar

    def _fill(self, sidecar: Sidecar, number: int, groups: Sequence[int]) -> None:
        def fetch(wanted: list[tuple[int, str]]) -> None:
            missing = [group for group, _ in wanted]
            for group, found in zip(missing, self._groups.read(number, missing), strict=True):
                data = memoryview(found.records.tobytes())
                self._write(sidecar, group, data, found.texts)

        name = self._name(number)
        with self._locks[number % _LOCKS]:
            self._cache.claims.share([(group, name) for group in groups], lambda key: sidecar.check(key[0]), fetch)

    def _write(self, sidecar: Sidecar, group: int, data: memoryview, texts: bytes) -> None:
        try:
            fault_point("cache.before_rows")
            sidecar.write(group, data, texts)
        except OSError:
            self._cache.sweep()  # keeps some of the disk free, so a full one has room after it, if others leave any
            fault_point("cache.before_rows")
            sidecar.write(group, data, texts)
        self._cache.add_written(len(data) + len(texts))

    def _go_without(self, error: OSError) -> None:
        """Keep rows in files of this process alone from now on, in the system's temporary folder.

        Threads that meet the full disk together share the files of the first, which holds the texts of what they took.

        Raises:
            LoaderError: There is no room either.
        """
        with self._switch:
            if self._own is not None:
                return
            try:
                self._own = ScratchRows(self._groups, None)
            except LoaderError:
                raise self._no_room(error) from error
            log.warning("%s; they go to the temporary folder until then", self._no_room(error))

    def _no_room(self, error: OSError) -> LoaderError:
        return LoaderError(
            f"cannot keep table rows in the cache folder: {error.strerror}",
            where=str(self._cache.root),
            mend="free space there, lower MMFS_CACHE__QUOTA_GB, or name a larger disk with cache=",
        )

    def _name(self, number: int) -> str:
        file = self._groups.files[number]
        return digest("file/1", self._layout, file.path, str(file.rows), str(file.size_bytes))[:32]
