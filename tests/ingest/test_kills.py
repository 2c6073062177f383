"""The whole chain under kills at random places: what comes out equals an undisturbed run."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mmfs.ingest import build_captions, build_frames, register_media
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.ingest.making import clip, ingest, open_store, photo

TABLES = ("listings", "raw_media", "sources", "quarantine", "captions", "frames")
POINTS = ("tables.before_file", "tables.before_commit", "tables.after_commit", "packs.before_publish")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos, a twin, a video, a broken file, some captions."""
    place = tmp_path_factory.mktemp("media")
    for number in range(6):
        photo(place / f"{number}.jpg", number)
        (place / f"{number}.txt").write_text(f"caption {number}\n")
    photo(place / "twin.jpg", 5)
    (place / "twin.txt").write_text("said of the twin\n")
    (place / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    clip(place / "v.mp4", 1)
    return place


def chain(store: Store, folder: Path) -> None:
    ingest(store, folder)
    for shard in store.tables.shards("listings"):
        register_media(store, shard, now_us=1)
    for shard in store.tables.shards("listings"):
        build_captions(store, shard)
        build_frames(store, shard, now_us=1)


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Digests of an undisturbed run."""
    store = open_store(tmp_path_factory.mktemp("undisturbed"), shard_max_files=5)
    chain(store, folder)
    return [store.tables.digest(name) for name in TABLES]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 40))])
def test_kills_at_random_places_change_nothing_in_the_end(
    tmp_path: Path, folder: Path, expected: list[str], seed: int
) -> None:
    rng = random.Random(seed)
    store = open_store(tmp_path, shard_max_files=5)
    for _ in range(3):
        left = rng.randrange(1, 14)

        def die() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        try:
            with arm(rng.choice(POINTS), die):
                chain(open_store(tmp_path, shard_max_files=5), folder)
        except Killed:
            pass
    chain(store, folder)
    assert [store.tables.digest(name) for name in TABLES] == expected, f"seed {seed}"
    before = [store.tables.version(name) for name in TABLES]
    chain(store, folder)
    assert [store.tables.version(name) for name in TABLES] == before
