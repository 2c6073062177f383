"""The captions of a shard's media: what lists and sidecars said under any of their names."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.fingerprints import caption_fingerprint
from mmfs.ingest.listed import Caption
from mmfs.ingest.listing_rows import read_captions
from mmfs.ingest.report import StepReport
from mmfs.schemas import BASE_TABLES
from mmfs.store import Store
from mmfs.store.costs import Cost, processor_name, recorded_cost

_SCHEMA = pa.schema([column.field() for column in BASE_TABLES["captions"].columns])
#: Captions that come from listings; others (written by models) are carried along untouched.
_LISTED = ("list", "sidecar")
_FILES_AT_ONCE = 64

Row = tuple[str, int, str, str, str | None, str]  # as in the table's columns


def build_captions(store: Store, shard: str) -> StepReport:
    """Bring ``captions`` of a shard in line with the listings of all sources of its media, in whatever shard they are.

    One text is one caption of its media, however often it is listed. A caption keeps its index while it is listed;
    new ones come after it.
    """
    started = time.perf_counter()
    media_ids = store.tables.read("raw_media", columns=["media_id"], shard=shard).column("media_id")
    wanted = captions_of(store, _sources_of(store, media_ids.combine_chunks()))
    fresh = carried = 0

    def build(current: pa.Table) -> pa.Table:
        nonlocal fresh, carried
        kept, listed = split_captions(current, media_ids)
        rows = next_captions(listed, kept, wanted)
        made = pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], schema=_SCHEMA)
        before = set(_rows(current))
        carried = kept.num_rows + sum(row in before for row in rows)
        fresh = len(rows) - (carried - kept.num_rows)
        return pa.concat_tables([kept, made])

    # Every run looks at all captions, and that is what takes its time.
    cost = Cost(sum(map(len, wanted.values())), time.perf_counter() - started, device=processor_name())
    info = recorded_cost(cost, before=store.tables.commit_info("captions", shard))
    commit = store.tables.update("captions", shard, build, info=info)
    return StepReport(
        table="captions",
        shard=shard,
        rows=commit.rows,
        computed=fresh,
        carried=carried,
        quarantined=0,
        seconds=time.perf_counter() - started,
        bytes_written=commit.size_bytes if commit.changed else 0,
        digest=commit.digest,
        version=commit.version,
        changed=commit.changed,
    )


def split_captions(current: pa.Table, media_ids: pa.Array | pa.ChunkedArray) -> tuple[pa.Table, pa.Table]:
    """Rows that are kept whatever is listed, of these media, and rows that came from listings, of any."""
    by_model = pc.invert(pc.is_in(current.column("source"), pa.array(_LISTED)))
    kept = current.filter(pc.and_(by_model, pc.is_in(current.column("media_id"), media_ids)))
    return kept, current.filter(pc.invert(by_model))


def next_captions(current: pa.Table, others: pa.Table, wanted: Mapping[str, list[Caption]]) -> list[Row]:
    """Rows for the captions wanted of each media, with the index they have, or the next free one of their media.

    Args:
        current: Rows that came from listings before.
        others: Rows that are kept besides, whose indices are taken.
    """
    index_of = {(row[0], row[2]): row[1] for row in _rows(current)}
    taken: dict[str, int] = {}
    for media_id, index, *_ in _rows(others):
        taken[media_id] = max(taken.get(media_id, -1), index)
    rows: list[Row] = []
    for media_id, captions in wanted.items():
        indices = [index_of.get((media_id, caption.text)) for caption in captions]
        following = max([taken.get(media_id, -1), *(index for index in indices if index is not None)]) + 1
        for caption, known in zip(captions, indices, strict=True):
            index = following if known is None else known
            following += known is None
            mark = caption_fingerprint(caption.text, caption.source, caption.language)
            rows.append((media_id, index, caption.text, caption.source, caption.language, mark))
    return rows


def _rows(table: pa.Table) -> Iterator[Any]:
    return zip(*(table.column(name).to_pylist() for name in _SCHEMA.names), strict=True)


def captions_of(store: Store, sources: Iterable[tuple[str, str, str]]) -> dict[str, list[Caption]]:
    """Listed captions by media, each text once, in the order of their sources.

    Args:
        sources: ``(shard, uri, media_id)``, sorted.
    """
    names: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for shard, uri, media_id in sources:
        names[shard][uri].append(media_id)
    found: dict[str, dict[str, Caption]] = {}
    for shard, uris in names.items():
        listings = store.tables.read("listings", columns=["uri", "captions"], shard=shard)
        chosen = pc.and_(pc.is_valid(listings.column("captions")), pc.is_in(listings.column("uri"), pa.array(uris)))
        listings = listings.filter(chosen)
        for uri, cell in zip(listings.column("uri").to_pylist(), listings.column("captions").to_pylist(), strict=True):
            for media_id in uris[uri]:
                texts = found.setdefault(media_id, {})
                for caption in read_captions(cell):
                    texts.setdefault(caption.text, caption)
    return {media_id: list(texts.values()) for media_id, texts in found.items()}


def _sources_of(store: Store, media_ids: pa.Array) -> Iterator[tuple[str, str, str]]:
    """``(shard, uri, media_id)`` of every source of these media, sorted. All shards may have some: equal bytes are
    owned by one shard and found in many."""
    files = [file for file in store.tables.files("sources") if file.rows]
    for start in range(0, len(files), _FILES_AT_ONCE):
        some = files[start : start + _FILES_AT_ONCE]
        rows = store.tables.read("sources", columns=["shard", "uri", "media_id"], files=some)
        rows = rows.filter(pc.is_in(rows.column("media_id"), media_ids))
        columns = [rows.column(name).to_pylist() for name in ("shard", "uri", "media_id")]
        yield from sorted(zip(*columns, strict=True))
