"""Original media as files on this machine: read in place, downloaded for a moment, or taken from the store's copy."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mmfs.ingest.folders import Files
from mmfs.ingest.locations import is_local, location_of, scheme_of, suffix_of
from mmfs.ingest.roots import refusal_of
from mmfs.ingest.web import download
from mmfs.media.info import Reason, RefusedError
from mmfs.store import Store

_CHUNK_BYTES = 1 << 20


class Originals:
    """Opens originals. Use as a context manager; downloads are gone when it ends.

    ```python
    with Originals(store) as originals:
        path = originals.path(uri)
        ...
        originals.release(uri)
    ```
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._files = Files()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._fetched: dict[str, Path] = {}

    def path(self, uri: str, *, sha256: str | None = None) -> Path:
        """A file that holds the bytes of a URI, until `release`.

        Args:
            sha256: Hash of the bytes, if known: the store's own copy is then preferred.

        Raises:
            RefusedError: MISSING, FORBIDDEN or TOO_LARGE.
            StoreError: The bucket cannot be reached, which says nothing about the file.
        """
        if sha256 is not None and self._store.objects.exists(copy_name(sha256)):
            local = self._store.objects.local_path(copy_name(sha256))
            return local or self._fetch(uri, self._store.objects.open_file(copy_name(sha256)))
        location = location_of(uri)
        if is_local(location):
            return _in_place(location)
        if scheme_of(uri) in {"http", "https"}:
            if not self._store.settings.allow_http:
                raise RefusedError(Reason.FORBIDDEN, "http(s) is off", mend="MMFS_ALLOW_HTTP=1 allows it")
            return self._fetch(uri, None)
        if not self._files.object_exists(location):
            raise RefusedError(Reason.MISSING, "there is no such object", mend="restore it")
        return self._fetch(uri, self._files.open(location))

    def release(self, uri: str) -> None:
        """The file is no longer needed."""
        fetched = self._fetched.pop(uri, None)
        if fetched:
            fetched.unlink(missing_ok=True)

    def _fetch(self, uri: str, source: IO[bytes] | None) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mmfs-originals-")
        suffix = suffix_of(uri)  # tells text files, nothing else
        name = hashlib.sha256(uri.encode()).hexdigest()[:32] + (suffix if suffix[1:].isalnum() else "")
        path = self._fetched[uri] = Path(self._folder.name, name)
        with path.open("wb") as file:
            if source is None:
                download(uri, file)
            else:
                with source:
                    shutil.copyfileobj(source, file, _CHUNK_BYTES)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def _in_place(path: str) -> Path:
    """A local file, unless a link was put in its way since it was listed: URIs are real paths."""
    if os.path.realpath(path) != path:
        raise RefusedError(Reason.FORBIDDEN, "a link came in the way since it was listed", mend="list it again")
    if not os.path.lexists(path):
        raise RefusedError(Reason.MISSING, "there is no such file", mend="restore it")
    refused = refusal_of(path)
    if refused is not None:
        raise RefusedError(Reason.FORBIDDEN, refused.partition(": ")[2], mend="list regular files only")
    return Path(path)


def copy_name(sha256: str) -> str:
    """Name of a media's copy in the store."""
    return f"media/{sha256}"


def copy_original(store: Store, path: Path, sha256: str) -> int:
    """Copy a file into the store under the hash of its bytes; bytes written, 0 when the copy was there.

    Raises:
        RefusedError: CHANGED: the bytes have another hash by now.
    """
    if store.objects.exists(copy_name(sha256)):
        return 0
    state = hashlib.sha256()
    staging = store.objects.local_path("staging")
    if staging is not None:
        staging.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as source, tempfile.NamedTemporaryFile(dir=staging, prefix="media-", delete=False) as staged:
        while chunk := source.read(_CHUNK_BYTES):
            state.update(chunk)
            staged.write(chunk)
        size_bytes = staged.tell()
    copy = Path(staged.name)
    try:
        if state.hexdigest() != sha256:
            raise RefusedError(Reason.CHANGED, "the bytes changed while they were copied", mend="list the file again")
        store.objects.put(copy_name(sha256), copy, consume=True)
    finally:
        copy.unlink(missing_ok=True)
    return size_bytes
