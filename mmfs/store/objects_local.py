"""Objects in a directory of this machine."""

from __future__ import annotations

import errno
import heapq
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from mmfs.errors import StoreError
from mmfs.store.faults import fault_point
from mmfs.store.objects import COALESCE_BYTES, ObjectInfo, Objects, checked_name, is_own_name, missing, too_short


class LocalObjects(Objects):
    """Files under a directory. A write is a file in ``staging/``, fsync, rename, fsync of the folder."""

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().absolute()
        self.url = str(self._root)

    def _file(self, path: str) -> Path:
        return self._root / checked_name(path)

    def put(
        self,
        path: str,
        data: bytes | memoryview | Path,
        *,
        if_absent: bool = False,
        consume: bool = False,
    ) -> None:
        target = self._file(path)
        moves = isinstance(data, Path) and consume
        staged = data if isinstance(data, Path) and moves else self._root / "staging" / uuid.uuid4().hex
        try:
            staged.parent.mkdir(parents=True, exist_ok=True)
            new = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            if not isinstance(data, Path):
                with staged.open("xb") as file:
                    file.write(data)
            elif not moves:
                shutil.copyfile(data, staged)
            _sync(staged)
            fault_point("objects.before_rename")
            if if_absent:
                os.link(staged, target)  # unlike a rename, a link never replaces
            else:
                os.replace(staged, target)
            for folder in (target.parent, *(folder.parent for folder in new)):
                _sync(folder)
        except FileExistsError as error:
            raise StoreError(f"{path} exists already", where=self.url, mend="choose another name") from error
        except OSError as error:
            raise _write_error(path, data, self.url, error) from error
        finally:
            if not moves or if_absent:
                staged.unlink(missing_ok=True)

    def get(self, path: str) -> bytes:
        try:
            return self._file(path).read_bytes()
        except FileNotFoundError as error:
            raise missing(path, self.url) from error
        except OSError as error:
            raise _read_error(path, self.url, error) from error

    def get_ranges(
        self, path: str, ranges: Sequence[tuple[int, int]], *, gap_bytes: int = COALESCE_BYTES
    ) -> list[bytes]:
        try:
            descriptor = os.open(self._file(path), os.O_RDONLY)
        except FileNotFoundError as error:
            raise missing(path, self.url) from error
        except OSError as error:
            raise _read_error(path, self.url, error) from error
        try:
            return [self._pread(descriptor, path, offset, length) for offset, length in ranges]
        finally:
            os.close(descriptor)

    def _pread(self, descriptor: int, path: str, offset: int, length: int) -> bytes:
        try:
            data = os.pread(descriptor, length, offset)
        except OSError as error:
            raise _read_error(path, self.url, error) from error
        if len(data) == length:
            return data
        raise too_short(path, self.url, [(offset, length)])

    def open_file(self, path: str, *, size_bytes: int | None = None, ahead_bytes: int = COALESCE_BYTES) -> IO[bytes]:
        try:
            return self._file(path).open("rb")
        except FileNotFoundError as error:
            raise missing(path, self.url) from error
        except OSError as error:
            raise _read_error(path, self.url, error) from error

    def info(self, path: str) -> ObjectInfo:
        try:
            return _info(path, self._file(path))
        except FileNotFoundError as error:
            raise missing(path, self.url) from error
        except OSError as error:
            raise _read_error(path, self.url, error) from error

    def exists(self, path: str) -> bool:
        try:
            return self._file(path).is_file()
        except OSError as error:
            raise _read_error(path, self.url, error) from error

    def folders(self, prefix: str = "") -> list[str]:
        folder = self._file(prefix) if prefix else self._root
        try:
            with os.scandir(folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir() and is_own_name(entry.name))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _read_error(prefix or ".", self.url, error) from error

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise _read_error(os.path.relpath(error.filename, self._root), self.url, error) from error

        folder = self._file(prefix) if prefix else self._root
        # What lies in a folder that cannot be read is there all the same: an empty answer would be a wrong one.
        for here, _, names in os.walk(folder, onerror=fail):
            for name in names:
                file = Path(here, name)
                path = file.relative_to(self._root).as_posix()
                if not is_own_name(path):
                    continue
                try:
                    yield _info(path, file)
                except FileNotFoundError:
                    continue  # removed while we were listing

    def page(self, after: str | None = None, *, most: int = 1000) -> Sequence[ObjectInfo]:
        later = (found for found in self.list() if after is None or found.path > after)
        return heapq.nsmallest(most, later, key=lambda found: found.path)

    def delete(self, path: str) -> None:
        try:
            self._file(path).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot remove {path}: {error.strerror}", where=self.url, mend="check permissions of the store"
            ) from error

    def local_path(self, path: str) -> Path:
        return self._file(path)

    def delta_url(self, path: str) -> str:
        return str(self._file(path))


def _info(path: str, file: Path) -> ObjectInfo:
    status = file.stat()
    return ObjectInfo(path, status.st_size, status.st_mtime_ns // 1000)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(path: str, data: bytes | memoryview | Path, url: str, error: OSError) -> StoreError:
    size = "" if isinstance(data, Path) else f" ({len(data):,} bytes)"
    mend = "free space and run again" if error.errno == errno.ENOSPC else "check permissions and space of the store"
    return StoreError(f"cannot write {path}{size}: {error.strerror}", where=url, mend=mend)


def _read_error(path: str, url: str, error: OSError) -> StoreError:
    return StoreError(f"cannot read {path}: {error.strerror}", where=url, mend="check permissions of the store")
