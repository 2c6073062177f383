"""Stores with an index, made once a session and only read; tests that change one make their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmfs.search import SearchQuery, build_index, search
from mmfs.search.hits import Hits
from mmfs.settings import Settings
from mmfs.store import Store
from tests.search.world import ColourEmbeddings, media, write_shard

#: What a caption may hold when nobody means well.
HOSTILE = "<script>alert(1)</script><img src=x onerror='alert(2)'>\" onload=\"alert(3)\u202e\x07 & ]]> {{7*7}}"


def fill(store: Store) -> None:
    """Six media in two shards: four reds (one a clip), and others."""
    write_shard(
        store,
        "000000",
        [
            media(0, "red", caption="A red ball on the grass", licence="CC0-1.0"),
            media(1, "green", frames=5, caption="A green field", width=1280, height=720, fps=1.0, duration_s=5.0),
            media(2, "blue", frames=3, caption=HOSTILE, width=320, height=240),
            media(3, "yellow", caption="Two yellow cubes", licence="CC-BY-4.0"),
        ],
    )
    write_shard(
        store,
        "000001",
        [media(10, "red", frames=12, caption="A red kite", width=1920, height=1080), media(11, "green", width=100)],
    )


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with its index. Read only."""
    store = Store.open(tmp_path_factory.mktemp("indexed") / "store", settings=Settings(device="cpu"))
    fill(store)
    build_index(store, "colour_embeddings", ["000000", "000001"])
    return store


@pytest.fixture
def fresh(tmp_path: Path) -> Store:
    """A store of one's own, filled but without an index."""
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    fill(store)
    return store


@pytest.fixture
def ask() -> Callable[..., Hits]:
    """Search a store's colours."""

    def asked(store: Store, text: str | None = None, **query: object) -> Hits:
        encoder = query.pop("encoder", None) or ColourEmbeddings()
        wanted = SearchQuery(**{"text": text, "space": "colour_embeddings", "k": 5, **query})  # type: ignore[arg-type]
        return search(store, wanted, encoder)  # type: ignore[arg-type]

    return asked
