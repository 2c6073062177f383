"""Listings of a bucket with every name as it is, also those that the object-store library cannot spell.

The library gives up a whole page of a listing for one name with ``//`` in it, and takes the slash off the beginning of
another. Here the same page is asked for again without it. Endpoint, region and credentials stay the library's own,
whatever they come from: it signs the requests, and only answers are read here. Signing, sending and reading are left to
threads of their own and waited for so long: a bucket may stop at any byte, or send one now and then and never end.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime
from functools import cached_property, partial
from http.client import HTTPException, HTTPResponse, responses
from typing import TypeVar, cast
from urllib.error import HTTPError
from urllib.parse import quote, unquote_plus, urlencode
from urllib.request import urlopen
from xml.etree import ElementTree

from mmfs.errors import StoreError
from mmfs.store.objects import ObjectInfo

T = TypeVar("T")

#: Keys for who wants no signature: the library signs all the same, and would look for credentials.
_NO_KEYS = {"access_key_id": "none", "secret_access_key": "none"}
#: Four times what the longest thousand names take; what is longer is no list.
_MOST_BYTES = 16 << 20
#: A bucket may cut a page into parts, and give some without a name; this many of them are no page.
_MOST_PARTS = 1000
_ON = {"1", "true", "on", "yes", "y"}
#: Bytes that no XML has. Some servers repeat what they were asked for as it is.
_NO_XML = bytes({*range(32)} - {*b"\t\n\r"})


class ExactList:
    """What lies under a prefix of a bucket. One request is tried once.

    Methods raise OSError, with a text like the library's own, StoreError when plain http is not allowed, or the
    library's error when it cannot sign.

    Args:
        sign: The bucket's own URL, as the library signs it under options that go before its variables.
        prefix: What names are relative to, without a slash at its end; empty for the whole bucket.
        request_s: Seconds that one request may take, from its signature to the last byte of its answer.
    """

    def __init__(self, sign: Callable[[dict[str, str]], str], prefix: str, *, request_s: float) -> None:
        self._sign = sign
        self._root = f"{prefix}/" if prefix else ""
        self._request_s = request_s

    def page(self, folder: str, after: str | None, most: int, *, until_s: float = math.inf) -> list[ObjectInfo]:
        """The first objects of a folder (empty: of all) after a name, by name; fewer only at the end.

        Args:
            until_s: A moment of `time.monotonic` at which all requests for the page end.
        """
        query = {"prefix": self._key_of(folder)}
        if after is not None:
            query["start-after"] = f"{self._root}{after}"
        found: list[ObjectInfo] = []
        for part in self._parts(query, most, until_s):
            found += (self._info(one) for one in part.findall("{*}Contents"))
            if len(found) >= most:
                break
        return found[:most]

    def folders(self, folder: str) -> list[str]:
        """Names of the folders directly under a folder (empty: of the root), as they are."""
        above = self._key_of(folder)
        return [
            _text(one, "Prefix").removeprefix(above)[:-1]
            for part in self._parts({"prefix": above, "delimiter": "/"}, 1000)
            for one in part.findall("{*}CommonPrefixes")
        ]

    def _key_of(self, folder: str) -> str:
        return f"{self._root}{folder}/" if folder else self._root

    def _info(self, found: ElementTree.Element) -> ObjectInfo:
        modified = datetime.fromisoformat(_text(found, "LastModified"))
        return ObjectInfo(
            _text(found, "Key").removeprefix(self._root),
            int(_text(found, "Size")),
            int(modified.timestamp() * 1_000_000),
        )

    def _parts(self, query: dict[str, str], most: int, until_s: float = math.inf) -> Iterator[ElementTree.Element]:
        """One answer after the other, since a bucket may give less at once than it was asked for."""
        # Without the encoding, control characters would make the answer no XML.
        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(most)} | query
        for _ in range(_MOST_PARTS):
            part = self._answer(urlencode(query, quote_via=quote), until_s)
            yield part
            token = _text(part, "NextContinuationToken")
            if _text(part, "IsTruncated") != "true" or not token:
                return
            query["continuation-token"] = token
        raise StoreError("the list does not end", where=self._address, mend="look for what is wrong with this server")

    def _answer(self, query: str, until_s: float) -> ElementTree.Element:
        asked = f"Error performing GET {self._address}?list-type=2"  # nothing secret is in it
        if not self._address.startswith("https:") and not is_on("AWS_ALLOW_HTTP"):
            raise StoreError("http is off", where=self._address, mend="set AWS_ALLOW_HTTP=1, or name an https endpoint")
        left_s = min(self._request_s, until_s - time.monotonic())
        try:
            status, answer = apart(partial(self._fetch, query, left_s)).result(max(0, left_s))
        except (OSError, HTTPException) as error:
            said = str(error) or f"no whole answer within {left_s:.3g} s"
            raise OSError(f"{asked} - error sending request: {said}") from error
        if status != 200:
            raise OSError(f"{asked} - {status} {responses.get(status)}: {answer[:4096].decode(errors='replace')}")
        try:
            return _read(answer)
        except ElementTree.ParseError as error:
            raise OSError(f"{asked} - the answer is no list: {error}") from error

    def _fetch(self, query: str, left_s: float) -> tuple[int, bytes]:
        until_s = time.monotonic() + left_s
        try:
            answer: HTTPResponse = urlopen(self._signed(query), timeout=left_s)
        except HTTPError as error:
            with error:
                return error.code, _bytes_of(cast("HTTPResponse", error.fp), until_s)
        with answer:
            return answer.status, _bytes_of(answer, until_s)

    @cached_property
    def _address(self) -> str:
        """The bucket's own URL, at whatever endpoint and in whatever style the library finds it."""
        return self._sign(_NO_KEYS).partition("?")[0]

    def _signed(self, query: str) -> str:
        """The URL of a list request.

        The library signs requests for objects only, but puts the object's name behind the endpoint that it is told,
        and signs what query there is: here the name, which is none, ends in the fragment, which nobody sends.
        """
        if is_on("AWS_SKIP_SIGNATURE"):
            return f"{self._address}?{query}"
        options = {"endpoint": f"{self._address}?{query}#", "virtual_hosted_style_request": "true"}
        return self._sign(options).partition("#")[0]


