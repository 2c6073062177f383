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
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

from mmfs.errors import StoreError, UnreachableError
from mmfs.store.objects import COALESCE_BYTES, ObjectInfo, Objects, checked_name, missing
from mmfs.store.objects_remote import RemoteObjects, object_info
from mmfs.store.ranges import merge_ranges, take_ranges
from mmfs.store.refusals import refusal_of

T = TypeVar("T")

#: Longest request; a longer range is several, so that one time suits all: with all in flight, 16 MB/s are enough.
_REQUEST_BYTES = 1 << 20
_IN_FLIGHT = 64
_BACKOFF_S, _LONGEST_BACKOFF_S = 0.05, 1.0
#: What trying again does not mend.
_REFUSED = (PermissionDeniedError, UnauthenticatedError)
_GONE = (NotFoundError, FileNotFoundError)


class _ShortError(Exception):
    """The object ends before the range does."""


class DeadlineObjects(RemoteObjects):
    """Reads end in bytes or in an error within a deadline; all else is as in `RemoteObjects`.

    Args:
        url: ``s3://bucket/prefix``.
        deadline_s: For a call: all its requests and their repeats. One request has a fifth of it.
    """

    def __init__(self, url: str, *, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._request_s = deadline_s / 5
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        super().__init__(url, request_s=self._request_s, retry={"max_retries": 0})

    def with_deadline(self, deadline_s: float) -> Objects:
        return DeadlineObjects(self.url, deadline_s=deadline_s)

    def get(self, path: str) -> bytes:
        name = checked_name(path)

        async def whole() -> bytes:
            return bytes(await (await obstore.get_async(self._store, name)).bytes_async())

        return self._finish(path, whole)[0]

    def size(self, path: str) -> int:
        name = checked_name(path)

        async def head() -> int:
            return int((await obstore.head_async(self._store, name))["size"])

        return self._finish(path, head)[0]

    def page(self, after: str | None = None, *, most: int = 1000) -> Sequence[ObjectInfo]:
        async def first() -> list[ObjectInfo]:
            async for chunk in obstore.list(self._store, offset=after, chunk_size=most):
                return [object_info(found) for found in chunk]
            return []

        return self._finish(f"the list of objects after {after!r}" if after else "the list of objects", first)[0]

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
            last = max(offset + length for offset, length in ranges)
            raise StoreError(
                f"{path} ends before byte {last}", where=self.url, mend="run `mmfs verify --deep`"
            ) from None
        return take_ranges(spans, parts, ranges)

    def _finish(self, path: str, *requests: Callable[[], Awaitable[T]]) -> list[T]:
        """The answers to all requests, or the first error that is final, or that of the deadline."""
        errors: list[BaseException] = []

        async def in_time() -> list[T]:
            tasks = [asyncio.ensure_future(self._try(request, errors)) for request in requests]
            try:
                async with asyncio.timeout(self._deadline_s):
                    return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

        try:
            return _run(in_time())
        except _GONE as error:
            raise missing(path, self.url) from error
        except (*_REFUSED, TimeoutError) as error:
            last = errors[-1] if errors else error
            refusal = refusal_of(str(last))
            if refusal is not None and not isinstance(error, TimeoutError):
                raise UnreachableError(refusal.what, where=f"{self.url}/{path}", mend=refusal.mend) from last
            why = str(last).splitlines()[0] if str(last) else f"no answer within {self._request_s:g} s"
            raise UnreachableError(
                f"{path} could not be read within {self._deadline_s:g} s: {why}"
                if isinstance(error, TimeoutError)
                else f"{path} may not be read: {why}",
                where=self.url,
                mend="check the endpoint, the network and the AWS_* variables",
            ) from last

    async def _try(self, request: Callable[[], Awaitable[T]], errors: list[BaseException]) -> T:
        """The answer to a request, which is repeated until it comes; the caller's deadline ends this."""
        longest_s = _BACKOFF_S
        while True:
            try:
                async with self._slots, asyncio.timeout(self._request_s):
                    return await request()
            except (*_GONE, *_REFUSED):
                raise
            except (BaseError, OSError, ValueError, TimeoutError) as error:
                if "status code: 416" in str(error):  # the library has no exception of its own for this
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
