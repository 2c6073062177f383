"""A named subset: saved from hits, tables or SQL, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from mmfs.client.clock import now_us
from mmfs.errors import StoreError
from mmfs.store import Store
from mmfs.store.subsets import Provenance, SavedSubset, save_subset, subset_rows

if TYPE_CHECKING:
    import pandas as pd

    from mmfs.search import Hits
    from mmfs.search.gallery import Gallery


class Subset:
    """A named subset."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name

    def save(self, chosen: Hits | pa.Table | pd.DataFrame | str) -> SavedSubset:
        """Save samples under this name, replacing what it held.

        Args:
            chosen: Hits of a search, an Arrow table or a pandas DataFrame with key columns, or a SELECT. Hits and
                tables of `curate` bring their provenance with them.

        Raises:
            StoreError: The name is not allowed, nothing was chosen, or the rows have no key columns.
            SqlError: The SELECT is wrong.
        """
        provenance = Provenance()
        if isinstance(chosen, str):
            provenance, rows = Provenance(query=chosen), self._store.sql(chosen)
        elif isinstance(chosen, pa.Table):
            provenance, rows = Provenance.of(chosen), chosen
        elif isinstance(getattr(chosen, "table", None), pa.Table):
            provenance, rows = chosen.provenance(), chosen.table
        elif hasattr(chosen, "iloc"):
            rows = pa.Table.from_pandas(chosen, preserve_index=False)
        else:
            raise StoreError(
                f"a {type(chosen).__name__} cannot be saved as a subset",
                where=f"subset {self.name!r}",
                mend="give hits, an Arrow table or pandas DataFrame with key columns, or a SELECT",
            )
        return save_subset(self._store, self.name, rows, provenance, now_us=now_us())

    def show(self, *, n: int = 50) -> Gallery:
        """The first samples by rank, to look at: a notebook draws them, ``.to_html(path)`` writes a file.

        Args:
            n: Samples, 1 to 200.

        Raises:
            StoreError: There is no subset of this name, or ``n`` is out of range.
        """
        from mmfs.client.showing import show_subset

        return show_subset(self._store, self.name, self.to_arrow(), n=n)

    def to_arrow(self) -> pa.Table:
        """Keys, rank, score and provenance, in rank order."""
        return subset_rows(self._store, self.name)
