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
from mmfs.schemas import GRAIN_TABLES, Grain
from mmfs.search import labels
from mmfs.search.caption_search import CaptionIndex, Meaning
from mmfs.search.encoder import SpaceEncoder
from mmfs.search.engines import engine_of
from mmfs.search.facets import facets
from mmfs.search.freshness import changed_tables, lag_rows
from mmfs.search.hits import Hits, SearchInfo
from mmfs.search.hits_table import hits_table
from mmfs.search.lookup import Lookup
from mmfs.search.manifest import Manifest
from mmfs.search.now import Now
from mmfs.search.plan import plan_where
from mmfs.search.port import Engine
from mmfs.search.query import CAPTION_WORDS, CAPTIONS, SearchQuery
from mmfs.search.query_vector import QueryEncoder, asks_in_words
from mmfs.search.ranking import Ranked, Ranker
from mmfs.search.sample import random_sample
from mmfs.search.spaces_open import OpenSpace, OpenSpaces
from mmfs.search.thumbnails import thumbnails

if TYPE_CHECKING:
    from mmfs.store import Store

#: Below this many candidates, comparing all of them is as fast as the graph, and misses nothing.
EXACT_BELOW = 20_000
#: The embedding table that holds the meaning of captions.
CAPTION_VECTORS = "text_embeddings"


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
        if query.by_captions:
            return self._by_captions(query, started, label=None)
        encoder = encoder or self._encoder(query.space)
        label, grain = None, encoder.spec.grain if encoder else "frame"
        if getattr(encoder, "is_demo", False) and labels.has_photographs(self._store, grain, query.where):
            label = labels.SEMANTIC
            in_words_alone = query.text is not None and not query.has_examples and query.min_score is None
            if grain == "frame" and in_words_alone and self._caption_index():
                return self._by_captions(query, started, label=labels.BY_CAPTIONS)
        return self._by_vectors(query, encoder, started, label)

    def facets(self, column: str, *, where: str | None, space: str, limit: int) -> pa.Table:
        """How often each value of a column occurs among the samples of a space; see `mmfs.search.facets.facets`."""
        opened = self._open_spaces().get(space, fingerprint=None, model=None)
        look = self._lookup.now()
        changed = self._changed(opened, look.now)
        return facets(self._store, opened, changed, look.taken_down, column, where=where, limit=limit)

    def sample(self, n: int, *, where: str | None, seed: int, grain: Grain) -> Hits:
        """Samples at random; see `mmfs.search.sample.random_sample`."""
        started = time.perf_counter()
        look = self._lookup.now()
        hits, among = random_sample(self._store, look, grain, n, where=where, seed=seed)
        table = GRAIN_TABLES[grain]
        info = SearchInfo(
            query=f"{n:,} samples at random, seed {seed}",
            where=where,
            space=table,
            model="",
            engine="sql",
            build_id=None,
            table_version=look.now.version(table),
            indexed_rows=among,
            lag_rows=0,
            exact=True,
            plan="condition by SQL" if where else "no condition",
            dropped=0,
            milliseconds=1000 * (time.perf_counter() - started),
            nothing=None if hits else "no row meets the condition" if where else f"{table} has no rows",
        )
        return self._hits(Ranked(hits, None, 0), [look.describe(hit, grain) for hit in hits], grain, info, scored=False)

    def _by_vectors(self, query: SearchQuery, encoder: Feature | None, started: float, label: str | None) -> Hits:
        spaces = self._open_spaces()
        needs_model = asks_in_words(query) or query.image is not None
        try:
            space = self._space_of(query.space, encoder)
        except SearchError:
            if needs_model or encoder is None:
                raise
            # Examples and vectors lie in the space already: any model's will do.
            space = spaces.get(query.space, fingerprint=None, model=None)
        manifest, grain = space.manifest, space.manifest.space.grain
        look = self._lookup.now()
        changed = self._changed(space, look.now)
        plan = plan_where(self._store, manifest, query.where, changed)
        vector, named = self._query_encoder(space, encoder).vector(query)
        exact = query.exact
        if exact is None:
            few = manifest.rows < EXACT_BELOW
            exact = few or (plan.condition is not None and space.index.estimate(plan.condition) < EXACT_BELOW)
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
            nothing=None if ranked.hits else _why_nothing(query, ranked),
        )
        return self._hits(ranked, rows, grain, info)

    def _by_captions(self, query: SearchQuery, started: float, *, label: str | None) -> Hits:
        captions = self._caption_index()
        if captions is None:
            raise SearchError(
                "there are no captions", mend="add captions (sidecar files, lists), or search another space"
            )
        look = self._lookup.now()
        by_words = query.space == CAPTION_WORDS or label is not None
        space, note = (None, "by words alone") if by_words else self._caption_space(query)
        meaning = None
        if space is not None:
            vector, _ = self._query_encoder(space, self._encoder(CAPTION_VECTORS)).vector(query)
            meaning = Meaning(space.index, vector, exact=space.manifest.rows < EXACT_BELOW)
        found, dropped = captions.search(self._store, query, look, meaning)
        hits = [one.hit for one in found]
        rows = [{**look.describe(one.hit, "frame"), "caption": one.caption} for one in found]
        unused = [name for name, given in (("diversity", query.diversity), ("group", query.group)) if given]
        manifest = space.manifest if space is not None else None
        info = SearchInfo(
            query=query.describe(),
            where=query.where,
            space=CAPTION_WORDS if query.space == CAPTION_WORDS else CAPTIONS,
            model="BM25" + (f" and {manifest.space.model}" if manifest else ""),
            engine=CAPTIONS,
            build_id=manifest.build_id if manifest else None,
            table_version=captions.version,
            indexed_rows=len(captions),
            lag_rows=self._lag(manifest, look.now) if manifest else 0,
            exact=meaning is None or meaning.exact,
            plan=f"{'condition by SQL' if query.where else 'no condition'}; {note}"
            + (f"; {' and '.join(unused)} not applied: one hit a media" if unused else ""),
            dropped=dropped,
            milliseconds=1000 * (time.perf_counter() - started),
            label=label,
            nothing=None if found else "no caption answers" + (" and meets the condition" if query.where else ""),
        )
        return self._hits(Ranked(hits, None, dropped), rows, "frame", info)

    def _caption_space(self, query: SearchQuery) -> tuple[OpenSpace | None, str]:
        """Where captions lie by their meaning, and how they are searched; None with the reason why by words alone."""
        encoder = self._encoder(CAPTION_VECTORS)
        if getattr(encoder, "is_demo", False) and labels.has_photographs(self._store, "frame", query.where):
            return None, "by words alone (the demo model is not trained for photographs)"
        try:
            return self._space_of(CAPTION_VECTORS, encoder), "by words and by meaning, fused by rank"
        except SearchError as error:
            return None, f"by words alone ({error.what})"

    def _space_of(self, table: str, encoder: Feature | None) -> OpenSpace:
        """The space that this encoder's model filled."""
        fingerprint, model = (self._fingerprint(encoder), encoder.model_name) if encoder else (None, None)
        return self._open_spaces().get(table, fingerprint=fingerprint, model=model)

    def _query_encoder(self, space: OpenSpace, encoder: Feature | None) -> QueryEncoder:
        described = space.manifest.space
        made = SpaceEncoder(described.table, encoder, self._store.settings.device)
        return QueryEncoder(self._store, space.index, made, described)

    def _hits(
        self, ranked: Ranked, rows: list[dict[str, Any]], grain: Grain, info: SearchInfo, *, scored: bool = True
    ) -> Hits:
        hits = list(ranked.hits)
        table = hits_table(hits, rows, grain, ranges=ranked.segments, scored=scored)
        return Hits(table, info, lambda n: thumbnails(self._store, self._lookup.now(), hits[:n], grain))

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


def _why_nothing(query: SearchQuery, ranked: Ranked) -> str:
    if ranked.best is not None and query.min_score is not None:
        return f"the nearest scores {ranked.best:.3f}, below min_score {query.min_score:g}"
    return f"no row of {query.space} meets the condition" if query.where else f"{query.space} has no other rows"
