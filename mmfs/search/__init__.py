"""Search over embedding tables: build an index, ask it, see the answer. See README.md in this folder.

Names are loaded on first use, so that the build process imports no more than the engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfs.search.build import build_index
    from mmfs.search.hits import Hits, SearchInfo
    from mmfs.search.query import SearchQuery
    from mmfs.search.record import IndexReport
    from mmfs.search.searcher import Searcher, search

_HOMES = {
    "Hits": "mmfs.search.hits",
    "IndexReport": "mmfs.search.record",
    "SearchInfo": "mmfs.search.hits",
    "SearchQuery": "mmfs.search.query",
    "Searcher": "mmfs.search.searcher",
    "build_index": "mmfs.search.build",
    "search": "mmfs.search.searcher",
}

__all__ = ["Hits", "IndexReport", "SearchInfo", "SearchQuery", "Searcher", "build_index", "search"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mmfs.search' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
