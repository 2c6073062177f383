"""The answer of a search: a table, how it came about, and a picture gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.search.gallery import MOST, NOTHING, Card, Gallery, Thumbnail
from mmfs.search.query import CAPTIONS
from mmfs.store.subsets import Provenance

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class SearchInfo:
    """How an answer came about.

    Attributes:
        query: What was asked, in one line.
        where: The condition asked for.
        space: Embedding table, ``captions``, ``caption_words``, or the table that a random sample is of.
        model: Model of the space.
        engine: edge, server, captions, or sql.
        build_id: Build that answered; None for words alone and for random samples.
        table_version: Version of the embedding table (of captions) that was searched.
        indexed_rows: Points in the build, or captions searched.
        lag_rows: Rows by which the build lags behind the table.
        exact: Whether every candidate was compared, or the graph was used.
        plan: How the condition was answered.
        dropped: Hits left out because their rows are gone or taken down.
        milliseconds: The whole call.
        label: What must be said of the answer, such as that a demo model gave it; None: nothing.
        nothing: Why nothing matches; None where there are hits.
    """

    query: str
    where: str | None
    space: str
    model: str
    engine: str
    build_id: str | None
    table_version: int
    indexed_rows: int
    lag_rows: int
    exact: bool
    plan: str
    dropped: int
    milliseconds: float
    label: str | None = None
    nothing: str | None = None

    def summary(self) -> str:
        """One line for people."""
        how = "exact" if self.exact else "by graph"
        lag = f"; the index lags {self.lag_rows:,} rows behind" if self.lag_rows else ""
        build = f", build {self.build_id}" if self.build_id else ""
        return (
            f"{self.indexed_rows:,} rows of {self.space} (version {self.table_version}{build}) searched {how} "
            f"in {self.milliseconds:.0f} ms; {self.plan}{lag}"
        )


@dataclass(frozen=True)
class Hits:
    """Hits of a search, best first.

    Attributes:
        table: One row a hit: key columns, ``key``, ``score`` (NULL in a random sample), ``time_s``, ``uri``,
            ``caption`` and other columns of the media; for ``group="segment"`` also ``segment_start_s``,
            ``segment_end_s`` and ``segment_hits``.
        info: How the answer came about.
    """

    table: pa.Table
    info: SearchInfo
    _thumbnails: Callable[[int], Sequence[Thumbnail]] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def to_pandas(self) -> pd.DataFrame:
        """The table as a pandas DataFrame.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            from mmfs.errors import MissingExtraError

            raise MissingExtraError(
                "pandas is not installed", where="hits.to_pandas()", mend="pip install pandas, or use hits.table"
            ) from error
        return self.table.to_pandas()

    def to_html(self, path: str | Path) -> Path:
        """Write a picture gallery: one file that needs nothing else and runs nothing.

        Raises:
            SearchError: The file cannot be written.
        """
        return self.gallery().to_html(path)

    def _repr_html_(self) -> str:
        """The gallery in a notebook."""
        return self.gallery()._repr_html_()

    def gallery(self) -> Gallery:
        """The hits as people see them: the first of them, where they are too many for a page."""
        asked = f"WHERE {self.info.where}" if self.info.where else None
        lines = [line for line in (asked, self.info.label, self.info.summary()) if line]
        if len(self) > MOST:
            lines.append(f"the first {MOST} of {len(self):,} hits; all of them are in hits.table")
        empty = f"{NOTHING}: {self.info.nothing}" if self.info.nothing else NOTHING
        return Gallery(self.info.query, lines, self._cards(), empty)

    def provenance(self) -> Provenance:
        """Where these samples come from, as subsets record it."""
        table = "captions" if self.info.engine == CAPTIONS else self.info.space
        return Provenance(
            query=self.info.query,
            where=self.info.where,
            model=self.info.model,
            build_id=self.info.build_id,
            source_versions={table: self.info.table_version},
        )

    def _cards(self) -> list[Card]:
        rows = self.table.slice(0, MOST).to_pylist()
        return [
            Card(
                thumbnail,
                key=row["key"],
                score=row["score"],
                caption=row["caption"],
                uri=row["uri"],
                time_s=row["time_s"] if row["kind"] == "video" else None,
                start_s=row.get("segment_start_s"),
                end_s=row.get("segment_end_s"),
            )
            for row, thumbnail in zip(rows, self._thumbnails(len(rows)), strict=True)
        ]
