"""Long runs are durable: what a killed run had finished is taken over, and the result is that of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.depth import DepthMaps
from mmfs.features.feature import Blob, Feature, Scalar, Text, feature
from mmfs.features.registry import instantiate, registered
from mmfs.features.results import PartLimits
from mmfs.features.runner import run_feature
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.features.tiny import SHARD, add_frames, media_id

EACH_BATCH = PartLimits(size_bytes=1)
SIZES = ((48, 64), (64, 48), (40, 100), (33, 47), (64, 64))


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@feature(table="counted", grain="frame", inputs=["frames.image"])
class Counted(Feature):
    """Counts how many rows it was asked for."""

    outputs = {"mean": Scalar("float32"), "said": Text(), "map": Blob("array16")}
    batch_size = 4
    asked: ClassVar[list[int]] = []
    poison: ClassVar[float | None] = None

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"mean": batch["frames.image"].float().mean(dim=(1, 2, 3))}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        means = batch["mean"]
        if self.poison is not None and bool((means - self.poison).abs().min() < 1e-4):
            raise ValueError("poison")
        self.asked.append(len(means))
        return {"mean": means, "said": [f"{mean:.2f}" for mean in means], "map": means[:, None].expand(-1, 5)}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    monkeypatch.setattr(Counted, "asked", [])
    monkeypatch.setattr(Counted, "poison", None)
    return Counted


def _parts(store: Store) -> list[str]:
    return sorted(found.path for found in store.objects.list("staging/features"))


def _problems(store: Store) -> list[str]:
    """What is wrong; these stores have frames of no media."""
    return [problem for problem in store.verify(deep=True).problems if "no row in raw_media" not in problem]


def _die_at(passes: int) -> Callable[[], None]:
    left = iter(range(passes - 1))

    def act() -> None:
        if next(left, None) is None:
            raise Killed

    return act


def test_a_run_killed_after_some_parts_goes_on_behind_them_and_ends_the_same(
    store: Store, frames: Callable[..., None], counted: type[Counted]
) -> None:
    frames(range(22), sizes=SIZES)
    whole = run_feature(store, counted(), SHARD).digest
    frames([])
    run_feature(store, counted(), SHARD)
    frames(range(22), sizes=SIZES)
    with pytest.raises(Killed), arm("features.after_part", _die_at(3)):
        run_feature(store, counted(), SHARD, part_limits=EACH_BATCH)
    assert len(_parts(store)) == 3
    counted.asked.clear()
    report = run_feature(store, counted(), SHARD)
    assert (report.adopted, report.computed, report.rows) == (12, 10, 22)
    assert sum(counted.asked) == 10
    assert report.digest == whole
    assert _parts(store) == []
    assert _problems(store) == []


def test_parts_of_other_fingerprints_and_damaged_parts_are_computed_again(
    store: Store, frames: Callable[..., None], counted: type[Counted]
) -> None:
    frames(range(12))
    with pytest.raises(Killed), arm("features.after_part", _die_at(3)):
        run_feature(store, counted(), SHARD, part_limits=EACH_BATCH)
    damaged = store.objects.local_path(_parts(store)[0])
    assert damaged is not None
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    assert run_feature(store, counted(), SHARD).adopted == 8
    frames(range(12), fingerprint="frames-2")
    with pytest.raises(Killed), arm("features.after_part", _die_at(3)):
        run_feature(store, counted(), SHARD, part_limits=EACH_BATCH)
    frames(range(12), fingerprint="frames-3")
    report = run_feature(store, counted(), SHARD)
    assert (report.adopted, report.computed) == (0, 12)
    assert _parts(store) == []


def test_rows_that_failed_in_a_part_are_not_tried_again_and_end_in_quarantine(
    store: Store, frames: Callable[..., None], counted: type[Counted]
) -> None:
    frames(range(12))
    run_feature(store, counted(), SHARD)
    means = np.array(store.tables.read("counted").column("mean").to_pylist())
    frames(range(12), fingerprint="frames-2")
    counted.poison = float(means[2])
    with pytest.raises(Killed), arm("features.after_part", _die_at(2)):
        run_feature(store, counted(), SHARD, part_limits=EACH_BATCH)
    counted.poison = None
    report = run_feature(store, counted(), SHARD)
    assert (report.adopted, report.computed, report.quarantined, report.rows) == (7, 4, 1, 11)
    [row] = store.tables.read("quarantine").to_pylist()
    assert (row["uri"], row["message"]) == (f"{media_id(2)}:0", "ValueError: poison")


def test_a_part_whose_pack_is_gone_is_computed_again(
    store: Store, frames: Callable[..., None], counted: type[Counted]
) -> None:
    frames(range(8))
    with pytest.raises(Killed), arm("features.after_part", _die_at(1)):
        run_feature(store, counted(), SHARD, part_limits=EACH_BATCH)
    for found in list(store.objects.list("packs/counted")):
        store.objects.delete(found.path)
    assert run_feature(store, counted(), SHARD).adopted == 0


def test_parts_are_due_by_bytes_or_by_time_and_short_runs_write_none(
    store: Store, frames: Callable[..., None], counted: type[Counted]
) -> None:
    written = []
    frames(range(16))
    with arm("features.before_part", lambda: written.append(1)):
        run_feature(store, counted(), SHARD)
        assert written == []
        for limits, wanted in ((PartLimits(seconds=0), 4), (PartLimits(size_bytes=1), 4), (PartLimits(1 << 30, 9), 0)):
            frames([])
            run_feature(store, counted(), SHARD)
            frames(range(16))
            written.clear()
            run_feature(store, counted(), SHARD, part_limits=limits)
            assert len(written) == wanted


_PROGRAM = """
import sys
from mmfs.features.registry import instantiate, registered
from mmfs.features.registry import instantiate, registered
from mmfs.features.results import PartLimits
from mmfs.features.runner import run_feature
from mmfs.store import Store
store = Store.open(sys.argv[1], create=False)
feature = instantiate(registered(store.settings)[sys.argv[2]], store.settings)
feature.load("cpu")
print("ready", flush=True)
report = run_feature(store, feature, "000001", device="cpu", part_limits=PartLimits(size_bytes=1))
print(report.adopted, report.computed, report.digest, flush=True)
"""


def _run(store: Store, table: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, store.url, table],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("frame_quality", "features.before_part:kill:2"),
        ("depth_maps", "features.after_part:kill:3"),
        ("frame_quality", "tables.before_commit:kill:1"),
    ],
)
def test_a_process_that_is_killed_loses_one_part_at_most(
    store: Store, frames: Callable[..., None], tmp_path: Path, table: str, fault: str
) -> None:
    frames(range(26), sizes=SIZES)
    other = Store.open(tmp_path / "undisturbed", settings=store.settings)
    add_frames(other, range(26), sizes=SIZES)
    feature = instantiate(registered(store.settings)[table], store.settings)
    undisturbed = run_feature(other, feature, SHARD, part_limits=EACH_BATCH)
    with _run(store, table, _MMFS_FAULT=fault) as process:
        assert process.wait() == -signal.SIGKILL
    finished = len(_parts(store))
    report = run_feature(store, feature, SHARD, part_limits=EACH_BATCH)
    assert report.batches == undisturbed.batches - finished
    assert report.digest == undisturbed.digest
    assert _problems(store) == []


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_feature_killed_at_random_moments_ends_like_an_undisturbed_one(
    clip_dir: Path, depth_dir: Path, tmp_path: Path, clip_config: Any, depth_config: Any
) -> None:
    seed = int(os.environ.get("TEST_SEED", time.time_ns() % 10_000))
    print(f"TEST_SEED={seed}")
    chance, settings = random.Random(seed), Settings(clip=clip_config, depth=depth_config, device="cpu")
    for number, (table, cls) in enumerate((("clip_embeddings", ClipEmbeddings), ("depth_maps", DepthMaps))):
        stores = [Store.open(tmp_path / f"{number}-{which}", settings=settings) for which in range(2)]
        for one in stores:
            add_frames(one, range(600), sizes=SIZES)
        config = settings.clip if table == "clip_embeddings" else settings.depth
        wanted = run_feature(stores[0], cls(config), SHARD, part_limits=EACH_BATCH).digest
        kills, computed = 0, 0
        while kills < 25:
            with _run(stores[1], table) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                try:
                    process.wait(timeout=chance.uniform(0.05, 1.2))
                except subprocess.TimeoutExpired:
                    process.kill()
                    kills += 1
                    process.wait()
                    continue
                assert process.returncode == 0
                computed += 1
            break
        report = run_feature(stores[1], cls(config), SHARD)
        assert report.digest == wanted
        assert _problems(stores[1]) == []
        print(table, kills, "kills")
