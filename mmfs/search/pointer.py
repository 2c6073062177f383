"""The document that names the build that answers, and reading that build while others may replace it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from mmfs.errors import MissingObjectError, SearchError, StoreError
from mmfs.search.port import DamagedBuildError, Engine, Published
from mmfs.store.objects import Objects, is_own_name

Read = TypeVar("Read")


def pointer_path(space: str) -> str:
    """Name of the document of a space."""
    return f"index/{space}/current.json"


def read_pointer(objects: Objects, space: str) -> bytes | None:
    """The document of a space as it is; None where nothing was published."""
    try:
        return objects.get(pointer_path(space))
    except MissingObjectError:
        return None


def parse_pointer(raw: bytes | None, *, where: str) -> Published:
    """What the document names; None: there is none.

    Raises:
        DamagedBuildError: It is damaged.
    """
    if raw is None:
        return Published()
    try:
        found = Published(**json.loads(raw))
        if not _is_build(found.current) or not (found.previous is None or _is_build(found.previous)):
            raise ValueError(f"{found.current!r} and {found.previous!r} are no builds")
    except (ValueError, TypeError) as error:
        raise DamagedBuildError(f"the pointer to the build that answers is damaged: {error}", where=where) from error
    return found


def next_pointer(raw: bytes | None, build_id: str, *, mends: bool = False) -> bytes:
    """The document that lets another build answer after this one. A damaged one names nothing, and is written over.

    Args:
        mends: The build that answers is damaged (see `Published.followed_by`).
    """
    try:
        now = parse_pointer(raw, where="current.json")
    except DamagedBuildError:
        now = Published()
    return json.dumps(asdict(now.followed_by(build_id, mends=mends))).encode()


def read_published(engine: Engine, space: str, read: Callable[[Published], Read]) -> Read:
    """What ``read`` makes of the build that answers.

    Two builds published meanwhile clear away the one that is being read. So where reading fails, the pointer is looked
    at again, and only a failure of the build that it still names counts.
    """
    while True:
        published = engine.published(space)
        try:
            return read(published)
        except (SearchError, StoreError):
            if engine.published(space) == published:
                raise


def _is_build(name: object) -> bool:
    return isinstance(name, str) and "/" not in name and is_own_name(name)
