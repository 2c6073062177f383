"""What a node keeps on its disk of a store, for all processes that train there."""

from __future__ import annotations

from pathlib import Path

from mmfs.loader.cache.folder import CacheFolder
from mmfs.settings import CacheConfig


def open_cache(folder: str | Path | None, config: CacheConfig) -> CacheFolder | None:
    """The cache in a folder, or in that of the settings; None when there is neither.

    Raises:
        LoaderError: The folder cannot be made or written.
    """
    chosen = folder if folder is not None else config.dir
    return CacheFolder(Path(chosen).expanduser().absolute(), config.quota_bytes) if chosen else None
