"""Builders that are killed at any moment, builders at the same time, and readers while builds are published."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mmfs.search import build_index
from mmfs.search.checks import index_differences
from mmfs.search.engines import engine_of
from mmfs.search.manifest import read_manifest, spaces_of
from mmfs.search.points import shard_digests
from mmfs.settings import Settings
from mmfs.store import Store
from tests.search.processes import TABLE, builder, reader
from tests.search.world import media, write_shard

SHARDS = ["000000", "000001"]


def change(store: Store, number: int, *, small: bool) -> None:
    """Change one shard: a row's column (a refresh of the published build), or most of its rows (a build anew)."""
    write_shard(store, "000000", [media(n, "red", frames=4, width=100 + (n == number % 6) * number) for n in range(6)])
    items = [media(10 + n, ("green", "blue")[n % 2], frames=2) for n in range(3)]
    write_shard(store, "000001", items if small else [media(20 + n + number, "yellow", frames=4) for n in range(4)])


def check_published(store: Store) -> str | None:
    """The build that answers is one that was checked, whole: it holds what its manifest says, and nothing else."""
    for space in spaces_of(store.objects, TABLE):
        engine = engine_of(store)
        build = engine.published(space).current
        if build is None:
            return None
        manifest = read_manifest(store.objects, space, build)
        index = engine.open(manifest.space, build)
        found = shard_digests(index.scroll())
        index.close()
        assert {shard: (held.rows, held.digest) for shard, held in found.items()} == {
            shard: (entry.rows, entry.digest) for shard, entry in manifest.shards.items() if entry.rows
        }
        return build
    return None


def check_converged(store: Store) -> None:
    """The index equals the tables, ``qdrant_index`` says so, and nothing is left of dead builders."""
    check_published(store)
    assert [index_differences(store, TABLE, shard) for shard in SHARDS] == [[], []]
    (space,) = spaces_of(store.objects, TABLE)
    engine = engine_of(store)
    now = engine.published(space)
    assert now.current is not None
    manifest = read_manifest(store.objects, space, now.current)
    rows = store.tables.read("qdrant_index").to_pylist()
    assert {row["shard"]: row["key_digest"] for row in rows} == {
        shard: entry.digest for shard, entry in manifest.shards.items()
    }
    assert set(engine.builds(space)) <= {now.current, now.previous}


def kill_after(process: subprocess.Popen[str], delay_s: float, whom: str) -> None:
    """Let a builder begin, and kill it, its child that writes, or both."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(delay_s)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    if whom == "both":
        os.killpg(process.pid, signal.SIGKILL)
    elif whom == "builder":
        process.kill()
    else:
        for pid in pids:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)


def kill_builders(place: Path | str, points: int, seed: int) -> None:
    draw = random.Random(seed)
    store = Store.open(place, settings=Settings(device="cpu"))
    change(store, 0, small=True)
    undisturbed = builder(store, SHARDS)
    started = time.monotonic()
    undisturbed.communicate("\n", timeout=120)
    lasts_s = time.monotonic() - started
    assert undisturbed.returncode == 0
    check_converged(store)
    for number in range(1, points + 1):
        where = f"seed {seed}, point {number}"
        change(store, number, small=number % 2 == 0)
        before = check_published(store)
        kill_after(builder(store, SHARDS), draw.uniform(0.02, lasts_s), draw.choice(["both", "builder", "child"]))
        answering = check_published(store)
        assert answering is not None, where
        if answering != before:
            assert [index_differences(store, TABLE, shard) for shard in SHARDS] == [[], []], where
        build_index(store, TABLE, SHARDS, lock_timeout_s=60)
        check_converged(store)


def test_a_builder_killed_at_any_of_five_moments_leaves_a_whole_build_and_the_next_run_converges(
    tmp_path: Path,
) -> None:
    kill_builders(tmp_path / "store", 5, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_builder_killed_at_any_of_fifty_moments_leaves_a_whole_build_and_the_next_run_converges(
    tmp_path: Path,
) -> None:
    kill_builders(tmp_path / "store", 50, seed=2)


def test_two_builders_at_once_take_turns_and_the_index_equals_the_tables(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    change(store, 0, small=True)
    build_index(store, TABLE, SHARDS)
    change(store, 1, small=False)
    both = [builder(store, [shard]) for shard in SHARDS]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    check_converged(store)


def test_four_readers_answer_from_whole_builds_while_others_are_published(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    change(store, 0, small=True)
    build_index(store, TABLE, SHARDS)
    readers = [reader(store) for _ in range(4)]
    rows = {}
    for number in range(2):
        change(store, number, small=number % 2 == 0)
        report = build_index(store, TABLE, SHARDS)["000000"]
        rows[report.build_id] = report.indexed_rows
    told = [process.communicate("\n", timeout=60) for process in readers]
    assert [process.returncode for process in readers] == [0] * 4, [errors for _, errors in told]
    for out, _ in told:
        answer = json.loads(out.splitlines()[-1])
        assert answer["answers"] >= 2
        for build, counts in answer["seen"].items():
            assert all(found == indexed for found, indexed in counts)
            assert len(counts) == 1
            assert counts[0][1] == rows.get(build, counts[0][1])
