"""The plan of a whole store: ingest and features in one chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mmfs
from mmfs.client.plan import plan_store, reached_code
from mmfs.errors import FeatureError
from mmfs.features.plan import Plan, in_order
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.ingest import build_audio_windows, build_captions, build_frames, register_media
from mmfs.settings import FramesConfig, Settings
from mmfs.store.costs import processor_name
from tests.ingest.making import photo

SHARDS = ("000000", "000001")
LAB = '''
from mmfs import Blob, Feature, Scalar, feature

@feature(table="brightness", grain="frame", inputs=["frames.image"])
class Brightness(Feature):
    """Mean of all pixels."""
    outputs = {"brightness": Scalar("float32")}

    def compute(self, batch):
        return {"brightness": batch["frames.image"].float().mean((1, 2, 3))}

@feature(table="doubled", grain="frame", inputs=["brightness.brightness"])
class Doubled(Feature):
    """Twice of that."""
    outputs = {"doubled": Scalar("float32")}

    def compute(self, batch):
        return {"doubled": [2 * value for value in batch["brightness.brightness"]]}

@feature(table="negatives", grain="frame", inputs=["frames.image"])
class Negatives(Feature):
    """Pictures with their colours turned round."""
    outputs = {"picture": Blob("jpeg")}

    def compute(self, batch):
        return {"picture": list((255 - batch["frames.image"]).permute(0, 2, 3, 1))}

@feature(table="caption_lengths", grain="caption", inputs=["captions.text"])
class CaptionLengths(Feature):
    """Characters of a caption."""
    outputs = {"characters": Scalar("int64")}

    def compute(self, batch):
        return {"characters": [len(text) for text in batch["captions.text"]]}
'''
STEPS: dict[str, Callable[..., object]] = {
    "raw_media": lambda store, shard: register_media(store, shard, now_us=1),
    "captions": build_captions,
    "frames": build_frames,
    "audio_windows": build_audio_windows,
}
LAB_TABLES = ("brightness", "doubled", "caption_lengths")
COUNTED = ("captions", "frames", *LAB_TABLES)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mmfs.FeatureStore:
    """Four listed pictures in two shards, and three features."""
    (tmp_path / "plan_lab.py").write_text(LAB)
    monkeypatch.syspath_prepend(str(tmp_path))
    for number in range(4):
        photo(tmp_path / "media" / f"{number}.jpg", number).with_suffix(".txt").write_text(f"picture {number}")
    opened = mmfs.open_store(_settings(tmp_path))
    opened.ingest([tmp_path / "media"])
    return opened


def _settings(root: Path, **more: object) -> Settings:
    return Settings(
        store=str(root / "store"), features=("plan_lab",), shard_max_files=2, workers=1, device="cpu", **more
    )


def run(store: mmfs.FeatureStore, *tables: str) -> dict[str, int]:
    """Rows computed, by table."""
    specs, done = registered(store.settings), {}
    for table in (*STEPS, *(spec.table for spec in in_order(specs.values()))):
        if table in tables:
            feature = instantiate(specs[table], store.settings) if table in specs else None
            reports = [
                run_feature(store.core, feature, shard) if feature else STEPS[table](store.core, shard)
                for shard in SHARDS
            ]
            done[table] = sum(report.computed for report in reports)  # type: ignore[attr-defined]
    return done


def counts(plans: dict[str, Plan]) -> dict[str, int]:
    return {table: plans[table].to_compute for table in COUNTED}


def test_all_tables_are_planned_upstream_first(store: mmfs.FeatureStore) -> None:
    plans = store.plan()
    order = list(plans)
    assert order[:4] == list(STEPS)
    assert order.index("brightness") < order.index("doubled")
    assert counts(plans) == dict.fromkeys(COUNTED, 4)
    assert plans["doubled"].estimated == 4
    assert plans["raw_media"].reads is not None
    assert plans["raw_media"].reads.files == 4


def test_the_plan_of_one_table_counts_what_the_whole_chain_would_give_it(store: mmfs.FeatureStore) -> None:
    assert (store.plan("doubled").to_compute, store.plan("doubled").estimated) == (4, 4)
    assert store.plan("frames").to_compute == 4
    with pytest.raises(FeatureError, match=r"'dubbled'.*doubled"):
        store.plan("dubbled")


def test_what_is_planned_is_what_runs_then_compute(store: mmfs.FeatureStore, tmp_path: Path) -> None:
    run(store, "raw_media")
    planned = store.plan()
    assert all(plan.estimated == 0 for plan in planned.values())
    assert run(store, *COUNTED) == counts(planned) == dict.fromkeys(COUNTED, 4)
    assert counts(store.plan()) == dict.fromkeys(COUNTED, 0)

    smaller = mmfs.open_store(_settings(tmp_path, frames=FramesConfig(short_side=16)))
    planned = smaller.plan()
    assert counts(planned) == {"captions": 0, "frames": 4, "brightness": 4, "doubled": 4, "caption_lengths": 0}
    assert planned["frames"].causes == {"config": 4}
    assert planned["doubled"].causes == {"upstream": 4}
    assert run(smaller, *COUNTED) == counts(planned)


def test_assets_that_are_not_chosen_stay_as_they_are(store: mmfs.FeatureStore, tmp_path: Path) -> None:
    run(store, "raw_media", *COUNTED)
    smaller = mmfs.open_store(_settings(tmp_path, frames=FramesConfig(short_side=16)))
    chosen = plan_store(smaller.core, ["brightness", "doubled"])
    assert {table: plan.to_compute for table, plan in chosen.items()} == {"brightness": 0, "doubled": 0}


def test_costs_of_earlier_runs_foretell_those_to_come(store: mmfs.FeatureStore, tmp_path: Path) -> None:
    assert {plan.forecast for plan in store.plan().values()} == {None}
    run(store, "raw_media", *COUNTED)
    smaller = mmfs.open_store(_settings(tmp_path, frames=FramesConfig(short_side=16)))
    plans = smaller.plan()
    for table in ("frames", "brightness", "doubled"):
        found = plans[table].forecast
        assert found is not None
        assert found.is_this_device
        assert found.rates.device == processor_name()
        assert found.rates.rows == 4
        assert found.wall_s > 0
        assert found.bytes_written > 0
    nothing = plans["caption_lengths"].forecast
    assert nothing is not None
    assert nothing.wall_s == 0
    assert plans["frames"].break_even_epochs is None
    assert plans["doubled"].break_even_epochs is not None
    assert plans["doubled"].break_even_epochs >= 1
    assert plan_store(smaller.core, with_break_even=False)["doubled"].break_even_epochs is None


def test_other_library_versions_are_told_and_make_nothing_stale(
    store: mmfs.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store, "raw_media", *COUNTED)
    assert store.plan("brightness").changed_libraries == {}
    before = store.plan("brightness").libraries["torch"]
    monkeypatch.setattr("mmfs.client.plan.library_versions", lambda: {"torch": "99.0"})
    found = store.plan("brightness")
    assert (found.changed_libraries, found.libraries["torch"]) == ({"torch": "99.0"}, before)
    assert found.to_compute == 0


def test_values_that_cannot_be_read_back_are_a_problem_of_their_table_alone(store: mmfs.FeatureStore) -> None:
    run(store, "raw_media", "frames", "brightness", "negatives")
    for pack in list(store.core.objects.list("packs/negatives")):
        path = store.core.objects.local_path(pack.path)
        assert path is not None
        data = path.read_bytes()
        path.write_bytes(data[:600] + bytes(byte ^ 0xFF for byte in data[600:]))
    plans = store.plan()
    assert "cannot be read back" in str(plans["negatives"].problem)
    assert plans["brightness"].problem is None
    assert plans["brightness"].break_even_epochs is not None


def test_the_code_that_rows_depend_on_is_told(store: mmfs.FeatureStore) -> None:
    assert "plan_lab:Doubled" in reached_code(store.core, "doubled")
    assert reached_code(store.core, "frames") == ()
