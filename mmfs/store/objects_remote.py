"""Objects under an S3 prefix, through obstore (retries, connection pool and range coalescing are its own)."""

from __future__ import annotations

import io
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar, cast
from urllib.parse import quote

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
)
from obstore.store import S3Store

from mmfs.errors import MissingObjectError, StoreError, UnreachableError
from mmfs.store.objects import (
    COALESCE_BYTES,
    ObjectInfo,
    Objects,
    checked_name,
    is_own_name,
    missing,
    oddity,
    too_short,
)
from mmfs.store.objects_exact import ExactList, is_on
from mmfs.store.objects_pages import is_in_order, is_odd_position, is_same, offset_of, with_markers
from mmfs.store.ranges import merge_ranges, take_ranges
from mmfs.store.refusals import refusal_of

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion
    from obstore.store import RetryConfig, S3Config

T = TypeVar("T")

#: In the text of the answer to a range that begins behind the end; the library has no exception of its own for it.
BEYOND_END = "status code: 416"
#: Who may list a bucket is not always told whether it has an object.
UNTOLD = (NotFoundError, FileNotFoundError, PermissionDeniedError)
_RETRY_TIME = timedelta(minutes=3)
_PATIENT: RetryConfig = {"max_retries": 10, "retry_timeout": _RETRY_TIME}
#: Objects that one request lists, however many are asked for.
PAGE = 1000
#: For how long a signature is good: as far as buckets let clocks differ.
_SIGNED = timedelta(minutes=15)
_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 15.0