def apart(work: Callable[[], T]) -> Future[T]:
    """What a call gives, in a thread of its own: neither other calls nor the end of the process wait for it."""
    given: Future[T] = Future()
    given.set_running_or_notify_cancel()

    def run() -> None:
        try:
            given.set_result(work())
        except BaseException as error:
            given.set_exception(error)

    threading.Thread(target=run, name="exact-list", daemon=True).start()
    return given


def _bytes_of(answer: HTTPResponse, until_s: float) -> bytes:
    """The body, as far as it is a list: ``read`` would go on for as long as a byte comes now and then."""
    data = bytearray()
    while part := answer.read1(min(1 << 16, _MOST_BYTES - len(data))):
        data += part
        if time.monotonic() > until_s:
            raise TimeoutError
    return bytes(data)


def _read(answer: bytes) -> ElementTree.Element:
    """The answer with plain names. Other programs' servers use other namespaces, or do not encode."""
    if b"<EncodingType>url<" not in answer:
        return ElementTree.fromstring(answer)
    read = ElementTree.fromstring(answer.translate(None, _NO_XML))
    for one in (*read.findall(".//{*}Key"), *read.findall(".//{*}Prefix")):
        one.text = unquote_plus(one.text or "")
    return read


def _text(found: ElementTree.Element, name: str) -> str:
    return found.findtext(f"{{*}}{name}") or ""


def is_on(variable: str) -> bool:
    """Whether an ``AWS_*`` variable says yes, in any word that the library takes for it."""
    return os.environ.get(variable, "").lower() in _ON
