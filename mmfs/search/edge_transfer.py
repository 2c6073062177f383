"""A build directory as a few objects of a bucket: sent, fetched, and compared with what was sent.

Small files go together into one object, each large one is an object of its own, and a file that a build shares with the
one it began as is not sent again.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmfs.errors import IntegrityError
from mmfs.search.edge_bundle import Bundle, BundledFile
from mmfs.search.extents import Extents, written, written_bytes, written_sha256
from mmfs.search.port import BUILD_ANEW
from mmfs.store.objects import Objects

_LARGE_BYTES = 1 << 20
#: What one request asks for, and one write holds in memory.
_PIECE_BYTES = 8 << 20
_AT_ONCE = 8


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
            sha256 = written_sha256(path, extents)
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
                for piece in written_bytes(path, extents):
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
    for file in bundle.files:
        if not file.object:
            _write(directory, file, iter(()))
    _read_each(objects, bundle, lambda file, pieces: _write(directory, file, pieces))


def compare_build(objects: Objects, bundle: Bundle) -> None:
    """Read all that was sent of a build, a few MiB at a time, and compare it with its checksums. Writes nothing.

    Raises:
        MissingObjectError: An object is gone.
        IntegrityError: The bytes of a file are not those that were sent.
    """
    _read_each(objects, bundle, lambda _, pieces: [None for _ in pieces])


def _read_each(objects: Objects, bundle: Bundle, use: Callable[[BundledFile, Iterator[bytes]], object]) -> None:
    """Give ``use`` each file that has bytes, with those; it reads them to their end. Objects are read at once.

    Raises:
        IntegrityError: The bytes of a file are not those that were sent.
    """
    by_object: dict[str, list[BundledFile]] = defaultdict(list)
    for file in sorted(bundle.files, key=lambda file: file.offset):
        if file.object:
            by_object[file.object].append(file)

    def read(name: str) -> None:
        for file, pieces in _files_of(objects, name, by_object[name]):
            use(file, _checked(objects, file, pieces))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(read, by_object))


def _files_of(
    objects: Objects, name: str, files: Sequence[BundledFile]
) -> Iterator[tuple[BundledFile, Iterator[bytes]]]:
    for batch in _batches(files):
        if len(batch) == 1:
            yield batch[0], _streamed(objects, batch[0])
        else:
            found = objects.get_ranges(name, [(file.offset, file.stored_bytes) for file in batch])
            yield from ((file, iter([data])) for file, data in zip(batch, found, strict=True))


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


def _checked(objects: Objects, file: BundledFile, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes as they come; at their end, an error where they are others than were sent."""
    state = hashlib.sha256()
    for piece in pieces:
        state.update(piece)
        yield piece
    if state.hexdigest() != file.sha256:
        raise IntegrityError(
            f"the bytes of {file.path} are not those that the build sent",
            where=f"{objects.url}/{file.object}",
            mend=f"delete this object, then {BUILD_ANEW}",
        )


def _write(directory: Path, file: BundledFile, pieces: Iterator[bytes]) -> None:
    piece = b""
    with (directory / file.path).open("wb") as target:
        target.truncate(file.size_bytes)
        for start, length in file.extents:
            target.seek(start)
            left = length
            while left:
                piece = piece or next(pieces)
                taken, piece = piece[:left], piece[left:]
                target.write(taken)
                left -= len(taken)
        for _ in pieces:
            pass  # at their end they are compared


def _compact(path: Path, extents: Extents, target: Path) -> Path:
    with target.open("wb") as file:
        for piece in written_bytes(path, extents):
            file.write(piece)
    return target
