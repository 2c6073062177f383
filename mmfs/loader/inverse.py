"""Which samples of a pin come from given media: found by the bounds of row groups, not by reading all keys."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmfs.errors import IntegrityError, LoaderError
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.store.keys import ID_LENGTH, Ids, Int64s, Keys, key_columns
from mmfs.store.objects import Objects
from mmfs.store.pin import Pin, PinnedFile, Window
from mmfs.store.runs import selected_runs

_READERS = 8
#: Files that are looked at before asking again whether all media were found.
_AT_ONCE = 16


@dataclass(frozen=True)
class FoundRows:
    """Rows of one file: their numbers in it, ascending, and their keys; how many row groups were read for them."""

    rows: Int64s
    keys: Keys
    groups_read: int


class MediaFinder:
    """Finds the rows of some media in the tables whose rows are samples.

    A media lives in one shard, so the search ends with the shard that has it. Keys are sorted, so the statistics of a
    file's row groups say which few of them to read. What a file holds is remembered, for pins that share files.

    Args:
        objects: The store's objects.
        media: Media ids.
    """

    def __init__(self, objects: Objects, media: Sequence[str]) -> None:
        self._objects = objects
        self._media: Ids = np.unique(np.array([media_id.encode() for media_id in media], f"S{ID_LENGTH}"))
        self._known: dict[str, FoundRows] = {}
        self._shards: set[str] = set()  # where some were found, in whatever version

    @property
    def groups_read(self) -> int:
        """Row groups read so far."""
        return sum(part.groups_read for part in self._known.values())

    def samples(self, pin: Pin, index: int | None = None) -> tuple[Int64s, list[str]]:
        """Numbers of the pin's samples that contain a row of the media, ascending, and their keys.

        Args:
            index: Only rows of this index in their media.

        Raises:
            StoreError: A file is gone.
            IntegrityError: A file is damaged.
        """
        files = pin.tables[GRAIN_TABLES[pin.grain]].files
        first_row = np.concatenate((np.zeros(1, np.int64), np.cumsum([file.rows for file in files], dtype=np.int64)))
        runs, window = selected_runs(self._objects, pin), pin.window or Window(frames=1)
        found: dict[int, str] = {}
        for number, part in self._look(files, pin.grain):
            asked = part.rows if index is None or part.keys.index is None else part.rows[part.keys.index == index]
            heads = np.unique(asked[:, None] - window.stride * np.arange(window.frames))
            # A head before the first row of its media begins no sample; the runs say so as well.
            heads = heads[np.isin(heads, part.rows)]
            names = part.keys.at(np.searchsorted(part.rows, heads)).names()
            samples = runs.samples_at(heads + first_row[number], first_row, window.step if pin.window else 1)
            found |= {int(samples[at]): names[at] for at in np.flatnonzero(samples >= 0).tolist()}
        return np.array(sorted(found), np.int64), [found[sample] for sample in sorted(found)]

    def _look(self, files: Sequence[PinnedFile], grain: Grain) -> list[tuple[int, FoundRows]]:
        """What each file holds, by number, for those that hold something; shards that did before come first."""
        order = sorted(range(len(files)), key=lambda number: files[number].shard not in self._shards)
        found: list[tuple[int, FoundRows]] = []
        seen: set[bytes] = set()
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(order), _AT_ONCE):
                numbers = order[start : start + _AT_ONCE]
                for number, part in zip(
                    numbers, pool.map(lambda number: self._rows_in(files[number], grain), numbers), strict=True
                ):
                    if len(part.rows):
                        found.append((number, part))
                        self._shards.add(files[number].shard)
                        seen |= set(np.unique(part.keys.media).tolist())
                if len(seen) == len(self._media):
                    break
        return found

    def _rows_in(self, file: PinnedFile, grain: Grain) -> FoundRows:
        known = self._known.get(file.path)
        if known is None:
            try:
                known = self._known[file.path] = self._read(file.path, grain)
            except pa.ArrowMemoryError as error:
                raise LoaderError(
                    f"cannot read {file.path}: {str(error).splitlines()[0]}",
                    where=self._objects.url,
                    mend="free memory; `mmfs verify --deep` says whether the file is damaged",
                ) from error
            except (pa.ArrowException, OSError) as error:
                raise IntegrityError(
                    f"{file.path} cannot be read: {str(error).splitlines()[0]}",
                    where=self._objects.url,
                    mend="run `mmfs verify --deep`, do what it says, and pin again",
                ) from error
        return known

    def _read(self, path: str, grain: Grain) -> FoundRows:
        columns = key_columns(grain)
        with self._objects.open_file(path) as file:
            parquet = pq.ParquetFile(file)
            first, last, rows = _bounds(parquet.metadata, columns[0])
            wanted = np.flatnonzero(
                np.searchsorted(self._media, first, side="left") < np.searchsorted(self._media, last, side="right")
            )
            if not len(wanted):
                return FoundRows(np.zeros(0, np.int64), Keys(np.zeros(0, f"S{ID_LENGTH}"), None), 0)
            keys = Keys.of(parquet.read_row_groups(wanted.tolist(), columns=columns, use_threads=False), grain)
        begins = np.cumsum(rows) - rows
        numbers = np.concatenate([np.arange(begins[group], begins[group] + rows[group]) for group in wanted])
        mine = np.isin(keys.media, self._media)
        return FoundRows(numbers[mine], keys.at(mine), len(wanted))


def _bounds(footer: pq.FileMetaData, column: str) -> tuple[Ids, Ids, Int64s]:
    """First and last media id of each row group, S32 [groups], and its rows, int64 [groups]."""
    position = footer.schema.names.index(column)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    found = [group.column(position).statistics for group in groups]
    first = np.array([one.min.encode() if one else b"" for one in found], f"S{ID_LENGTH}")
    last = np.array([one.max.encode() if one else b"\xff" * ID_LENGTH for one in found], f"S{ID_LENGTH}")
    return first, last, np.array([group.num_rows for group in groups], np.int64)
