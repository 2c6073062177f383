"""The answer of a search: a table, how it came about, and a picture gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.errors import SearchError
from mmfs.search.gallery import NOTHING, Card, fragment, page
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
    _pictures: Callable[[], Sequence[bytes | None]] = field(repr=False, compare=False)

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
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(page(self.info.query, self._lines(), self.cards(), empty=self._empty()), encoding="utf-8")
        except OSError as error:
            raise SearchError(
                f"the gallery cannot be written: {error.strerror}", where=str(target), mend="choose another file"
            ) from error
        return target

    def _repr_html_(self) -> str:
        """The gallery in a notebook."""
        return fragment(self._lines(), self.cards(), empty=self._empty())

    def cards(self) -> list[Card]:
        """The hits as a gallery shows them."""
        rows = self.table.to_pylist()
        pictures = self._pictures()
        return [
            Card(
                picture=picture,
                key=row["key"],
                score=row["score"],
                caption=row["caption"],
                uri=row["uri"],
                time_s=row["time_s"] if row["kind"] == "video" else None,
                start_s=row.get("segment_start_s"),
                end_s=row.get("segment_end_s"),
            )
            for row, picture in zip(rows, pictures, strict=True)
        ]

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

    def _empty(self) -> str:
        return f"nothing matches: {self.info.nothing}" if self.info.nothing else NOTHING

    def _lines(self) -> list[str]:
        return [line for line in (self.info.label, self.info.summary()) if line]