class RemoteObjects(Objects):
    """Objects of a bucket; ``AWS_*`` variables give credentials, region and endpoint."""

    is_local = False

    def __init__(self, url: str, *, request_s: float = 60, retry: RetryConfig = _PATIENT) -> None:
        self.url = url.rstrip("/")
        bucket, _, self._prefix = self.url.removeprefix("s3://").partition("/")
        odd = oddity(self._prefix)
        if odd is not None:
            raise StoreError(f"cannot open {url!r}: {odd} in its name", mend="name a prefix without")
        self._tries = retry.get("max_retries", 0) + 1
        self._retry_s = retry.get("retry_timeout", _RETRY_TIME).total_seconds()
        self._exact = ExactList(partial(_signed_url, bucket, request_s), self._prefix, request_s=request_s)
        try:
            self._store = S3Store.from_url(
                f"s3://{bucket}/{quote(self._prefix)}",  # the library takes it for a URL, but names are no such thing
                client_options={
                    "timeout": timedelta(seconds=request_s),
                    "connect_timeout": timedelta(seconds=min(10, request_s)),
                    # Options given here hide the variable from the library.
                    "allow_http": is_on("AWS_ALLOW_HTTP"),
                },
                retry_config=retry,
            )
        except (BaseError, ValueError) as error:
            raise StoreError(f"cannot open {url!r}: {error}", mend="check the URL and the AWS_* variables") from error

    def with_deadline(self, deadline_s: float, *, until_s: float | None = None) -> Objects:
        from mmfs.store.objects_deadline import DeadlineObjects

        return DeadlineObjects(self.url, deadline_s=deadline_s, until_s=until_s)

    def put(
        self,
        path: str,
        data: bytes | memoryview | Path,
        *,
        if_absent: bool = False,
        consume: bool = False,
    ) -> None:
        if isinstance(data, memoryview):
            data = data.cast("B")  # the library takes views of other items for an iterator of chunks
        with self._errors(path):
            # A conditional write has to be one request: put-if-absent does not cover multipart uploads.
            if if_absent:
                body = data.read_bytes() if isinstance(data, Path) else data
                obstore.put(self._store, checked_name(path), body, mode="create", use_multipart=False)
            else:
                obstore.put(self._store, checked_name(path), data, mode="overwrite")
        if consume and isinstance(data, Path):
            data.unlink(missing_ok=True)

    def get(self, path: str) -> bytes:
        with self._errors(path):
            return bytes(obstore.get(self._store, checked_name(path)).bytes())

    def swap(self, path: str, data: bytes, *, before: bytes | None) -> bool:
        """Write a small object if it still holds what it held before; whether it was written.

        Args:
            before: What it must hold (None: it must not exist). No two writers use the same ``data``.

        Raises:
            StoreError: There was no answer, and it does not hold ``data`` now; it may yet.
        """
        name = checked_name(path)
        lost: StoreError | None = None
        try:
            with self._errors(path):
                try:
                    if before is None:
                        obstore.put(self._store, name, data, mode="create", use_multipart=False)
                        return True
                    found = obstore.get(self._store, name)
                    if bytes(found.bytes()) == before:
                        told = {"e_tag": found.meta["e_tag"], "version": found.meta["version"]}
                        mode = cast("UpdateVersion", {key: value for key, value in told.items() if value is not None})
                        obstore.put(self._store, name, data, mode=mode, use_multipart=False)
                        return True
                except (AlreadyExistsError, PreconditionError, NotFoundError, FileExistsError, FileNotFoundError):
                    pass
        except StoreError as error:
            lost = error
        # A lost reply makes the library give up, or ask again and be refused for what it wrote itself.
        if self.exists(path) and self.get(path) == data:
            return True
        if lost is not None:
            raise lost
        return False

    def get_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, gap_bytes: int = COALESCE_BYTES
    ) -> list[bytes]:
        # The library merges near ranges itself, but breaks down over one that begins behind the end of the object.
        spans = merge_ranges(ranges, gap_bytes=gap_bytes, most_bytes=sys.maxsize)
        with self._errors(path):
            try:
                parts = obstore.get_ranges(
                    self._store,
                    checked_name(path),
                    starts=[offset for offset, _ in spans],
                    lengths=[length for _, length in spans],
                    coalesce=0,
                )
            except BaseError as error:
                if BEYOND_END not in str(error):
                    raise
                raise too_short(path, self.url, ranges) from error
        if any(len(part) != length for (_, length), part in zip(spans, parts, strict=True)):
            raise too_short(path, self.url, ranges)
        return take_ranges(spans, [memoryview(part) for part in parts], ranges)

    def open_file(self, path: str, *, size_bytes: int | None = None, ahead_bytes: int = COALESCE_BYTES) -> IO[bytes]:
        size = self.size(path) if size_bytes is None else size_bytes
        if size <= COALESCE_BYTES:
            return io.BytesIO(self.get(path))  # one request, where a Parquet file would be read in four
        return _Buffered(_RangeFile(self, path, size), ahead_bytes)

    def info(self, path: str) -> ObjectInfo:
        with self._errors(path):
            return object_info(obstore.head(self._store, checked_name(path)))

    def exists(self, path: str) -> bool:
        try:
            self.size(path)
        except MissingObjectError:
            return False
        return True

    def folders(self, prefix: str = "") -> list[str]:
        with self._errors(prefix):
            try:
                found = obstore.list_with_delimiter(self._store, prefix or None)["common_prefixes"]
                names = [name.rstrip("/").rsplit("/", 1)[-1] for name in found]
            except InvalidPathError:
                names = self._patiently(lambda: self._exact.folders(prefix))
        return sorted(filter(is_own_name, names))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        after: str | None = None
        while True:
            found = self._page(prefix, after, PAGE)
            yield from (info for info in found if is_own_name(info.path))
            if len(found) < PAGE:
                return
            after = found[-1].path

    def page(self, after: str | None = None, *, most: int = PAGE) -> Sequence[ObjectInfo]:
        return self._page("", after, most)

    def _page(self, folder: str, after: str | None, most: int) -> Sequence[ObjectInfo]:
        keeps = self._keeps_slashes(folder, after)
        count = most if keeps else max(most, PAGE)  # names behind the page show what it lost, and come with it
        with self._errors(after or folder):
            if not is_odd_position(after):
                with suppress(InvalidPathError):
                    chunks = obstore.list(self._store, folder or None, offset=offset_of(after), chunk_size=count)
                    seen = with_markers(map(object_info, next(iter(chunks), [])), after)
                    page = seen[:most]
                    if keeps or (is_in_order(seen, after) and (len(page) < most or self._is_as_listed(page[-1]))):
                        return page
            return self._patiently(lambda: self._exact.page(folder, after, most))

    def _keeps_slashes(self, folder: str, after: str | None) -> bool:
        """Whether no name of a page can begin with a slash, which the library would take off.

        Such names lie in front of "0" in a bucket that is looked at whole. The library's page is then taken for right
        if its names are in order, and if the last one of a full page is really there: the next page begins after it,
        and would pass over whatever lies between that name and the same with a slash.
        """
        return bool(self._prefix or folder) or (after is not None and after > "/")

    def _is_as_listed(self, listed: ObjectInfo) -> bool:
        """Whether it is this object that the list told of."""
        with suppress(*UNTOLD):
            return is_same(listed, object_info(obstore.head(self._store, listed.path)))
        return False

    def _patiently(self, request: Callable[[], T]) -> T:
        """The answer to a request of our own, repeated as often and for as long as the library repeats its own."""
        number, began_s = 0, time.monotonic()
        while True:
            number += 1
            try:
                return request()
            except OSError as error:
                refusal = refusal_of(str(error))
                is_final = refusal is not None and not refusal.may_pass
                if is_final or number >= self._tries or time.monotonic() - began_s >= self._retry_s:
                    raise
            time.sleep(random.uniform(0, min(_BACKOFF_S * 2**number, _LONGEST_BACKOFF_S)))

    def delete(self, path: str) -> None:
        with self._errors(path):
            obstore.delete(self._store, checked_name(path))

    def local_path(self, path: str) -> None:
        checked_name(path)

    def delta_url(self, path: str) -> str:
        bucket, _, prefix = f"{self.url}/{checked_name(path)}".removeprefix("s3://").partition("/")
        if "%" in prefix:  # the Delta library writes to one place and reads from another
            raise StoreError("no table can be kept under a name with '%'", where=self.url, mend="name another prefix")
        return f"s3://{bucket}/{quote(prefix, safe='/=')}"

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            if "NoSuchBucket" in str(error):
                raise self._refused(error) from error
            raise missing(path, self.url) from error
        except (AlreadyExistsError, FileExistsError) as error:
            raise StoreError(f"{path} exists already", where=self.url, mend="choose another name") from error
        except (BaseError, OSError, ValueError) as error:
            raise self._refused(error, path) from error

    def _refused(self, error: Exception, path: str = "") -> StoreError:
        refusal = refusal_of(str(error))
        if refusal is not None:
            return UnreachableError(refusal.what, where=f"{self.url}/{path}".rstrip("/"), mend=refusal.mend)
        said = str(error).splitlines()[0]
        return StoreError(
            f"{path}: {said}" if path else said, where=self.url, mend="check the endpoint and the AWS_* variables"
        )


