"""A rank, a process of its own: ``python -m tests.loader.cache.training URL CACHE QUOTA_BYTES RANK RANKS``."""

from __future__ import annotations

import hashlib
import json
import sys

from mmfs.loader import Loader
from mmfs.settings import CacheConfig, Settings
from mmfs.store import Store
from mmfs.store.pin import Pin
from mmfs.store.pins import Pins

EPOCHS = 2


def digest_of(store: Store, pin: Pin, rank: int, ranks: int, cache: str | None) -> str:
    """A digest of every value of every batch of some epochs."""
    loader = Loader(store, pin, batch_size=4, rank=rank, world_size=ranks, image_size=32, threads=4, cache=cache)
    state = hashlib.sha256()
    for _ in range(EPOCHS):
        for batch in loader:
            for value in batch.values():
                state.update(value.numpy().tobytes() if hasattr(value, "numpy") else json.dumps(value).encode())
    return state.hexdigest()


if __name__ == "__main__":
    url, folder, quota_bytes, rank, ranks = sys.argv[1:]
    opened = Store.open(url, settings=Settings(cache=CacheConfig(quota_gb=int(quota_bytes) / 1e9)), create=False)
    print(digest_of(opened, Pins(opened).get("remote-all"), int(rank), int(ranks), folder))
