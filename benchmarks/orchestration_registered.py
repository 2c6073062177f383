"""Does Dagster stay usable with ten thousand shards?

A store with 10,000 shards in every table, and a history in which every asset has materialized every shard. Code server
and webserver run as they do in production, and answer the queries that pages of the installed UI send; sensor ticks are
asked for through the webserver, too. Evaluations of automation conditions, plans and `mmfs tables` are timed beside it.
Medians of several repeats after a first one, which is shown apart.

    python benchmarks/orchestration_registered.py [--json FILE] [--quick] [--shards 10000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor
from dagster._core.definitions.automation_tick_evaluation_context import AutomationTickEvaluationContext
from dagster._serdes import deserialize_value, serialize_value
from graphql import DocumentNode
from making.registered import LISTINGS, Registered, register
from measuring.goals import goal, table
from measuring.ui_queries import required, text, ui_queries

from mmfs.store.costs import processor_name
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.plan import make_plan
from tests.deployment import LOCATION, Deployment, Part, deployed
from tests.many_shards import ManyShards

QUERY_S, LOAD_S, TICK_S = 0.5, 5.0, 2.0
#: What pages send that look at assets or at their partitions, by page.
PAGES = {
    "asset page": (
        "AssetViewDefinitionQuery",
        "AssetOverviewMetadataEventsQuery",
        "AssetChecksQuery",
        "AssetMaterializationUpstreamQuery",
    ),
    "partitions tab": (
        "PartitionHealthQuery",
        "AssetPartitionDetailQuery",
        "AssetPartitionStaleQuery",
        "AssetPartitionEventsQuery",
    ),
    "lineage": ("AssetGraphLiveQuery", "AssetStaleStatusDataQuery", "AssetHealthQuery", "SidebarAssetQuery"),
    "catalog": ("AssetCatalogTableQuery", "AssetRecordsQuery"),
}
_DRY_RUN = """mutation Tick($sensor: SensorSelector!, $cursor: String) {
  sensorDryRun(selectorData: $sensor, cursor: $cursor) {
    __typename
    ... on DryRunInstigationTick { evaluationResult { cursor skipReason error { message } } }
    ... on PythonError { message stack }
  }
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="50 shards, one repeat, to see that it works")
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    shards, repeats = (50, 1) if arguments.quick else (arguments.shards, arguments.repeats)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        world = ManyShards(Path(folder) / "world", 1)
        watched = min(shards - 1, world.settings().watch_page_files // world.files + 1)  # one page, and a little more
        made = register(world, shards, watched_shards=watched)
        found = {"seconds_to_make": round(time.perf_counter() - began, 1), **measure(made, repeats)}
    found["load_before"] = round(load, 2)
    print(json.dumps(found, indent=2), table(found["goals"]), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(made: Registered, repeats: int) -> dict[str, Any]:
    """All times, and goals."""
    environment = made.world.environment | {"MMFS_WATCH": str(made.watched), "MMFS_WATCH_SETTLE_S": "0"}
    documents = ui_queries(name for names in PAGES.values() for name in names)
    with deployed(made.world.home, environment, "code-server") as parts:
        load = Times.of(lambda: start(parts, "code-server"), repeats, None)  # its process begins within the time
        ready = Times.of(lambda: start(parts, "webserver"), repeats, None)
        cpu_s = partial(cpu_of, parts, "code-server", "webserver")
        reload_s = Times.of(lambda: reload(parts), repeats, cpu_s)
        queries = {
            page: {name: Times.of(partial(ask, parts, made, documents[name]), repeats, cpu_s) for name in names}
            for page, names in PAGES.items()
        }
        ticks = [Tick(None, 0)]
        sensor = Times.of(lambda: ticks.append(tick(parts, ticks[-1].cursor)), repeats, cpu_s)
    with made.world.instance() as instance:
        settings = made.world.settings()
        automation = automation_ticks(instance, made, repeats)
        plan = Times.of(lambda: make_plan(settings, instance, assets=made.assets), repeats)
        stale = make_plan(settings, instance, assets=made.assets).needs
    tables = Times.of(lambda: run_cli(made, "tables"), repeats, cpu_of_children)
    slowest = max(
        (times for each in queries.values() for times in each.values()), key=lambda times: times.median.wall_s
    )
    return {
        "device": processor_name(),
        "cpus": os.cpu_count(),
        "shards": len(made.shards),
        "assets": len(made.assets),
        "code_server_start_s": load.figures(),
        "webserver_start_s": ready.figures(),
        "code_location_reload_s": reload_s.figures(),
        "queries_s": {page: {name: times.figures() for name, times in each.items()} for page, each in queries.items()},
        "sensor_tick_s": sensor.figures(),
        "sensor_tick_looked_at": [one.looked for one in ticks[1:]],
        "automation_tick_s": automation.figures(),
        "plan_s": plan.figures(),
        "stale_shards": len(stale),
        "mmfs_tables_s": tables.figures(),
        "goals": [
            slowest.goal("slowest query of the UI", QUERY_S),
            load.goal("code location loads", LOAD_S),
            sensor.goal("tick of the new-media sensor", TICK_S),
            automation.goal("tick of automation", TICK_S),
        ],
    }


class Times:
    """Times of one thing: wall times, and processor times of the processes that do it.

    Attributes:
        first: When nothing was cached.
        others: Of the repeats.
    """

    def __init__(self, first: Spent, others: list[Spent]) -> None:
        self.first, self.others = first, others

    @classmethod
    def of(
        cls, what: Callable[[], object], repeats: int, cpu_s: Callable[[], float] | None = time.process_time
    ) -> Times:
        """Measure; ``cpu_s`` tells the processor time so far, None where it cannot be told."""
        return cls(timed(what, cpu_s), [timed(what, cpu_s) for _ in range(repeats)])

    @property
    def median(self) -> Spent:
        cpu_s = [spent.cpu_s for spent in self.others if spent.cpu_s is not None]
        return Spent(
            statistics.median(spent.wall_s for spent in self.others), statistics.median(cpu_s) if cpu_s else None
        )

    def figures(self) -> dict[str, float | None]:
        median = self.median
        return {
            "first": round(self.first.wall_s, 3),
            "median": round(median.wall_s, 3),
            "median_cpu": None if median.cpu_s is None else round(median.cpu_s, 3),
        }

    def goal(self, claim: str, bound_s: float) -> dict[str, Any]:
        return goal(f"{claim}, seconds", self.median.wall_s, "at most", bound_s, by_cpu=self.median.cpu_s)


class Spent(NamedTuple):
    """Seconds of a repeat; None: not measured."""

    wall_s: float
    cpu_s: float | None


class Tick(NamedTuple):
    """What a tick of the sensor left: its cursor, and how many entries it looked at."""

    cursor: str | None
    looked: int


def timed(what: Callable[[], object], cpu_s: Callable[[], float] | None) -> Spent:
    before, began = cpu_s() if cpu_s else 0.0, time.perf_counter()
    what()
    return Spent(time.perf_counter() - began, cpu_s() - before if cpu_s else None)


def cpu_of(parts: Deployment, *names: Part) -> float:
    """Processor time of processes that run, in steps of 10 ms."""
    ticks = 0
    for name in names:
        fields = Path(f"/proc/{parts.pid(name)}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def ask(parts: Deployment, made: Registered, document: DocumentNode) -> None:
    """One query of the UI, about the last asset of the chain or about all of them."""
    key, shard = {"path": [made.assets[-2]]}, made.shards[len(made.shards) // 2]
    keys = [{"path": [asset]} for asset in (LISTINGS, *made.assets)]
    known: dict[str, Any] = {
        "assetKey": key,
        "assetKeys": keys,
        "partitionKey": shard,
        "partitions": [shard],
        "limit": 1000,
        "timestamp": str(int(time.time() * 1000)),
    }
    parts.graphql(text(document), **{variable: known[variable] for variable in required(document)})


def tick(parts: Deployment, cursor: str | None) -> Tick:
    """One tick of the sensor, as the daemon has it evaluated."""
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": LOCATION,
        "sensorName": "new_media",
    }
    found = parts.graphql(_DRY_RUN, sensor=selector, cursor=cursor)["sensorDryRun"]
    assert found["__typename"] == "DryRunInstigationTick", found
    result = found["evaluationResult"]
    assert result["error"] is None, result
    looked = re.search(r"looked at (\d+) entries", result["skipReason"])
    assert looked, result
    return Tick(result["cursor"], int(looked[1]))


def start(parts: Deployment, part: Part) -> None:
    """Start a process anew and wait until it answers."""
    parts.kill(part)
    parts.start(part)


def reload(parts: Deployment) -> None:
    """What the UI's reload button does: the code server is asked again for all its definitions."""
    found = parts.graphql(
        "mutation Reload($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }",
        name=LOCATION,
    )
    assert found["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry", found


def automation_ticks(instance: dg.DagsterInstance, made: Registered, repeats: int) -> Times:
    """Evaluations of the conditions, one after the other, as the daemon does them."""
    graph = definitions_for(made.world.settings()).resolve_asset_graph()
    cursors = [AssetDaemonCursor.empty()]

    def evaluate() -> None:
        tick = AutomationTickEvaluationContext(
            evaluation_id=len(cursors),
            asset_graph=graph,
            cursor=cursors[-1],
            instance=instance,
            materialize_run_tags={},
            observe_run_tags={},
            auto_observe_asset_keys=set(),
            asset_selection=dg.AssetSelection.all(),
            logger=logging.getLogger(__name__),
            emit_backfills=True,
        )
        _, cursor, _ = tick.evaluate()
        cursors.append(deserialize_value(serialize_value(cursor), AssetDaemonCursor))

    return Times.of(evaluate, repeats)


def run_cli(made: Registered, *arguments: str) -> None:
    command = [sys.executable, "-c", "from mmfs.cli import main; main()", *arguments]
    subprocess.run(command, env=os.environ | made.world.environment, check=True, capture_output=True)


def cpu_of_children() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


if __name__ == "__main__":
    main()
