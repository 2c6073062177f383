"""What does it cost to have Dagster do the work, over calling the functions?

Shards of a few tiny pictures, tiny models, the chain raw_media, frames, clip_embeddings, depth_maps. One process calls
the functions for every shard; then Dagster's daemon and a code server, as they run in production, take one backfill
from launch to its end over another store with the same media. The tables must come out equal. The cost of a shard is
the difference of both wall times over their number; by processor time it is the same difference, but it counts what
ran side by side twice, and says more where the machine was shared.

    python benchmarks/orchestration_overhead.py [--json FILE] [--quick] [--shards 200] [--shards-per-run 32]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from measuring.goals import goal, table

from mmfs.store import Store
from mmfs.store.costs import processor_name
from mmfs_assets.execution.instance_file import write_instance_file
from mmfs_assets.partitions import shards_of
from mmfs_assets.planning.launch import launch_missing
from tests.deployment import Deployment, deployed
from tests.many_shards import CHAIN, ManyShards, compute_plainly

GOAL_S = 0.25
LIMIT_S = 3600.0
_TICKS_A_S = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="4 shards, to see that it works")
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--shards-per-run", type=int, help="default: the setting's default")
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shards, per_run = (4, 2) if arguments.quick else (arguments.shards, arguments.shards_per_run)
    if arguments.plain:
        print(json.dumps(plainly(ManyShards(arguments.plain, shards))))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = measure(ManyShards(Path(folder) / "world", shards, shards_per_run=per_run))
    found["load_before"] = round(load, 2)
    print(json.dumps(found, indent=2), table(found["goals"]), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(world: ManyShards) -> dict[str, Any]:
    """Both ways, and the difference."""
    world.make("store", "plain")
    command = [sys.executable, __file__, "--shards", str(world.shards), "--plain", str(world.root)]
    plain = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    backfill = by_backfill(world)
    ours, theirs = (digests(Store.open(settings=world.settings(name))) for name in ("store", "plain"))
    if ours != theirs:
        raise AssertionError(f"the tables differ: {ours} and {theirs}")
    cost_s, cpu_s = ((backfill[key] - plain[key]) / world.shards for key in ("wall_s", "cpu_s"))
    runs_s = backfill["last_run_ended_s"] - backfill["first_run_started_s"]
    return {
        "device": processor_name(),
        "cpus": os.cpu_count(),
        "shards": world.shards,
        "files_per_shard": world.files,
        "shards_per_run": world.settings().shards_in_run,
        "plain": plain,
        "backfill": backfill,
        # Without what the daemon does before and after: from the first run's start to the last run's end.
        "runs_s_a_shard": round(runs_s / world.shards, 3),
        "runs_over_plain_s_a_shard": round((runs_s - plain["wall_s"]) / world.shards, 3),
        "goals": [
            goal("orchestration, seconds a shard of four assets", cost_s, "at most", GOAL_S, by_cpu=cpu_s),
        ],
    }


def plainly(world: ManyShards) -> dict[str, float]:
    """The functions, called in this process; its start and imports that the functions do not do are left out."""
    store = Store.open(settings=world.settings("plain"))
    before, began = _cpu_s(), time.perf_counter()
    compute_plainly(store, shards_of(store))
    return {"wall_s": round(time.perf_counter() - began, 2), "cpu_s": round(_cpu_s() - before, 2)}


def by_backfill(world: ManyShards) -> dict[str, Any]:
    """A backfill from its launch to its end, both as a user sees them."""
    world.home.mkdir()
    settings = world.settings()
    write_instance_file(world.home, settings)
    with world.instance() as instance, deployed(world.home, world.environment, "code-server", "daemon") as parts:
        parts.wait_for(lambda: _is_ready(instance))
        before = _parts_cpu_s(parts)
        began = time.time()
        [backfill] = launch_missing(settings, instance, title="benchmark", assets=CHAIN).backfills
        parts.wait_for(lambda: _is_over(instance, backfill), seconds=LIMIT_S, every_s=0.25)
        wall_s = time.time() - began
        cpu_s = {part: round(after - before[part], 2) for part, after in _parts_cpu_s(parts).items()}
        found = instance.get_backfill(backfill)
        if found is None or found.status != BulkActionStatus.COMPLETED_SUCCESS:
            raise AssertionError(f"the backfill ended as {found and found.status}:\n{parts.log('code-server')[-5000:]}")
        runs = instance.get_run_records(dg.RunsFilter(tags={"dagster/backfill": backfill}))
    starts, ends = ([getattr(run, side) - began for run in runs] for side in ("start_time", "end_time"))
    created = [run.create_timestamp.timestamp() - began for run in runs]
    return {
        "wall_s": round(wall_s, 2),
        "cpu_s": round(sum(cpu_s.values()), 2),
        "cpu_s_by_part": cpu_s,
        "runs": len(runs),
        # What the daemon does before, between and after the runs.
        "first_run_created_s": round(min(created), 2),
        "last_run_created_s": round(max(created), 2),
        "first_run_started_s": round(min(starts), 2),
        "last_run_ended_s": round(max(ends), 2),
        "mean_run_s": round(sum(ends) / len(runs) - sum(starts) / len(runs), 2),
    }


def digests(store: Store) -> Mapping[str, str]:
    """Content digests of the chain's tables."""
    return {name: store.tables.digest(name) for name in CHAIN}


def _is_ready(instance: dg.DagsterInstance) -> bool:
    return {"BACKFILL", "QUEUED_RUN_COORDINATOR"} <= instance.get_daemon_heartbeats().keys()


def _is_over(instance: dg.DagsterInstance, backfill: str) -> bool:
    found = instance.get_backfill(backfill)
    return found is not None and found.status in BULK_ACTION_TERMINAL_STATUSES


def _cpu_s() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _parts_cpu_s(parts: Deployment) -> dict[str, float]:
    """Processor time of daemon and code server, and of the run workers and decoding processes that have ended."""
    own, workers = {}, 0.0
    for part in ("daemon", "code-server"):
        fields = Path(f"/proc/{parts.pid(part)}/stat").read_text().rpartition(")")[2].split()
        user, system, of_children, of_children_system = (int(ticks) / _TICKS_A_S for ticks in fields[11:15])
        own[part] = user + system
        workers += of_children + of_children_system
    return {**own, "run workers": workers}


if __name__ == "__main__":
    main()
