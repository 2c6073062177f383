"""Does a plan foretell how long a run will take?

Renders the demo's scenes once. Then, several times, each with a fresh store and the models that ship: one process
brings the first shard up to date, as history; another one asks for the plan of the rest, brings the rest up to date,
and compares the wall time of every table, and of all of them, with what the plan said. Rows are compared, too: nothing
but frames of videos may differ there. A repeat during which other processes took a tenth of the machine tells nothing
about plans, since history and run had other machines; it is counted, shown, and made up for. Prints medians.

    python benchmarks/plan.py [--json FILE] [--repeats 5] [--pictures 256] [--clips 12] [--shard-files 96]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from mmfs.client import FeatureStore
from mmfs.client.plan import plan_store
from mmfs.features.plan import in_order
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.ingest import build_audio_windows, build_captions, build_frames, register_media
from mmfs.media.scenes import write_scenes
from mmfs.settings import DEMO_CLIP_DIR, DEMO_DEPTH_DIR, ClipConfig, DepthConfig, Settings
from mmfs.store import Store
from mmfs.store.costs import processor_name

GOAL = 0.25
#: Share of the processors from which on others disturb, and how many repeats may be given up for it, for each wanted.
OTHERS, TRIES = 0.1, 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--shard-files", type=int, default=96)
    parser.add_argument("--work-on", choices=["history", "rest"], help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work_on:
        print(json.dumps(work(Store.open(settings=demo_settings(arguments.store, arguments)), arguments.work_on)))
        return
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Foretold and real wall times of several runs, and how far they are apart."""
    media = folder / "media"
    write_scenes(media, split="test", images=arguments.pictures, videos=arguments.clips)
    runs, disturbed = [], []
    while len(runs) < arguments.repeats:
        url = str(folder / f"store-{len(runs)}-{len(disturbed)}")
        FeatureStore(Store.open(settings=demo_settings(url, arguments))).ingest([media])
        with Others() as others:
            child(arguments, "history", url)
            run = child(arguments, "rest", url)
        (runs if others.share < OTHERS or len(disturbed) >= TRIES * arguments.repeats else disturbed).append(run)
        print(f"{len(runs)} of {arguments.repeats}; others took {others.share:.0%}", file=sys.stderr)
    tables = [name for name in runs[0] if runs[0][name]["rows"]]
    errors = {table: [off(run[table]) for run in runs] for table in tables}
    totals = [in_all(run) for run in runs]
    whole = [off(total) for total in totals]
    return {
        "device": processor_name(),
        "repeats": arguments.repeats,
        "goal": GOAL,
        "median_error_in_all": round(statistics.median(whole), 3),
        "error_in_all_each": [round(error, 3) for error in whole],
        "error_in_all_disturbed": [round(off(in_all(run)), 3) for run in disturbed],
        "foretold_in_all_s": [round(total["foretold_s"], 2) for total in totals],
        "wall_in_all_s": [round(total["wall_s"], 2) for total in totals],
        "tables": {
            table: {
                "median_error": round(statistics.median(errors[table]), 3),
                "foretold_s": round(statistics.median(run[table]["foretold_s"] for run in runs), 3),
                "wall_s": round(statistics.median(run[table]["wall_s"] for run in runs), 3),
                "rows": runs[0][table]["rows"],
                "foretold_rows": runs[0][table]["foretold_rows"],
                "guessed_rows": runs[0][table]["guessed_rows"],
            }
            for table in tables
        },
    }


class Others:
    """Finds out which share of the processors other processes took meanwhile."""

    share = 0.0

    def __enter__(self) -> Self:
        self._before = self._look()
        return self

    def __exit__(self, *_: object) -> None:
        wall_s, busy_s, own_s = (now - then for now, then in zip(self._look(), self._before, strict=True))
        self.share = max(0.0, (busy_s - own_s) / (wall_s * (os.cpu_count() or 1)))

    def _look(self) -> tuple[float, float, float]:
        try:
            user, nice, system, _idle, _wait, *rest = map(
                int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
            )
            busy_s = (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
        except OSError:
            busy_s = 0.0
        own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return time.perf_counter(), busy_s, sum(one.ru_utime + one.ru_stime for one in own)


def in_all(run: dict[str, dict[str, float]]) -> dict[str, float]:
    """Foretold and real seconds of all tables."""
    return {key: sum(found[key] for found in run.values()) for key in ("foretold_s", "wall_s")}


def off(run: dict[str, float]) -> float:
    """How far a forecast is off, as a share of what it took."""
    return abs(run["foretold_s"] - run["wall_s"]) / run["wall_s"]


def child(arguments: argparse.Namespace, work_on: str, url: str) -> Any:
    """One part in a process of its own, in which nothing is loaded yet."""
    sizes = ["--pictures", str(arguments.pictures), "--shard-files", str(arguments.shard_files)]
    command = [sys.executable, __file__, "--work-on", work_on, "--store", url, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def work(store: Store, part: str) -> dict[str, dict[str, float]]:
    """Bring the first shard, or the others, up to date; what was foretold for each table, and what became of it."""
    shards = sorted(store.tables.shards("listings"))
    chosen = shards[:1] if part == "history" else shards[1:]
    # All files are registered first: what a store holds is known long before features are computed from it.
    if part == "history":
        for shard in shards:
            register_media(store, shard, now_us=1)
    plans = plan_store(store, with_break_even=False)
    found = {}
    for table, run in runs_of(store).items():
        reports = [run(shard) for shard in chosen]
        expected = plans[table].forecast
        found[table] = {
            "foretold_s": expected.wall_s if expected else 0.0,
            "foretold_rows": plans[table].to_compute,
            "guessed_rows": plans[table].estimated,
            "wall_s": sum(report.seconds for report in reports),
            "rows": sum(report.computed for report in reports),
        }
    return found


def runs_of(store: Store) -> dict[str, Callable[[str], Any]]:
    """What brings a shard of each table up to date, upstream first."""
    steps: Sequence[tuple[str, Callable[[Store, str], Any]]] = (
        ("captions", build_captions),
        ("frames", build_frames),
        ("audio_windows", build_audio_windows),
    )
    runs: dict[str, Callable[[str], Any]] = {
        name: (lambda shard, build=build: build(store, shard)) for name, build in steps
    }
    for spec in in_order(registered(store.settings).values()):
        feature = instantiate(spec, store.settings)
        runs[spec.table] = lambda shard, feature=feature: run_feature(store, feature, shard)
    return runs


def demo_settings(url: str, arguments: argparse.Namespace) -> Settings:
    """Settings of the demo."""
    return Settings(
        store=url,
        shard_max_files=arguments.shard_files,
        clip=ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}", pretrained=None),
        depth=DepthConfig(model=str(DEMO_DEPTH_DIR)),
    )


if __name__ == "__main__":
    main()
