"""A search from question to answer."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mmfs.errors import SearchError
from mmfs.features.feature import Feature
from mmfs.features.fingerprint import static_fingerprint
from mmfs.features.registry import instantiate, registered
from mmfs.schemas import GRAIN_KEYS, Grain
from mmfs.search import labels
from mmfs.search.caption_search import CaptionIndex
from mmfs.search.encoder import SpaceEncoder
from mmfs.search.engines import engine_of
from mmfs.search.freshness import changed_tables, lag_rows
from mmfs.search.hits import Hits, SearchInfo
from mmfs.search.lookup import Lookup
from mmfs.search.manifest import Manifest
from mmfs.search.now import Now
from mmfs.search.plan import plan_where
from mmfs.search.port import Engine, Hit
from mmfs.search.query import CAPTIONS, SearchQuery
from mmfs.search.query_vector import QueryEncoder, asks_in_words
from mmfs.search.ranking import Ranked, Ranker
from mmfs.search.segments import Segment
from mmfs.search.spaces_open import OpenSpace, OpenSpaces

if TYPE_CHECKING:
    from mmfs.store import Store

#: Below this many candidates, comparing all of them is as fast as the graph, and misses nothing.
EXACT_BELOW = 20_000


class Searcher:
    """Answers searches over one store, and keeps open what the next one needs: builds, models, rows that were read.

    Args:
        store: The store.
        engine: Default: the one of the store's settings.
    """

    def __init__(self, store: Store, *, engine: Engine | None = None) -> None:
        self._store = store
        self._engine = engine
        self._spaces: OpenSpaces | None = None
        self._lookup = Lookup(store)
        self._captions: CaptionIndex | None = None
        self._encoders: dict[str, Feature] = {}
        self._fingerprints: dict[int, tuple[Feature, str]] = {}
        self._changes: dict[tuple[object, ...], frozenset[str]] = {}
        self._lags: dict[tuple[object, ...], int] = {}

    def search(self, query: SearchQuery, encoder: Feature | None = None) -> Hits:
        """Answer a query.

        Args:
            query: What is asked.
            encoder: Encodes words and pictures, see `mmfs.search.encoder`; default: the space's own feature, as today's
                settings configure it.

        Raises:
            SearchError: There is no index, it belongs to another model, or the query makes no sense.
            WhereError: The condition is wrong; the message names the token and the columns that exist.
            ModelError: The model cannot be loaded.
        """
        started = time.perf_counter()
        query.check()
        if query.space == CAPTIONS:
            return self._by_captions(query, started, label=None)
        encoder = encoder or self._encoder(query.space)
        label, grain = None, encoder.spec.grain if encoder else "frame"
        if getattr(encoder, "is_demo", False) and labels.has_photographs(self._store, grain, query.where):
            label = labels.SEMANTIC
            in_words_alone = query.text is not None and not query.has_examples
            if grain == "frame" and in_words_alone and self._caption_index():
                return self._by_captions(query, started, label=labels.BY_CAPTIONS)
        return self._by_vectors(query, encoder, started, label)

    def _by_vectors(self, query: SearchQuery, encoder: Feature | None, started: float, label: str | None) -> Hits:
        spaces = self._open_spaces()
        needs_model = asks_in_words(query) or query.image is not None
        try:
            fingerprint, model = (self._fingerprint(encoder), encoder.model_name) if encoder else (None, None)
            space = spaces.get(query.space, fingerprint=fingerprint, model=model)
        except SearchError:
            if needs_model or encoder is None:
                raise
            # Examples and vectors lie in the space already: any model's will do.
            space = spaces.get(query.space, fingerprint=None, model=None)
        manifest, grain = space.manifest, space.manifest.space.grain
        look = self._lookup.now()
        changed = self._changed(space, look.now)
        plan = plan_where(self._store, manifest, query.where, changed)
        maker = QueryEncoder(
            self._store,
            space.index,
            SpaceEncoder(query.space, encoder, self._store.settings.device),
            manifest.space,
        )
        vector, named = maker.vector(query)
        exact = query.exact
        if exact is None:
            candidates = manifest.rows if plan.condition is None else space.index.count(plan.condition)
            exact = candidates < EXACT_BELOW
        ranker = Ranker(
            space.index,
            vector,
            plan,
            exact,
            named,
            living=lambda hits: look.living(hits, manifest.space.table),
            time_s=look.time_s,
        )
        ranked = ranker.rank(query)
        rows = [look.describe(hit, grain) for hit in ranked.hits]
        info = SearchInfo(
            query=query.describe(),
            where=query.where,
            space=query.space,
            model=manifest.space.model,
            engine=self._engine_name(),
            build_id=manifest.build_id,
            table_version=manifest.table_version,
            indexed_rows=manifest.rows,
            lag_rows=self._lag(manifest, look.now) if manifest.space.table in changed else 0,
            exact=exact,
            plan=plan.note,
            dropped=ranked.dropped,
            milliseconds=1000 * (time.perf_counter() - started),
            label=label,
        )
        return self._hits(ranked, rows, grain, info)

    def _by_captions(self, query: SearchQuery, started: float, *, label: str | None) -> Hits:
        captions = self._caption_index()
        if captions is None:
            raise SearchError(
                "there are no captions", mend="add captions (sidecar files, lists), or search another space"
            )
        look = self._lookup.now()
        found, dropped = captions.search(self._store, query, look)
        hits = [one.hit for one in found]
        rows = [{**look.describe(one.hit, "frame"), "caption": one.caption} for one in found]
        unused = [name for name, given in (("diversity", query.diversity), ("group", query.group)) if given]
        info = SearchInfo(
            query=query.describe(),
            where=query.where,
            space=CAPTIONS,
            model="BM25 over captions",
            engine=CAPTIONS,
            build_id=None,
            table_version=captions.version,
            indexed_rows=len(captions),
            lag_rows=0,
            exact=True,
            plan=("condition by SQL" if query.where else "no condition")
            + (f"; {' and '.join(unused)} not applied: one hit a media, by words" if unused else ""),
            dropped=dropped,
            milliseconds=1000 * (time.perf_counter() - started),
            label=label,
        )
        return self._hits(Ranked(hits, None, dropped), rows, "frame", info)

    def _hits(self, ranked: Ranked, rows: list[dict[str, Any]], grain: Grain, info: SearchInfo) -> Hits:
        hits = list(ranked.hits)
        table = _table(hits, rows, ranked.segments, grain)
        return Hits(table, info, lambda: self._pictures(hits, grain))

    def _pictures(self, hits: list[Hit], grain: Grain) -> list[bytes | None]:
        look = self._lookup.now()
        frames = [look.frame(hit.shard, hit.media_id, hit.index if grain == "frame" else None) for hit in hits]
        there = [frame for frame in frames if frame.num_rows]
        blobs = iter(self._store.blobs("frames", pa.concat_tables(there)) if there else [])
        return [next(blobs) if frame.num_rows else None for frame in frames]

    def _open_spaces(self) -> OpenSpaces:
        if self._spaces is None:
            self._engine = self._engine or engine_of(self._store)
            self._spaces = OpenSpaces(self._store, self._engine)
        return self._spaces

    def _engine_name(self) -> str:
        return self._engine.name if self._engine else ""

    def _caption_index(self) -> CaptionIndex | None:
        if self._captions is None or self._captions.version != self._store.tables.version("captions"):
            self._captions = CaptionIndex(self._store)
        return self._captions if len(self._captions) else None

    def _encoder(self, table: str) -> Feature | None:
        if table not in self._encoders:
            spec = registered(self._store.settings).get(table)
            if spec is None:
                return None
            self._encoders[table] = instantiate(spec, self._store.settings)
        return self._encoders[table]

    def _fingerprint(self, encoder: Feature) -> str:
        known = self._fingerprints.get(id(encoder))
        if known is None or known[0] is not encoder:
            known = self._fingerprints[id(encoder)] = (encoder, static_fingerprint(encoder))
        return known[1]

    def _changed(self, space: OpenSpace, now: Now) -> frozenset[str]:
        tables = sorted({column.table for column in space.manifest.space.payload} | {space.manifest.space.table})
        state = (space.manifest.build_id, space.mark, *(now.version(table) for table in tables))
        if space.mark is None or state not in self._changes:
            self._changes = {state: changed_tables(space.manifest, now)}
        return self._changes[state]

    def _lag(self, manifest: Manifest, now: Now) -> int:
        state = (manifest.build_id, now.version(manifest.space.table))
        if state not in self._lags:
            self._lags = {state: lag_rows(self._store, manifest, now)}
        return self._lags[state]


def search(store: Store, query: SearchQuery, encoder: Feature | None = None) -> Hits:
    """Answer a query; see `Searcher.search`. What one search opened, the next over the same store finds open."""
    return _searcher(store).search(query, encoder)


@lru_cache(maxsize=4)
def _searcher(store: Store) -> Searcher:
    return Searcher(store)


def _table(hits: list[Hit], rows: list[dict[str, Any]], ranges: list[Segment] | None, grain: Grain) -> pa.Table:
    keys = GRAIN_KEYS[grain]
    columns: dict[str, pa.Array] = {"media_id": pa.array([hit.media_id for hit in hits], pa.string())}
    if len(keys) > 1:
        columns[keys[1].name] = pa.array([hit.index for hit in hits], pa.int64())
    names = [hit.media_id if hit.index is None else f"{hit.media_id}:{hit.index}" for hit in hits]
    columns["key"] = pa.array(names, pa.string())
    columns["score"] = pa.array([hit.score for hit in hits], pa.float64())
    if ranges is not None:
        columns["segment_start_s"] = pa.array([found.start_s for found in ranges], pa.float64())
        columns["segment_end_s"] = pa.array([found.end_s for found in ranges], pa.float64())
        columns["segment_hits"] = pa.array([found.hits for found in ranges], pa.int64())
    for name, kind in _COLUMNS.items():
        columns[name] = pa.array([row[name] for row in rows], kind)
    columns["shard"] = pa.array([hit.shard for hit in hits], pa.string())
    return pa.table(columns)


_COLUMNS = {
    "time_s": pa.float64(),
    "kind": pa.string(),
    "uri": pa.string(),
    "width": pa.int64(),
    "height": pa.int64(),
    "duration_s": pa.float64(),
    "licence": pa.string(),
    "caption": pa.string(),
}
