"""A killed materialization leaves the old version readable, and the next one completes it to the same content."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmfs.client import open_store
from mmfs.media.scenes import write_scenes
from mmfs.settings import ClipConfig, DepthConfig, load_settings
from mmfs.store import Store
from tests.features.tiny import write_clip, write_depth

TABLES = ("raw_media", "sources", "quarantine", "captions", "frames", "clip_embeddings", "depth_maps")
DEADLINE_S = 120


@dataclass(frozen=True)
class World:
    """Media that were ingested into a store nothing has been computed in, and what an undisturbed run makes of it."""

    fresh: Path
    content: dict[str, object]
    seconds: float


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("kill")
    write_scenes(folder / "media", split="test", images=12, videos=2)
    (folder / "media" / "images" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    models = {
        "clip": ClipConfig(model=f"local-dir:{write_clip(folder / 'clip')}", pretrained=None),
        "depth": DepthConfig(model=str(write_depth(folder / "depth"))),
    }
    settings = load_settings(store=str(folder / "fresh"), shard_max_files=5, **models)
    open_store(settings).ingest([folder / "media"])
    undisturbed = _copy(folder / "fresh", folder / "undisturbed")
    began = time.monotonic()
    assert _start(undisturbed).wait(DEADLINE_S) == 0
    return World(folder / "fresh", _content(undisturbed), time.monotonic() - began)


def test_a_killed_run_is_completed_by_the_next(world: World, tmp_path: Path) -> None:
    _kill_and_complete(world, tmp_path, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_runs_killed_at_any_moment_are_completed_to_the_same_content(world: World, tmp_path: Path, seed: int) -> None:
    _kill_and_complete(world, tmp_path, seed=100 + seed)


def _kill_and_complete(world: World, tmp_path: Path, *, seed: int) -> None:
    store = _copy(world.fresh, tmp_path / "store")
    # The first third of the time is imports; later moments fall into every step of every shard.
    moment = random.Random(seed).uniform(0.3, 1.0) * world.seconds
    process = _start(store)
    try:
        ended = process.wait(moment)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        ended = process.wait()
    print(f"seed {seed}: killed after {moment:.2f} s of {world.seconds:.2f} s, exit code {ended}")
    left = Store.open(store, create=False)
    assert left.verify(deep=True).ok, left.verify(deep=True).problems
    assert _start(store).wait(DEADLINE_S) == 0
    assert _content(store) == world.content
    assert Store.open(store, create=False).verify(deep=True).ok


def _start(store: Path) -> subprocess.Popen[bytes]:
    """A materialization in a process group of its own, so that its children die with it."""
    home = store.parent / f"{store.name}-dagster"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "DAGSTER_HOME": str(home), "MMFS_STORE": str(store), "MMFS_SHARDS_PER_RUN": "2"}
    return subprocess.Popen(
        [sys.executable, "-c", "from mmfs.cli import main; main()", "materialize"],
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _content(url: Path) -> dict[str, object]:
    """Content digests of all tables, and what the index holds of each shard."""
    store = Store.open(url, create=False)
    index = store.tables.read("qdrant_index", columns=["shard", "space", "rows", "key_digest"])
    return {
        **{name: store.tables.digest(name) for name in TABLES},
        "sorted quarantine": store.tables.read("quarantine", columns=["uri", "reason"]).to_pylist(),
        "index": index.to_pylist(),
    }


def _copy(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target
