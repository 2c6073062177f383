"""A materialization that is killed at any moment leaves the old state readable, and a later one completes it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmfs.client import FeatureStore
from mmfs.store import Store
from tests.assets.conftest import ASSETS, World

KILLS = 10
PROGRAM = (
    "import sys; from mmfs_assets.execution.home import open_instance;"
    "from mmfs_assets.planning.materialize import materialize;"
    "from mmfs_assets.recorded import recorded_settings; settings = recorded_settings();"
    "instance = open_instance(settings).__enter__(); print('ready', flush=True);"
    "sys.exit(bool(materialize(settings, instance, assets=sys.argv[1:]).failures))"
)


def _digests(store: Store) -> dict[str, str]:
    tables = [*ASSETS[:-1], "sources", "quarantine"]
    return {table: store.tables.digest(table) for table in tables}


def _start(world: World) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(world.root / "home"),
        "MMFS_STORE": world.settings.store,
        "MMFS_SHARD_MAX_FILES": "2",
        "MMFS_DEVICE": "cpu",
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *ASSETS], env=environment, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_materialization_killed_at_random_moments_ends_like_an_undisturbed_one(
    finished: World, tmp_path: Path
) -> None:
    seed = int(os.environ.get("TEST_SEED", time.time_ns() % 10_000))
    print(f"TEST_SEED={seed}")
    chance = random.Random(seed)
    world, killed, longest_s = _ingested(finished, tmp_path / "0"), 0, 12.0
    while killed < KILLS:
        with _start(world) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            began = time.monotonic()
            try:
                assert process.wait(timeout=chance.uniform(0.1, longest_s)) == 0
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
                process.wait()
                found = world.store.verify(deep=True)
                assert found.ok, found.problems
                continue
        # It was done before the kill: look at what came out, and begin again.
        assert _digests(world.store) == _digests(finished.store)
        longest_s = time.monotonic() - began
        world = _ingested(finished, tmp_path / str(killed + 1))
    with _start(world) as process:
        assert process.wait() == 0
    assert _digests(world.store) == _digests(finished.store)


def _ingested(finished: World, root: Path) -> World:
    world = World(root, finished.models)
    root.mkdir()
    FeatureStore(world.store).ingest([finished.media])
    return world
