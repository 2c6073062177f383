"""What the system refuses, for want of memory, files, space or rights: it says nothing of a build's bytes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from mmfs.errors import SearchError
from mmfs.search.port import DamagedBuildError

#: Reasons that are no damage, by the system's numbers.
REFUSED = frozenset(
    {
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
    }
)


def refused(reason: str, *, where: str) -> SearchError:
    """The error for a build on this machine's disk that can be neither opened nor copied here and now."""
    return SearchError(
        f"the system refuses to open or copy the index build: {reason}",
        where=where,
        mend="let this process have more memory, open files or disk space, or read and write here; then try again",
    )


def refused_by(error: OSError, *, where: str) -> SearchError:
    """The same from what the system said; ``where``: the build, for errors that name no file."""
    return refused(error.strerror or str(error), where=str(error.filename or where))


@contextmanager
def refusals(where: str) -> Iterator[None]:
    """Give the system's errors within the block, about a build that is kept on this disk alone, a place and a mend.

    Args:
        where: The build, for errors that name no file.

    Raises:
        SearchError: The system refuses something.
        DamagedBuildError: The disk lost something.
    """
    try:
        yield
    except OSError as error:
        if error.errno in REFUSED:
            raise refused_by(error, where=where) from error
        reason = error.strerror or str(error)
        raise DamagedBuildError(
            f"a file of the build cannot be read: {reason}", where=str(error.filename or where)
        ) from error
