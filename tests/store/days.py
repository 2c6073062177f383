"""A daily trickle: each day some frames more in the open shard, in a pack of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from mmfs.store import PackWriter, Store
from tests.conftest import media_id

SHARD = "000001"
PLACE = ("pack", "offset", "length", "crc32")


def add_day(store: Store, media: range, *, size_bytes: int = 300) -> None:
    """What a day brings: some media more in the open shard, their frames in a pack of their own."""
    with PackWriter(store.objects, "frames", SHARD) as packs:
        for number in media:
            packs.add(f"{media_id(number)}_000000.jpg", blob(number, size_bytes))
        refs = packs.finish()
    rows = {
        "media_id": [media_id(number) for number in media],
        "frame_index": [0] * len(media),
        "fingerprint": ["f0"] * len(media),
        **{name: [getattr(ref, name) for ref in refs] for name in PLACE},
    }
    store.tables.update("frames", SHARD, lambda current: pa.concat_tables([current, as_rows(current, rows)]))


def as_rows(current: pa.Table, columns: Mapping[str, Sequence[object]]) -> pa.Table:
    count = len(columns["media_id"])
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in current.schema]
    return pa.Table.from_arrays(arrays, schema=current.schema)


def blob(number: int, size_bytes: int) -> bytes:
    return f"frame {number};".encode() * (size_bytes // 8)


def content(store: Store) -> tuple[str, list[bytes]]:
    """The digest of the frames, and their bytes."""
    return store.tables.digest("frames"), store.blobs("frames", store.tables.read("frames"))
