"""Tables, subsets and answers to look at: which rows and columns, and their samples as cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import StoreError
from mmfs.ids import sample_key
from mmfs.schemas import BLOB_COLUMNS, GRAIN_KEYS, SHARD, Grain, TableSpec
from mmfs.search.gallery import MOST, Card, Gallery
from mmfs.search.lookup import Lookup
from mmfs.search.points import point_id
from mmfs.search.port import Hit
from mmfs.search.thumbnails import thumbnails
from mmfs.search.values import facts, value_text
from mmfs.store import Store
from mmfs.store.subsets import keys_of

if TYPE_CHECKING:
    from mmfs.client.table_view import TableView

#: Values on a card, where nobody named columns.
_FACTS = 10
_ROWS_OF_PACKS = frozenset(column.name for column in BLOB_COLUMNS)
#: Columns that say little to people, or that cards show in their own way.
_UNTOLD = frozenset(
    {
        "fingerprint",
        "attributes",
        "sha256",
        "uri",
        "text",
        "pts_us",
        "time_s",
        "container",
        "video_codec",
        "audio_codec",
    }
    | {"rotation_deg", "sample_rate_hz", "channels", "ingested_at_us", "added_by"}
)
_KEYS = frozenset(column.name for columns in GRAIN_KEYS.values() for column in columns) | {"key", SHARD.name, "grain"}
_OF_CARDS = frozenset({"score", "segment_start_s", "segment_end_s", "start_s", "end_s"})


def show_table(store: Store, view: TableView, *, where: str | None, columns: Sequence[str] | None, n: int) -> Gallery:
    """The first rows of a table; see `TableView.show`."""
    _check(n)
    spec = view.spec
    # A blob is no stored column, yet people know it by name: it is what the card shows.
    asked = [name for name in columns if name != spec.blob] if columns is not None else None
    named = asked if asked is not None else [c.name for c in spec.columns if c.name not in _ROWS_OF_PACKS]
    vectors = [name for name in named if spec.column(name).vector]
    own = {column.name for column in spec.columns}
    needed = [*spec.key, SHARD.name, *(_OF_CARDS & own), *(name for name in named if name not in vectors)]
    rows, total = view.first(n, columns=list(dict.fromkeys(needed)), where=where)
    for name in vectors:  # what is said of a vector is said by its column; reading it would cost the most
        rows = rows.append_column(name, pa.array([_vector_text(spec, name)] * rows.num_rows, pa.string()))
    what = f"{spec.name} (version {store.tables.version(spec.name)}){f' where {where}' if where else ''}"
    rest = f"store.table({spec.name!r}).to_arrow({f'where={where!r}' if where else ''})"
    lines = [_how_many(rows.num_rows, total, "rows", what, rest)]
    values = Gallery(spec.name, lines, rows.select(named), "no rows")
    if spec.grain is None:
        return values
    told = asked if asked is not None else [name for name in named if name not in _UNTOLD]
    told = [name for name in told if name not in _KEYS]
    if asked is None and len(told) > _FACTS:
        lines.append(f"values shown: {', '.join(told[:_FACTS])}; name others with columns=[...]")
        told = told[:_FACTS]
    key = [column.name for column in GRAIN_KEYS[spec.grain]]
    index = rows[key[1]] if len(key) > 1 else None
    beside = spec.name if spec.blob and spec.name != "frames" else None
    samples = _Samples(store, spec.grain, rows["media_id"], index, rows[SHARD.name])
    shown = samples.cards(rows, told, beside=beside)
    if not any(card.thumbnail.picture or card.thumbnail.beside for card in shown):
        return Gallery(spec.name, lines, rows.filter(samples.there).select(named), "no rows")
    return Gallery(spec.name, [*lines, *samples.left_out()], shown)


def show_subset(store: Store, name: str, rows: pa.Table, *, n: int) -> Gallery:
    """The first samples of a subset, by rank; see `Subset.show`."""
    _check(n)
    first = rows.slice(0, 1).to_pylist()[0]
    saved = value_text(first["saved_at_us"], pa.int64(), "saved_at_us")
    words = {"query": "", "where": "WHERE ", "model": "by "}
    asked = "".join(f" {word}{first[column]}" for column, word in words.items() if first[column])
    lines = [
        _how_many(min(n, len(rows)), len(rows), "samples", f"subset {name!r}", f"store.subset({name!r}).to_arrow()"),
        f"saved {saved} UTC{':' if asked else ''}{asked}",
    ]
    chosen = rows.slice(0, n)
    grain, media, index = keys_of(chosen.select(["key", "grain"]))
    samples = _Samples(store, grain, media, index)
    return Gallery(f"subset {name}", [*lines, *samples.left_out()], samples.cards(chosen, ()))


def show_rows(store: Store, rows: pa.Table, *, n: int) -> Gallery:
    """The first rows of an answer: cards where they have key columns, else values; see `FeatureStore.show`."""
    _check(n)
    chosen = rows.slice(0, n)
    lines = [_how_many(len(chosen), len(rows), "rows", "the answer", "in the table itself")]
    if not {"key", "media_id"} & set(rows.column_names):
        return Gallery("answer", lines, chosen, "no rows")
    grain, media, index = keys_of(chosen)
    samples = _Samples(store, grain, media, index)
    shown = samples.cards(chosen, [name for name in rows.column_names if name not in _KEYS | _OF_CARDS])
    return Gallery("answer", [*lines, *samples.left_out()], shown, "no rows")


class _Samples:
    """Samples as the store has them now.

    Args:
        store: The store.
        grain: What they are.
        media: Their media, string [n].
        index: Their index in the media, [n]; None at the grain of media.
        shards: Shard of each, string [n]; None: found by their media.

    Attributes:
        there: Whether a sample may be shown, bool [n]: its media is in the store and was not taken down.
    """

    def __init__(
        self,
        store: Store,
        grain: Grain,
        media: pa.Array,
        index: pa.Array | None,
        shards: pa.Array | None = None,
    ) -> None:
        self._store, self._grain = store, grain
        self._look = Lookup(store).now()
        names = media.to_pylist()
        indexes = index.to_pylist() if index is not None else [None] * len(names)
        found = shards.to_pylist() if shards is not None else _shards_of(store, names)
        gone = self._look.taken_down
        there = [shard is not None and name not in gone for name, shard in zip(names, found, strict=True)]
        self.there = pa.array(there, pa.bool_())
        self._hits = [
            Hit(point_id(store.namespace, sample_key(name, number)), 0.0, name, number, shard)
            for name, number, shard, shown in zip(names, indexes, found, there, strict=True)
            if shown
        ]

    def left_out(self) -> list[str]:
        """What must be said of samples that are not shown."""
        missing = len(self.there) - len(self._hits)
        return [f"{missing:,} more are gone or taken down, and are not shown"] if missing else []

    def cards(self, rows: pa.Table, told: Sequence[str], *, beside: str | None = None) -> list[Card]:
        """The samples as cards.

        Args:
            rows: A row for each sample, those left out included.
            told: Columns whose values a card tells.
            beside: Table whose blobs are drawn beside the frames; default: the depth maps.
        """
        rows = rows.filter(self.there)
        pictures = thumbnails(self._store, self._look, self._hits, self._grain, beside=beside)
        own = rows.select([name for name in rows.column_names if name in _OF_CARDS]).to_pylist() or [{}] * len(rows)
        cards = []
        for hit, thumbnail, row, more in zip(self._hits, pictures, own, facts(rows, told), strict=True):
            about = self._look.describe(hit, self._grain)
            cards.append(
                Card(
                    thumbnail,
                    key=sample_key(hit.media_id, hit.index),
                    score=row.get("score"),
                    caption=about["caption"],
                    uri=about["uri"],
                    time_s=about["time_s"] if about["kind"] == "video" else None,
                    start_s=row.get("segment_start_s", row.get("start_s")),
                    end_s=row.get("segment_end_s", row.get("end_s")),
                    facts=more,
                )
            )
        return cards


def _shards_of(store: Store, media: Sequence[str]) -> list[str | None]:
    """The shard of each media, None where the store does not have it."""
    if not media:
        return []
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in sorted(set(media)))
    rows = store.select("media", where=f"media_id IN ({quoted})")
    found = dict(zip(rows["media_id"].to_pylist(), rows[SHARD.name].to_pylist(), strict=True))
    return [found.get(name) for name in media]


def _vector_text(spec: TableSpec, name: str) -> str:
    vector = spec.column(name).vector
    return f"{vector.dtype} [{vector.dim}]" if vector else ""


def _how_many(shown: int, total: int, unit: str, what: str, rest: str) -> str:
    if shown == total:
        return f"{total:,} {unit} of {what}"
    return f"the first {shown:,} of {total:,} {unit} of {what}; all of them: {rest}"


def _check(n: int) -> None:
    if not 1 <= n <= MOST:
        raise StoreError(f"n = {n}", where="show", mend=f"show 1 to {MOST} rows; to_arrow gives all")
