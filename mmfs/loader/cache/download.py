"""Everything selected, brought to the node's disk before training; the ranks of a node share the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")


def download(parts: Sequence[Part], fetch: Callable[[Part, bool], bool], *, first: int, threads: int) -> None:
    """Fetch all parts, each by one of those that do this at the same time.

    Args:
        parts: What there is.
        fetch: Fetches a part; told whether to wait for others that are at it, and says whether it is there.
        first: Where this rank begins, so that it meets others late.
        threads: How many parts to fetch at a time.
    """
    order = [*parts[first:], *parts[:first]]
    pool = ThreadPoolExecutor(threads, thread_name_prefix="mmfs-download")
    try:
        are_there = list(pool.map(lambda part: fetch(part, False), order))
        left = [part for part, is_there in zip(order, are_there, strict=True) if not is_there]
        list(pool.map(lambda part: fetch(part, True), left))
    finally:
        pool.shutdown(cancel_futures=True)
