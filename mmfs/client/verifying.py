"""Verification of a whole store: tables, packs and pins below, the points of the search index here."""

from __future__ import annotations

from mmfs.errors import MmfsError
from mmfs.store import Store
from mmfs.store.verify import VerifyReport

_MEND = "materialize qdrant_index again"


def verify_store(store: Store, *, deep: bool, index: bool) -> VerifyReport:
    """Compare tables, packs, index and pins; see `FeatureStore.verify`."""
    report = store.verify(deep=deep)
    if index or deep:
        _verify_points(store, report)
    return report


def _verify_points(store: Store, report: VerifyReport) -> None:
    """Compare every point of every published index with its row, shard by shard; what was never indexed is no fault."""
    from mmfs.search.checks import index_differences  # search engines are loaded for this alone

    try:
        entries = store.tables.read("qdrant_index", columns=["space", "shard"])
    except MmfsError:
        return  # its file was reported already
    for space, shard in sorted(zip(*(column.to_pylist() for column in entries.columns), strict=True)):
        try:
            problems = [f"shard {shard}: {problem}" for problem in index_differences(store, space, shard)]
        except MmfsError as error:
            problems = [f"the index of {space} cannot be compared in shard {shard}: {error}"]
        for problem in problems:
            report.add(problem, _MEND)