def _signed_url(bucket: str, request_s: float, options: dict[str, str]) -> str:
    """The URL of a bucket at its endpoint, signed for a GET.

    Args:
        request_s: Seconds for which credentials that others give out, anew each time, are asked for.
        options: What the library is told beside its variables.
    """
    limit = timedelta(seconds=request_s)
    store = S3Store.from_url(
        f"s3://{bucket}",
        config=cast("S3Config", options),
        client_options={"timeout": limit},
        retry_config={"retry_timeout": limit},
    )
    return obstore.sign(store, "GET", "", expires_in=_SIGNED)


def object_info(found: ObjectMeta) -> ObjectInfo:
    """What the library says of an object, in our words."""
    return ObjectInfo(found["path"], found["size"], int(found["last_modified"].timestamp() * 1_000_000))


class _Buffered(io.BufferedReader):
    """Reads whole buffers, whoever reads: a reader of lines would else ask for 8 KiB at a time."""

    def read1(self, size: int = -1, /) -> bytes:
        self.peek(1)
        return super().read1(size)


class _RangeFile(io.RawIOBase):
    """An object as a file: each read is one range request, so a Parquet footer costs no more than itself."""

    def __init__(self, objects: RemoteObjects, path: str, size: int) -> None:
        super().__init__()
        self._objects, self._path, self._size, self._at = objects, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        buffer[:length] = self._objects.get_range(self._path, self._at, length)
        self._at += length
        return length
