"""A new build directory that begins as another: what the engine never writes again is shared, the rest is copied."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from mmfs.search.extents import pieces, written

#: Files of finished segments that the engine opens for reading only: vectors, graphs, and what payload indexes hold.
#: A changed point goes to the growing segment; of the finished one, only masks, payloads and trackers are written.
_SHARED_FILES = frozenset(
    {"matrix.dat", "id_tracker.mappings", "point_to_values.bin", "values_to_points.bin"}
    | {"data.bin", "data_block_index.bin", "histogram_borders.bin"}
)
_SHARED_FOLDER = "vector_index"


def copy_build(base: Path, target: Path) -> None:
    """Make ``target`` a directory with the content of ``base``, a finished build, which stays as it is.

    Shared files become hard links where the file system has them. Of other files only what was ever written is copied:
    they are full of holes, and a plain copy takes three times the space.
    """
    for folder, _, files in os.walk(base):
        made = target / Path(folder).relative_to(base)
        made.mkdir(parents=True, exist_ok=True)
        for name in files:
            source = Path(folder) / name
            if not (_is_shared(source.relative_to(base)) and _linked(source, made / name)):
                _copy_with_holes(source, made / name)


def _is_shared(path: Path) -> bool:
    return path.name in _SHARED_FILES or path.parent.name == _SHARED_FOLDER


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV):
            return False
        raise
    return True


def _copy_with_holes(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        write.truncate(os.fstat(read.fileno()).st_size)
        for start, length in written(source):
            write.seek(start)
            for piece in pieces(read, start, length):
                write.write(piece)
    shutil.copymode(source, target)
