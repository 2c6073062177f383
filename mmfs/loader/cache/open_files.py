"""Files of the cache that this process has open: not too many, touched while in use, dropped when removed."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

#: Seconds between looks at an open file: is it still the one of its name, and is its time of use fresh?
_LOOK_S = 1.0
_TOUCH_S = 60.0
_LEAST, _MOST = 32, 4096


class OpenFile(Protocol):
    """Something with a descriptor, which it closes when nothing refers to it any more."""

    fd: int


File = TypeVar("File", bound=OpenFile)


def most_open_files() -> int:
    """Files that one part of a loader may keep open, by what the process may."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if allowed == resource.RLIM_INFINITY else max(_LEAST, min(_MOST, allowed // 16))


class OpenFiles(Generic[File]):
    """Open files by number. A file that leaves is closed once nobody reads it any more."""

    def __init__(self) -> None:
        self._most = most_open_files()
        self._files: OrderedDict[int, File] = OrderedDict()
        self._looked_s: dict[int, float] = {}
        self._touched_s: dict[int, float] = {}
        self._lock = threading.Lock()

    def get(self, number: int, open_one: Callable[[int], File]) -> File:
        """The file of a number, opened if need be."""
        now_s = time.monotonic()
        with self._lock:
            file = self._files.get(number)
            if file is not None and (now_s - self._looked_s[number] < _LOOK_S or self._look(number, file, now_s)):
                self._files.move_to_end(number)
                return file
        file = open_one(number)
        with self._lock:
            self._files[number] = file
            self._looked_s[number] = now_s
            self._look(number, file, now_s)
            while len(self._files) > self._most:
                self._forget(next(iter(self._files)))
        return file

    def drop_removed(self) -> None:
        """Let go of files that have no name any more, so that their bytes are freed."""
        with self._lock:
            for number in [n for n, file in self._files.items() if os.fstat(file.fd).st_nlink == 0]:
                self._forget(number)

    def _look(self, number: int, file: File, now_s: float) -> bool:
        if os.fstat(file.fd).st_nlink == 0:
            self._forget(number)
            return False
        self._looked_s[number] = now_s
        if now_s - self._touched_s.get(number, -_TOUCH_S) >= _TOUCH_S:
            self._touched_s[number] = now_s
            with suppress(OSError):
                os.utime(file.fd)
        return True

    def _forget(self, number: int) -> None:
        self._files.pop(number, None)
        self._looked_s.pop(number, None)
        self._touched_s.pop(number, None)
