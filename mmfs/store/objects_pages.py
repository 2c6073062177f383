"""Pages of a bucket's list as the object-store library shows them, which changes some names. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from mmfs.store.objects import ObjectInfo, oddity


def offset_of(after: str | None) -> str | None:
    """A name that the library leaves as it is, and after which the same objects come; a slash at the end it drops."""
    return f"{after} " if after and after.endswith("/") else after


def is_odd_position(after: str | None) -> bool:
    """Whether the library cannot begin a page after a name."""
    return after is not None and (not after or oddity(after) is not None)


def is_same(listed: ObjectInfo, found: ObjectInfo) -> bool:
    """Whether both are one object of one time; asked for one object, buckets tell whole seconds."""
    return (listed.size_bytes, listed.modified_us // 1_000_000) == (found.size_bytes, found.modified_us // 1_000_000)


def is_in_order(page: Sequence[ObjectInfo], after: str | None) -> bool:
    """Whether the names of a page follow one another, and the one before them, as those of a bucket do.

    A name that lost its leading slash stands too early, or before its like, which is then taken for a marker of a
    folder; but markers have no bytes. Only one that happens to stand in order does not show.

    >>> pages = [[ObjectInfo(path, 1, 0) for path in paths] for paths in (["b", "a"], ["a", "a/"], ["a", "b"])]
    >>> [is_in_order(page, None) for page in pages]
    [False, False, True]
    """
    names = [after or "", *(info.path for info in page)]
    markers = (info for info in page if info.path.endswith("/"))
    return all(one < other for one, other in pairwise(names)) and not any(info.size_bytes for info in markers)


def with_markers(found: Iterable[ObjectInfo], after: str | None) -> list[ObjectInfo]:
    """A page with the slash that the library drops from the names of folder markers, where the order tells of it.

    A marker whose slash is missing and that ends a page comes again, first in the next one, and is told there.

    >>> [info.path for info in with_markers([ObjectInfo(path, 0, 0) for path in ("x-1.mp4", "x", "x/a.mp4")], None)]
    ['x-1.mp4', 'x/', 'x/a.mp4']
    """
    page: list[ObjectInfo] = []
    last = after
    for info in found:
        is_marker = info.path and last is not None and info.path <= last < f"{info.path}/"
        last = f"{info.path}/" if is_marker else info.path
        page.append(replace(info, path=last))
    return page
