"""Objects on another machine, for a reader who would rather have an error than wait: every read ends in time.

The patient client of `objects_remote` is for writing, where minutes are better than a lost run. In training all ranks
wait for each read. Here a request has seconds, is tried again with jitter whatever went wrong with it, and all tries of
a call together have a deadline, before, inside and after a body. One event loop a process, in a thread, sees to that.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError, InvalidPathError, NotFoundError

from mmfs.errors import NoAnswerError
from mmfs.store.objects import COALESCE_BYTES, ObjectInfo, checked_name, too_short
from mmfs.store.objects_exact import apart
from mmfs.store.objects_pages import is_in_order, is_odd_position, is_same, offset_of, with_markers
from mmfs.store.objects_remote import BEYOND_END, PAGE, UNTOLD, RemoteObjects, object_info
from mmfs.store.ranges import merge_ranges, take_ranges
from mmfs.store.refusals import refusal_of

T = TypeVar("T")

#: Longest request; a longer range is several, so that one time suits all: with all in flight, 16 MB/s are enough.
_REQUEST_BYTES = 1 << 20
_IN_FLIGHT = 64
_BACKOFF_S, _LONGEST_BACKOFF_S = 0.05, 1.0
_GONE = (NotFoundError, FileNotFoundError)


class _ShortError(Exception):
    """The object ends before the range does."""


class DeadlineObjects(RemoteObjects):
    """Reads end in bytes or in an error within a deadline; all else is as in `RemoteObjects`.

    Args:
        url: ``s3://bucket/prefix``.
        deadline_s: For a call: all its requests and their repeats. One request has a fifth of it.
        until_s: See `Objects.with_deadline`.
    """

    def __init__(self, url: str, *, deadline_s: float, until_s: float | None = None) -> None:
        self._deadline_s = deadline_s
        self._until_s = until_s
        self._request_s = deadline_s / 5
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        super().__init__(url, request_s=self._request_s, retry={"max_retries": 0})

    def get(self, path: str) -> bytes:
        name = checked_name(path)

        async def whole() -> bytes:
            return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

        return self._finish(path, whole)[0]

    def info(self, path: str) -> ObjectInfo:
        name = checked_name(path)

        async def head() -> ObjectInfo:
            return object_info(await obstore.head_async(self._store, name))

        return self._finish(path, head)[0]

    def _page(self, folder: str, after: str | None, most: int) -> Sequence[ObjectInfo]:
        keeps = self._keeps_slashes(folder, after)
        count = most if keeps else max(most, PAGE)  # as in `RemoteObjects`

        async def listed() -> list[ObjectInfo]:
            async for chunk in obstore.list(self._store, folder or None, offset=offset_of(after), chunk_size=count):
                return with_markers(map(object_info, chunk), after)
            return []

        async def is_as_listed(last: ObjectInfo) -> bool:
            with suppress(*UNTOLD):
                return is_same(last, object_info(await obstore.head_async(self._store, last.path)))
            return False

        is_wrong = is_odd_position(after)

        async def first() -> list[ObjectInfo]:
            nonlocal is_wrong
            until_s = time.monotonic() + self._request_s
            if not is_wrong:
                with suppress(InvalidPathError):
                    seen = await listed()
                    page = seen[:most]
                    if keeps or (is_in_order(seen, after) and (len(page) < most or await is_as_listed(page[-1]))):
                        return page
                is_wrong = True  # the next try has all its time for the exact list
            return await asyncio.wrap_future(apart(partial(self._exact.page, folder, after, most, until_s=until_s)))

        return self._finish("", first)[0]

    def get_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, gap_bytes: int = COALESCE_BYTES
    ) -> list[bytes]:
        name = checked_name(path)
        spans = merge_ranges(ranges, gap_bytes=gap_bytes, most_bytes=_REQUEST_BYTES)

        def reading(start: int, length: int) -> Callable[[], Awaitable[memoryview]]:
            async def read() -> memoryview:
                data = memoryview(await obstore.get_range_async(self._store, name, start=start, length=length))
                if len(data) != length:
                    raise _ShortError
                return data

            return read

        try:
            parts = self._finish(path, *(reading(*span) for span in spans))
        except _ShortError:
            raise too_short(path, self.url, ranges) from None
        return take_ranges(spans, parts, ranges)

    def _finish(self, path: str, *requests: Callable[[], Awaitable[T]]) -> list[T]:
        """The answers to all requests, or the first error that is final, or that of the deadline.

        Args:
            path: The object; empty: the list of them.
        """
        errors: list[BaseException] = []
        left_s = self._deadline_s if self._until_s is None else min(self._deadline_s, self._until_s - time.monotonic())

        async def in_time() -> list[T]:
            tasks = [asyncio.ensure_future(self._try(request, errors)) for request in requests]
            try:
                async with asyncio.timeout(left_s):
                    return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

        with self._errors(path):
            try:
                return _run(in_time())
            except TimeoutError as error:
                last = errors[-1] if errors else error
                raise self._no_answer(path, left_s, str(last)) from last

    def _no_answer(self, path: str, left_s: float, said: str) -> NoAnswerError:
        refusal = refusal_of(said)
        why = refusal.what if refusal else said.partition("\n")[0] or f"no answer within {self._request_s:g} s"
        what = path or "the list of objects"
        return NoAnswerError(
            f"{what} could not be read within {left_s:.3g} s: {why}" if left_s > 0 else f"no time is left for {what}",
            where=self.url,
            mend=refusal.mend if refusal else "check the endpoint, the network and the AWS_* variables",
        )

    async def _try(self, request: Callable[[], Awaitable[T]], errors: list[BaseException]) -> T:
        """The answer to a request, which is repeated until it comes; the caller's deadline ends this."""
        longest_s = _BACKOFF_S
        while True:
            try:
                async with self._slots, asyncio.timeout(self._request_s):
                    return await request()
            except _GONE:
                raise
            except (BaseError, OSError, ValueError, TimeoutError) as error:
                refusal = refusal_of(str(error))
                if refusal is not None and not refusal.may_pass:
                    raise
                if BEYOND_END in str(error):
                    raise _ShortError from error
                errors[:] = [error]
            await asyncio.sleep(random.uniform(0, longest_s))
            longest_s = min(2 * longest_s, _LONGEST_BACKOFF_S)


_loops: dict[int, asyncio.AbstractEventLoop] = {}
_loops_lock = threading.Lock()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, run by this process's loop: a thread is not copied when a process is."""
    with _loops_lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="object-reads", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(work, loop).result()
