"""Listings of a bucket with every name as it is, also those that the object-store library cannot spell.

The library gives up a whole page of a listing for one name with ``//`` in it, and takes the slash off the beginning of
another. Here the same page is asked for again without it. Endpoint, region and credentials stay the library's own,
whatever they come from: it signs the requests, and only answers are read here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from http.client import HTTPException, responses
from urllib.error import HTTPError
from urllib.parse import quote, unquote_plus, urlencode
from urllib.request import urlopen
from xml.etree import ElementTree

from mmfs.errors import StoreError
from mmfs.store.objects import ObjectInfo

#: The variable of who reads public buckets without credentials.
SKIP_SIGNATURE = "AWS_SKIP_SIGNATURE"
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
        request_s: Seconds for which a request may be silent.
    """

    def __init__(self, sign: Callable[[dict[str, str]], str], prefix: str, *, request_s: float) -> None:
        self._sign = sign
        self._root = f"{prefix}/" if prefix else ""
        self._request_s = request_s

    def page(self, folder: str, after: str | None, most: int) -> list[ObjectInfo]:
        """The first objects of a folder (empty: of all) after a name, by name; fewer only at the end."""
        query = {"prefix": self._key_of(folder)}
        if after is not None:
            query["start-after"] = f"{self._root}{after}"
        found: list[ObjectInfo] = []
        for part in self._parts(query, most):
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

    def _parts(self, query: dict[str, str], most: int) -> Iterator[ElementTree.Element]:
        """One answer after the other, since a bucket may give less at once than it was asked for."""
        # Without the encoding, control characters would make the answer no XML.
        query = {"list-type": "2", "encoding-type": "url", "max-keys": str(most)} | query
        while True:
            part = self._answer(urlencode(query, quote_via=quote))
            yield part
            token = _text(part, "NextContinuationToken")
            if _text(part, "IsTruncated") != "true" or not token:
                return
            query["continuation-token"] = token

    def _answer(self, query: str) -> ElementTree.Element:
        asked = f"Error performing GET {self._address}?list-type=2"  # nothing secret is in it
        if not self._address.startswith("https:") and not is_on("AWS_ALLOW_HTTP"):
            raise StoreError("http is off", where=self._address, mend="set AWS_ALLOW_HTTP=1, or name an https endpoint")
        try:
            with urlopen(self._signed(query), timeout=self._request_s) as answer:
                return _read(answer.read())
        except HTTPError as error:
            said = f"{error.code} {responses.get(error.code, error.reason)}: {_body(error)}"
            raise OSError(f"{asked} - {said}") from error
        except (OSError, HTTPException) as error:
            raise OSError(f"{asked} - error sending request: {error}") from error
        except ElementTree.ParseError as error:
            raise OSError(f"{asked} - the answer is no list: {error}") from error

    @cached_property
    def _address(self) -> str:
        """The bucket's own URL, at whatever endpoint and in whatever style the library finds it."""
        return self._sign({}).partition("?")[0]

    def _signed(self, query: str) -> str:
        """The URL of a list request.

        The library signs requests for objects only, but puts the object's name behind the endpoint that it is told,
        and signs what query there is: here the name, which is none, ends in the fragment, which nobody sends.
        """
        url = self._sign({"endpoint": f"{self._address}?{query}#", "virtual_hosted_style_request": "true"})
        return f"{self._address}?{query}" if is_on(SKIP_SIGNATURE) else url.partition("#")[0]


def _body(error: HTTPError) -> str:
    """What a bucket says of an error, as far as it comes."""
    with error, suppress(OSError, HTTPException):
        return error.read(4096).decode(errors="replace")
    return ""


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
