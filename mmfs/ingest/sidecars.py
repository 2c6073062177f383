"""What lies beside a media file and speaks about it: ``photo.txt``, ``photo.json``, a folder's ``captions.csv``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from mmfs.errors import IngestError
from mmfs.ingest.folders import Files
from mmfs.ingest.listed import Caption
from mmfs.ingest.lists import LIST_SUFFIXES
from mmfs.ingest.locations import child_of, stem_of, suffix_of
from mmfs.ingest.statements import Statements, read_statements

#: A longer sidecar is no caption; it is left alone, with a warning.
MAX_SIDECAR_BYTES = 1 << 20

_SUFFIXES = (".txt", ".json")
_FOLDER_LISTS = tuple(f"{stem}{suffix}" for stem in ("captions", "metadata") for suffix in sorted(LIST_SUFFIXES))


def sidecar_names(name: str) -> tuple[str, ...]:
    """The sidecars that a file may have, by name.

    >>> sidecar_names("red.ball.jpg"), sidecar_names("notes.txt")
    (('red.ball.txt', 'red.ball.json'), ('notes.json',))
    """
    return tuple(stem_of(name) + suffix for suffix in _SUFFIXES if suffix_of(name) != suffix)


def folder_lists(folder: str, holds: Callable[[str], bool]) -> Iterator[str]:
    """Locations of the lists that describe a folder's files: ``captions.*`` and ``metadata.*``.

    Args:
        holds: Tells whether the folder holds a name.
    """
    for name in _FOLDER_LISTS:
        if holds(name):
            yield child_of(folder, name)


def read_sidecar(location: str, files: Files) -> Statements:
    """What a sidecar states.

    Raises:
        IngestError: It is too long, not UTF-8, or no JSON object.
        NoAnswerError: Its bucket does not answer in time.
    """
    with files.open(location) as file:
        data = file.read(MAX_SIDECAR_BYTES + 1)
    if len(data) > MAX_SIDECAR_BYTES:
        raise IngestError(f"is longer than {MAX_SIDECAR_BYTES:,} bytes", where=location, mend="shorten or move it")
    try:
        text = data.decode("utf-8-sig")
        if suffix_of(location) == ".txt":
            lines = [line.strip() for line in text.splitlines()]
            return Statements(captions=tuple(Caption(line, "sidecar") for line in lines if line))
        members = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IngestError(f"cannot be read: {error}", where=location, mend="write it as UTF-8 text or JSON") from error
    if isinstance(members, list):
        members = {"captions": members}
    if not isinstance(members, dict):
        raise IngestError("is no JSON object", where=location, mend='write {"captions": ["..."]}')
    try:
        return read_statements(members, source="sidecar")
    except IngestError as error:
        raise IngestError(error.what, where=location, mend=error.mend) from error
