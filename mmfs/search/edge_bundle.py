"""A build directory as a few objects of a bucket: what was ever written of its files, and a list that says where.

Such a directory has hundreds of small files and some large ones full of holes. Small files go together into one object,
each large one is an object of its own, and a file that a build shares with the one it began as is not sent again.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from mmfs.errors import IntegrityError, StoreError
from mmfs.search.extents import Extents, pieces, written
from mmfs.search.port import BUILD_ANEW, DamagedBuildError
from mmfs.store.objects import Objects, checked_name

_LARGE_BYTES = 1 << 20
#: What one request asks for, and one write holds in memory.
_PIECE_BYTES = 8 << 20
_AT_ONCE = 8


@dataclass(frozen=True)
class BundledFile:
    """One file of a build directory.

    Attributes:
        path: Its name there.
        size_bytes: Its size, holes included.
        extents: Offset and length of each stretch that was written.
        sha256: Of the bytes of all extents.
        object: Name of the object that holds them, one extent after the other; empty where nothing was written.
        offset: Where in the object they begin.
    """

    path: str
    size_bytes: int
    extents: Extents
    sha256: str
    object: str
    offset: int

    @property
    def stored_bytes(self) -> int:
        """Bytes of all extents."""
        return sum(length for _, length in self.extents)


@dataclass(frozen=True)
class Bundle:
    """A build directory: its files, and its folders, which may be empty."""

    files: tuple[BundledFile, ...]
    folders: tuple[str, ...]

    def to_json(self) -> bytes:
        """The list as a document."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> Bundle:
        """The list that `to_json` wrote.

        Raises:
            DamagedBuildError: It is damaged.
        """
        try:
            found = json.loads(data)
            files = tuple(_file(entry) for entry in found["files"])
            return cls(files, tuple(checked_name(folder) for folder in found["folders"]))
        except (ValueError, KeyError, TypeError, StoreError) as error:
            raise DamagedBuildError(f"the list of a build's files is damaged: {error}", where=where) from error

    def objects(self) -> dict[str, int]:
        """The objects that the files lie in, with the least size that each must have."""
        ends: dict[str, int] = defaultdict(int)
        for file in self.files:
            if file.object:
                ends[file.object] = max(ends[file.object], file.offset + file.stored_bytes)
        return dict(ends)

    def is_whole(self, directory: Path) -> bool:
        """Whether every file is there with its size."""
        for file in self.files:
            try:
                if (directory / file.path).stat().st_size != file.size_bytes:
                    return False
            except FileNotFoundError:
                return False
        return True


def send_build(objects: Objects, folder: str, directory: Path, staging: Path, *, base: Bundle | None) -> Bundle:
    """Write a finished build directory into the objects under ``folder``; what says where each file is.

    Args:
        staging: A folder for what is put together before it is sent.
        base: The build it began as: equal files are left where they are.

    Raises:
        StoreError: The bucket cannot be written.
    """
    known = {(file.path, file.size_bytes, file.extents, file.sha256): file for file in base.files} if base else {}
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    folders = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_dir())
    files: list[BundledFile] = []
    sent: dict[str, Path] = {}
    small, small_end = staging / "small", 0
    with small.open("wb") as together:
        for path in paths:
            name, size, extents = path.relative_to(directory).as_posix(), path.stat().st_size, written(path)
            sha256 = _sha256(path, extents)
            carried = known.get((name, size, extents, sha256))
            if carried is not None:
                files.append(carried)
                continue
            stored = sum(length for _, length in extents)
            if not stored:
                files.append(BundledFile(name, size, extents, sha256, "", 0))
            elif stored < _LARGE_BYTES:
                files.append(BundledFile(name, size, extents, sha256, f"{folder}/small", small_end))
                small_end += stored
                for piece in _pieces(path, extents):
                    together.write(piece)
            else:
                target = f"{folder}/{len(sent)}"
                files.append(BundledFile(name, size, extents, sha256, target, 0))
                sent[target] = path if extents == ((0, size),) else _compact(path, extents, staging / str(len(sent)))
    if small_end:
        sent[f"{folder}/small"] = small
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda item: objects.put(*item), sent.items()))
    return Bundle(tuple(files), tuple(folders))


def fetch_build(objects: Objects, bundle: Bundle, directory: Path) -> None:
    """Make a directory with the files of a build, each compared with its checksum.

    Raises:
        MissingObjectError: An object is gone.
        IntegrityError: The bytes of a file are not those that were sent.
        OSError: The directory cannot be written.
    """
    for folder in bundle.folders:
        (directory / folder).mkdir(parents=True, exist_ok=True)
    by_object: dict[str, list[BundledFile]] = defaultdict(list)
    for file in sorted(bundle.files, key=lambda file: file.offset):
        if file.object:
            by_object[file.object].append(file)
        else:
            _write(directory, file, iter(()))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda name: _fetch(objects, name, by_object[name], directory), by_object))


def _fetch(objects: Objects, name: str, files: Sequence[BundledFile], directory: Path) -> None:
    for batch in _batches(files):
        if len(batch) == 1:
            _write(directory, batch[0], _streamed(objects, batch[0]))
        else:
            ranges = [(file.offset, file.stored_bytes) for file in batch]
            for file, data in zip(batch, objects.get_ranges(name, ranges), strict=True):
                _write(directory, file, iter([data]))


def _batches(files: Sequence[BundledFile]) -> Iterator[list[BundledFile]]:
    """Small files together, about a piece at a time; a larger one alone."""
    batch: list[BundledFile] = []
    for file in files:
        if batch and sum(one.stored_bytes for one in batch) + file.stored_bytes > _PIECE_BYTES:
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _streamed(objects: Objects, file: BundledFile) -> Iterator[bytes]:
    end = file.offset + file.stored_bytes
    for start in range(file.offset, end, _PIECE_BYTES):
        yield objects.get_range(file.object, start, min(_PIECE_BYTES, end - start))


def _write(directory: Path, file: BundledFile, pieces: Iterator[bytes]) -> None:
    state, piece = hashlib.sha256(), b""
    with (directory / file.path).open("wb") as target:
        target.truncate(file.size_bytes)
        for start, length in file.extents:
            target.seek(start)
            left = length
            while left:
                piece = piece or next(pieces)
                taken, piece = piece[:left], piece[left:]
                state.update(taken)
                target.write(taken)
                left -= len(taken)
    if state.hexdigest() != file.sha256:
        raise IntegrityError(
            f"the bytes of {file.path} are not those that the build sent",
            where=file.object,
            mend=f"remove the folder `index` of the store, and {BUILD_ANEW}",
        )


def _pieces(path: Path, extents: Extents) -> Iterator[bytes]:
    with path.open("rb") as file:
        for start, length in extents:
            yield from pieces(file, start, length)


def _sha256(path: Path, extents: Extents) -> str:
    state = hashlib.sha256()
    for piece in _pieces(path, extents):
        state.update(piece)
    return state.hexdigest()


def _compact(path: Path, extents: Extents, target: Path) -> Path:
    with target.open("wb") as file:
        for piece in _pieces(path, extents):
            file.write(piece)
    return target


def _file(entry: Mapping[str, object]) -> BundledFile:
    fields = dict(entry)
    extents = tuple((int(start), int(length)) for start, length in fields.pop("extents"))  # type: ignore[attr-defined]
    checked_name(str(fields["path"]))  # it is written to where a directory of this machine begins
    return BundledFile(extents=extents, **fields)  # type: ignore[arg-type]
