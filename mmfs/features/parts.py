"""Durable parts: what a long run has computed so far, so that a run that is killed loses little.

A part holds whole batches: their rows as Arrow, with their blobs in packs that are published already, and the rows that
could not be computed. It lies in ``staging/features/<table>/<shard>/``, is named by its bytes and written whole. The
next run of the shard takes over every row that it wants with the same fingerprint, and goes on behind it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from mmfs.errors import StoreError
from mmfs.features.attempt import BadRow
from mmfs.features.inputs import Positions, Upstream, find_rows
from mmfs.media.info import Reason
from mmfs.store.faults import fault_point
from mmfs.store.objects import Objects

log = logging.getLogger("mmfs.features")

_BAD = b"mmfs.bad"
_SUFFIX = ".arrow"


@dataclass(frozen=True)
class Adopted:
    """What earlier, unfinished runs have left that is wanted now.

    Attributes:
        rows: Computed rows, with packs; a table each part.
        bad: Rows that could not be computed.
        todo: Positions that are left to compute.
    """

    rows: list[pa.Table]
    bad: list[BadRow]
    todo: Positions


class ShardParts:
    """The parts of one shard of one table."""

    def __init__(self, objects: Objects, table: str, shard: str) -> None:
        self._objects = objects
        self._folder = f"staging/features/{table}/{shard}"

    def write(self, rows: pa.Table, bad: Sequence[BadRow], upstream: Upstream, fingerprints: pa.Array) -> None:
        """Keep a part; it is durable when this returns.

        Args:
            rows: Computed rows as they go into the table.
            bad: Rows of the same batches that could not be computed.
            fingerprints: Today's fingerprint of every upstream row.
        """
        failed = [
            {
                "key": upstream.key_strings[one.position].as_py(),
                "fingerprint": fingerprints[one.position].as_py(),
                "reason": one.reason,
                "message": one.message,
            }
            for one in bad
        ]
        table = rows.replace_schema_metadata({_BAD: json.dumps(failed).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        data = sink.getvalue()
        fault_point("features.before_part")
        self._objects.put(f"{self._folder}/{_name(data)}", memoryview(data))
        fault_point("features.after_part")

    def adopt(self, upstream: Upstream, fingerprints: pa.Array, todo: Positions) -> Adopted:
        """Take over what is wanted of the parts that are there.

        Args:
            todo: Positions of the rows to compute.
        """
        if not len(todo):
            return Adopted([], [], todo)
        wanted = np.zeros(len(upstream), np.bool_)
        wanted[todo] = True
        rows, bad = [], []
        for path in sorted(found.path for found in self._objects.list(self._folder)):
            table = self._read(path)
            if table is None:
                continue
            place = self._places(upstream, fingerprints, table)
            mine = np.flatnonzero((place >= 0) & wanted[place])
            if len(mine):
                rows.append(table.take(pa.array(mine)).replace_schema_metadata(None))
                wanted[place[mine]] = False
            for one in _failed(table):
                position = _position(upstream, fingerprints, one)
                if position is not None and wanted[position] and one["reason"] in set(Reason):
                    bad.append(BadRow(position, Reason(one["reason"]), one["message"]))
                    wanted[position] = False
        return Adopted(rows, bad, np.flatnonzero(wanted))

    def require_packs(self, rows: pa.Table) -> None:
        """Raise a StoreError unless every pack that rows name is there: a vacuum may have met those of an old part."""
        for pack in rows.column("pack").unique().to_pylist() if "pack" in rows.column_names else ():
            if not self._objects.exists(pack):
                raise StoreError(
                    f"{pack} is gone: a vacuum took it before it was committed",
                    where=self._objects.url,
                    mend="run again; its rows will be computed anew",
                )

    def clear(self) -> None:
        """Remove all parts: what they hold is committed, or of no use."""
        for found in list(self._objects.list(self._folder)):
            self._objects.delete(found.path)

    def _read(self, path: str) -> pa.Table | None:
        """A part whose bytes are what they were, and whose packs are there."""
        if not path.endswith(_SUFFIX):
            return None
        try:
            data = self._objects.get(path)
        except StoreError:
            return None  # another run of the shard has committed it meanwhile
        if _name(data) != path.rpartition("/")[2]:
            log.warning("part %s is damaged and will be computed again", path)
            return None
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
        if "pack" in table.column_names:
            packs = table.column("pack").unique().to_pylist()
            if not all(self._objects.exists(pack) for pack in packs):
                return None
        return table

    def _places(self, upstream: Upstream, fingerprints: pa.Array, table: pa.Table) -> Positions:
        """Which upstream row each row of a part is, where key and fingerprint agree; else -1."""
        place = find_rows(table, upstream.keys, upstream.keys.column_names)
        today = fingerprints.take(pa.array(place, mask=place < 0)).to_pylist()
        same = [a == b for a, b in zip(table.column("fingerprint").to_pylist(), today, strict=True)]
        return np.where(same, place, -1)


def _name(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()[:32] + _SUFFIX


def _failed(table: pa.Table) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((table.schema.metadata or {}).get(_BAD, b"[]"))
    return found


def _position(upstream: Upstream, fingerprints: pa.Array, failed: dict[str, Any]) -> int | None:
    place: int = upstream.key_strings.index(failed["key"]).as_py()
    return place if place >= 0 and fingerprints[place].as_py() == failed["fingerprint"] else None
