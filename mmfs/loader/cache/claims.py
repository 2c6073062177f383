"""Who fetches what: processes share the work by locks that no crash leaves behind and nobody depends on.

A claim is a lock (flock) on one of 256 files, polled and never waited for. It only saves work: after a deadline a
process fetches what others claim to be fetching, so that a stuck one costs time and bytes, not correctness.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TypeVar

from mmfs.store.checksum import crc32

Key = TypeVar("Key", bound=Hashable)

_FILES = 256
_POLL_S, _LONGEST_POLL_S = 0.001, 0.02
#: With the deadline of a read, 20 s, what a batch waits for at most stays below half a minute.
DEADLINE_S = 4.0


class Claims:
    """Claims among the processes and threads that use one cache folder.

    Args:
        folder: Where the lock files are.
        deadline_s: How long to wait for what others fetch.
    """

    def __init__(self, folder: Path, deadline_s: float = DEADLINE_S) -> None:
        self._folder = folder
        self.deadline_s = deadline_s

    def share(
        self,
        keys: Iterable[Key],
        is_there: Callable[[Key], bool],
        fetch: Callable[[list[Key]], None],
        *,
        waits: bool = True,
    ) -> list[Key]:
        """See to it that each key is there: fetch what nobody else is fetching, wait for the rest.

        Args:
            keys: What is wanted.
            is_there: Whether it was fetched, by anybody.
            fetch: Fetches some of them.
            waits: False leaves what others are fetching to them.

        Returns:
            What was left to others.
        """
        left, until_s, poll_s = list(keys), time.monotonic() + self.deadline_s, _POLL_S
        while left := [key for key in left if not is_there(key)]:
            held: dict[int, int] = {}
            try:
                mine = [key for key in left if self._claim(key, held)]
                # Whoever held a claim just before may have fetched it.
                wanted = [key for key in mine if not is_there(key)]
                if wanted:
                    fetch(wanted)
            finally:
                for descriptor in held.values():
                    _held.discard(descriptor)
                    os.close(descriptor)
            done = set(mine)
            left = [key for key in left if key not in done]
            if left and not waits:
                return left
            if left and time.monotonic() > until_s:
                fetch(left)
                return []
            if left and not mine:
                time.sleep(random.uniform(poll_s / 2, poll_s))
                poll_s = min(2 * poll_s, _LONGEST_POLL_S)
        return []

    def _claim(self, key: object, held: dict[int, int]) -> bool:
        number = crc32(str(key).encode()) % _FILES
        if number in held:
            return True
        try:
            descriptor = os.open(self._folder / f"{number:02x}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError:  # the folder is gone, or too much is open: claims save work, but work does not need them
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        held[number] = descriptor
        _held.add(descriptor)
        return True


_held: set[int] = set()


def _let_go() -> None:
    """A forked child has copies of the descriptors, and would hold the claims for as long as it lives."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
