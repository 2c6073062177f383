"""The demo's training run pins what is there, and does without where there is nothing to train on."""

from __future__ import annotations

import dagster as dg

from tests.assets.conftest import SHARDS, World


def test_a_store_without_captions_trains_on_nothing_and_is_current(done: World) -> None:
    for shard in SHARDS:
        done.store.tables.update("captions", shard, lambda rows: rows.slice(0, 0))
    first = done.materialize("demo_training_run")
    assert first.failures == {}
    with done.instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("demo_training_run"))
    assert event is not None
    assert event.asset_materialization is not None
    told = event.asset_materialization.metadata
    assert told["samples"].value == 0
    assert str(told["state"].value).startswith("no sample has all of frames.image, ")
    assert done.materialize("demo_training_run").runs == []
