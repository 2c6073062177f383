"""A Dagster backfill of both model assets on a GPU: daemon, code server and run workers, as they run in production.

ViT-B/32 and Depth-Anything-V2-Small with random weights over generated frames, a few shards. Two runs want the device
at the same time: the lease lets one step after the other have it. Prints what the materializations say of each shard,
and holds them to what must be: every row computed, on a CUDA device, no two steps on one device at a time.

Needs what `gpu_features.py` needs, and Dagster; where it is not installed, carry its wheels too. With ``--device cpu
--tiny`` it runs on two logical devices, which says nothing about speed.

    python benchmarks/gpu_backfill.py [--json FILE] [--shards 4] [--frames 2048]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES, BulkActionStatus
from making.stored import random_clip, random_depth, write_frames

from mmfs.settings import ClipConfig, Settings
from mmfs.store import Store
from mmfs_assets.definitions import definitions_for
from mmfs_assets.execution.instance_file import write_instance_file
from mmfs_assets.execution.pools import set_pool_limits
from mmfs_assets.partitions import add_missing_shards
from mmfs_assets.planning.backfill import launch_backfill
from tests.deployment import deployed
from tests.features.tiny import write_clip

ASSETS = ("clip_embeddings", "depth_maps")
SHOWN = ("rows", "rows_per_s", "device", "leased_device", "device_busy_share", "bottleneck", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--device", default="cuda", help="as in MMFS_DEVICE")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--frames", type=int, default=2048, help="frames of a shard")
    parser.add_argument("--tiny", action="store_true", help="a few frames and small models, to see that it works")
    arguments = parser.parse_args()
    import torch

    if arguments.device != "cpu" and not torch.cuda.is_available():
        print("no GPU here: nothing was run")
        return
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), arguments)
    if arguments.device != "cpu":
        result["device"] = torch.cuda.get_device_name(0)
    print(json.dumps(result, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the store, run the backfill, and hold what it did to what it must do."""
    frames = 48 if arguments.tiny else arguments.frames
    environment = {
        "MMFS_STORE": str(folder / "store"),
        "MMFS_DEVICE": arguments.device,
        "MMFS_EXECUTOR": "gpu_box",
        "MMFS_SHARDS_PER_RUN": str(max(1, arguments.shards // 2)),
        **({"MMFS_GPUS": "cpu:0,cpu:1"} if arguments.device == "cpu" else {}),
    }
    settings = Settings(
        store=str(folder / "store"),
        device=arguments.device,
        executor="gpu_box",
        gpus=("cpu:0", "cpu:1") if arguments.device == "cpu" else (),
        shards_per_run=max(1, arguments.shards // 2),
        clip=small_clip(folder) if arguments.tiny else random_clip(folder, "ViT-B-32", 512),
        depth=random_depth(folder, 8 if arguments.tiny else 128, small=arguments.tiny),
    )
    store = Store.open(settings=settings)
    shards = [f"{number:06d}" for number in range(arguments.shards)]
    for shard in shards:
        write_frames(store, shard, frames)
    home = folder / "home"
    home.mkdir()
    write_instance_file(home, settings)
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        deployed(home, environment, "code-server", "daemon") as up,
    ):
        add_missing_shards(instance, shards)
        set_pool_limits(instance, settings)
        graph = definitions_for(store.settings).resolve_asset_graph()
        needs = {shard: dict.fromkeys(ASSETS, "measured") for shard in shards}
        began = time.perf_counter()
        backfill = launch_backfill(instance, graph, needs, title="both model assets")
        assert backfill is not None
        up.wait_for(lambda: _status(instance, backfill) in BULK_ACTION_TERMINAL_STATUSES, seconds=480)
        wall_s = time.perf_counter() - began
        if _status(instance, backfill) != BulkActionStatus.COMPLETED_SUCCESS:
            raise AssertionError(f"the backfill ended as {_status(instance, backfill)}:\n{up.log('daemon')[-4000:]}")
        events = {asset: {shard: _figures(instance, asset, shard) for shard in shards} for asset in ASSETS}
        steps = _steps(instance)
    said = [figures for of_asset in events.values() for figures in of_asset.values()]
    kind = "cpu" if arguments.device == "cpu" else "cuda"
    assert all(figures["rows_computed"] == frames for figures in said), "not every row was computed"
    assert all(str(figures["device"]).startswith(kind) for figures in said), "not every row was computed on the device"
    overlaps = [(one, two) for one, two in combinations(steps, 2) if _overlap(one, two)]
    assert not overlaps, f"two steps had one device at the same time: {overlaps}"
    for asset in ASSETS:
        assert store.tables.shards(asset) == dict.fromkeys(shards, frames), f"rows of {asset} are missing"
    return {
        "shards": len(shards),
        "frames_per_shard": frames,
        "runs": len({step["run"] for step in steps}),
        "wall_s": round(wall_s, 1),
        "assets": {
            asset: {
                shard: {name: figures[name] for name in SHOWN if name in figures} for shard, figures in found.items()
            }
            for asset, found in events.items()
        },
        "steps": steps,
    }


def small_clip(folder: Path) -> ClipConfig:
    write_clip(folder / "clip")
    return ClipConfig(model=f"local-dir:{folder / 'clip'}", batch_size=8)


def _status(instance: dg.DagsterInstance, backfill_id: str) -> BulkActionStatus:
    backfill = instance.get_backfill(backfill_id)
    assert backfill is not None
    return backfill.status


def _figures(instance: dg.DagsterInstance, asset: str, shard: str) -> dict[str, Any]:
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[shard])
    event = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
    assert event is not None
    return {name: value.value for name, value in event.metadata.items()}


def _steps(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """When each step of a model asset began and ended, in seconds since the first, and on which device."""
    found = []
    for run in instance.get_runs():
        for step in instance.get_run_step_stats(run.run_id):
            if step.step_key in ASSETS and step.start_time and step.end_time:
                events = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
                device = next(
                    entry.asset_materialization.metadata["leased_device"].value
                    for entry in events
                    if entry.asset_materialization and entry.dagster_event.step_key == step.step_key
                )
                found.append(
                    {"run": run.run_id[:8], "step": step.step_key, "from": step.start_time, "to": step.end_time}
                )
                found[-1]["leased_device"] = device
    first = min(step["from"] for step in found)
    return [step | {"from": round(step["from"] - first, 2), "to": round(step["to"] - first, 2)} for step in found]


def _overlap(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Whether two steps held one device at once. A step waits for its lease inside its time, hence the pool: it may
    begin only when a slot of the pool is free."""
    return bool(one["leased_device"] == two["leased_device"] and one["from"] < two["to"] and two["from"] < one["to"])


if __name__ == "__main__":
    main()
