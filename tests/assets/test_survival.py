"""A backfill whose daemon, webserver, code server and run workers are killed again and again ends without hands."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus

from mmfs.store import Store
from mmfs_assets.execution.instance_config import instance_config
from mmfs_assets.planning.launch import launch_missing
from mmfs_assets.planning.plan import make_plan
from mmfs_assets.steps.metadata import ROWS_ADOPTED, ROWS_COMPUTED
from tests.deployment import PARTS, Deployment, deployed
from tests.many_shards import CHAIN, ManyShards, compute_plainly

WORKER = "run worker"
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]
#: As production has it, but that nobody waits for half a minute.
SOON = {"poll_interval_seconds": 2, "free_slots_after_run_end_seconds": 1, "start_timeout_seconds": 90}


@pytest.mark.cluster
@pytest.mark.timeout(1800)
def test_a_backfill_survives_the_death_of_each_part(tmp_path: Path) -> None:
    _survive(ManyShards(tmp_path, shards=8, shards_per_run=4), [WORKER, "code-server", "daemon"])


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_backfill_of_a_hundred_shards_survives_ten_deaths(tmp_path: Path) -> None:
    _survive(ManyShards(tmp_path, shards=100, shards_per_run=8), [*PARTS, WORKER, WORKER] * 2)


def _survive(world: ManyShards, victims: Sequence[str]) -> None:
    committed = world.shards * len(CHAIN)
    chance = random.Random(seed := int(os.environ.get("TEST_SEED", time.time_ns() % 10_000)))
    print(f"TEST_SEED={seed}")
    order = chance.sample(victims, len(victims))
    # Moments are shards of tables that are done, so that a seed means the same on a slow machine as on a fast one.
    moments = sorted(chance.sample(range(1, int(0.9 * committed)), len(order)))
    world.make("store", "plain")
    plain = Store.open(settings=world.settings("plain"))
    compute_plainly(plain, sorted(plain.tables.shards("listings")))
    world.home.mkdir()
    config = instance_config(world.settings())
    (world.home / "dagster.yaml").write_text(
        json.dumps({**config, "run_monitoring": {**config["run_monitoring"], **SOON}})
    )
    with world.instance() as instance:
        [backfill] = launch_missing(world.settings(), instance, title="survival", assets=CHAIN).backfills
        with deployed(world.home, world.environment) as parts:
            for moment, victim in zip(moments, order, strict=True):
                parts.wait_for(lambda moment=moment: _done(world.store) >= moment, seconds=1200, every_s=0.2)
                time.sleep(chance.uniform(0, 1))
                print(f"killed at {_done(world.store)}: {victim}")
                _kill(parts, victim, all_is_done=lambda: _done(world.store) == committed)
            parts.wait_for(lambda: _is_over(instance, backfill), seconds=2400)
            parts.wait_for(lambda: not _held(instance))
        found = instance.get_backfill(backfill)
        assert found is not None
        assert found.status == BulkActionStatus.COMPLETED_SUCCESS
        assert not instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
        assert not make_plan(world.settings(), instance, assets=CHAIN).needs
        said = _rows_said(instance)
    store = world.store
    for table in CHAIN:
        shards = store.tables.shards(table)
        assert len(shards) == world.shards
        assert store.tables.digest(table) == plain.tables.digest(table), table
        # Committed once: what a killed run had finished, the next one left alone.
        assert {store.tables.state(table, shard).app_version for shard in shards} == {0}, table
        assert said[table] <= sum(shards.values()), table
    assert store.verify(deep=True).ok


def _done(store: Store) -> int:
    """Shards of tables that are committed."""
    there = set(store.tables.names())
    return sum(len(store.tables.shards(table)) for table in CHAIN if table in there)


def _kill(parts: Deployment, victim: str, *, all_is_done: Callable[[], bool]) -> None:
    """End it without warning; a supervisor starts it again, if it is not a run worker."""
    if victim == WORKER:
        # The last run may have ended since the moment came: then there is none any more.
        parts.wait_for(lambda: _kill_worker(parts) or all_is_done(), every_s=0.1)
        return
    for part in PARTS:
        if part == victim:
            parts.kill(part)
            parts.start(part)


def _kill_worker(parts: Deployment) -> bool:
    """End one that works now; whether there was one."""
    for worker in sorted(_workers(parts.pid("code-server"))):
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
            return True
    return False


def _workers(code_server: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == code_server and b"spawn_main" in (path / "cmdline").read_bytes():
                yield int(path.name)
        except (OSError, ProcessLookupError):
            continue


def _is_over(instance: dg.DagsterInstance, backfill: str) -> bool:
    found = instance.get_backfill(backfill)
    return found is not None and found.status in BULK_ACTION_TERMINAL_STATUSES


def _held(instance: dg.DagsterInstance) -> list[str]:
    """Pools of which somebody holds or awaits a slot."""
    storage = instance.event_log_storage
    infos = [storage.get_concurrency_info(key) for key in storage.get_concurrency_keys()]
    return [info.concurrency_key for info in infos if info.active_slot_count or info.pending_step_count]


def _rows_said(instance: dg.DagsterInstance) -> dict[str, int]:
    """Rows computed or taken over, by asset, over all events."""
    said = {}
    for asset in CHAIN:
        events = instance.fetch_materializations(dg.AssetKey(asset), limit=10_000).records
        metadata = [event.asset_materialization.metadata for event in events if event.asset_materialization]
        counts = [each[key].value for each in metadata for key in (ROWS_COMPUTED, ROWS_ADOPTED) if key in each]
        said[asset] = sum(count for count in counts if isinstance(count, int))
    return said
