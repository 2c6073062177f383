"""How runs over shards end: exact versions, partial success, nothing done twice."""

from __future__ import annotations

from unittest.mock import MagicMock, Mock

import dagster as dg
import pytest

from mmfs.client import FeatureStore
from mmfs.errors import CodeChangedError, MmfsError, ModelError
from mmfs.store import Store
from mmfs_assets.definitions import definitions_for
from mmfs_assets.steps.per_shard import per_shard
from mmfs_assets.steps.shard_step import ShardStep
from tests.assets.conftest import SHARDS, World


def _pack_of(store: Store, shard: str) -> str:
    return store.tables.read("frames", columns=["pack"], shard=shard)["pack"][0].as_py()


def _version(world: World, shard: str) -> str:
    return world.last_event("captions", shard).tags["dagster/data_version"]


def _say(world: World, text: str) -> None:
    """Another caption for the first picture of shard 000001."""
    (world.media / "2.txt").write_text(text)
    FeatureStore(world.store).ingest([world.media])


def _checks(world: World, assets: list[str]) -> dict[tuple[str, str], tuple[str, str, str | None]]:
    """By asset and check: status, severity, and words. What has no words was not executed, and is drawn as failed."""
    graph = definitions_for(world.settings).resolve_asset_graph()
    keys = sorted(graph.get_check_keys_for_assets({dg.AssetKey(asset) for asset in assets}))
    with world.instance() as instance:
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
        told = {key: found[key].evaluation for key in keys}
        assert all(isinstance(said, dg.AssetCheckEvaluation) for said in told.values()), "executed, or said why not"
    return {
        (key.asset_key.to_user_string(), key.name): (found[key].status.value, said.severity.value, said.description)
        for key, said in told.items()
        if said
    }


def test_a_data_version_changes_with_the_content_of_its_own_shard_and_only_then(done: World) -> None:
    text = (done.media / "2.txt").read_text()
    try:
        first = {shard: _version(done, shard) for shard in SHARDS}
        assert done.run("captions", "000001").success
        assert _version(done, "000001") == first["000001"], "equal content keeps its version"

        _say(done, "something else")
        assert done.run("captions", "000001").success
        event = done.last_event("captions", "000001")
        assert _version(done, "000001") == done.store.tables.digest("captions", "000001") != first["000001"]
        assert event.tags["dagster/data_version_is_user_provided"] == "true"

        _say(done, "something else again")
        run = done.run("captions", "000000", "000002")
        assert run.success
        made = [str(event.partition) for event in run.all_events if event.is_step_materialization]
        assert sorted(made[:3]) == SHARDS
        assert sorted(made[3:]) == ["000000", "000002"], "those get their version back"
        assert [_version(done, shard) for shard in SHARDS[::2]] == [first[shard] for shard in SHARDS[::2]]
        assert _version(done, "000001") not in (first["000001"], event.tags["dagster/data_version"])
    finally:
        (done.media / "2.txt").write_text(text)


def test_a_run_of_several_shards_emits_one_event_a_shard_with_the_shards_own_figures(finished: World) -> None:
    store = finished.store
    for shard in SHARDS:
        figures = finished.last_event("frames", shard).metadata
        assert figures["dagster/partition_row_count"].value == store.tables.shards("frames").get(shard, 0)
        assert figures["digest"].value == store.tables.digest("frames", shard)
        assert figures["dagster/row_count"].value == 5


def test_a_bad_shard_is_named_and_the_others_are_kept_and_only_it_runs_again(fresh: World) -> None:
    store = fresh.store
    pack = store.objects.local_path(_pack_of(store, "000001"))
    assert pack is not None
    whole = pack.read_bytes()
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])

    first = fresh.materialize("clip_embeddings")
    [[message]] = first.failures.values()
    assert "1 of 3 shards of clip_embeddings failed: 000001 (IntegrityError" in message
    kept = {shard: fresh.last_event("clip_embeddings", shard) for shard in ("000000", "000002")}
    for shard, event in kept.items():
        assert event.tags["dagster/data_version"] == store.tables.digest("clip_embeddings", shard)
        assert event.tags["dagster/input_data_version/frames"]
    assert "000001" not in store.tables.shards("clip_embeddings")

    pack.write_bytes(whole)
    second = fresh.materialize("clip_embeddings")
    assert second.failures == {}
    assert [run.shards for run in second.planned] == [("000001",)]
    assert set(store.tables.shards("clip_embeddings")) == {"000000", "000001", "000002"}


def test_checks_of_a_run_whose_shard_failed_say_what_was_looked_at(fresh: World) -> None:
    pack = fresh.store.objects.local_path(_pack_of(fresh.store, "000001"))
    assert pack is not None
    whole = pack.read_bytes()
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])
    assets = ["clip_embeddings", "prompt_scores"]
    assert not fresh.run(assets, "000000", "000002").success
    found = _checks(fresh, assets)
    assert {key for key in found if key[0] == "clip_embeddings"} == {
        ("clip_embeddings", name) for name in ("keys_agree", "numbers_are_finite", "vectors_are_sound")
    }
    for (asset, _), (status, severity, text) in found.items():
        if asset == "clip_embeddings":
            assert (status, text) == ("SUCCEEDED", "not looked at: 1 shard that failed; holds in 2 shards")
        else:
            assert (status, severity) == ("FAILED", "WARN")
            assert text == "not looked at: 1 shard of clip_embeddings failed; before: never"

    pack.write_bytes(whole)
    assert fresh.run(assets, "000000", "000002").success
    assert {(status, text) for status, _, text in _checks(fresh, assets).values()} == {
        ("SUCCEEDED", "holds in 3 shards")
    }

    # A run that fails in all of its shards leaves the checks as they were.
    fresh.store.tables.update("clip_embeddings", "000001", lambda rows: rows.slice(0, 0))
    pack.write_bytes(whole[:600] + bytes(byte ^ 0xFF for byte in whole[600:700]) + whole[700:])
    for _ in range(2):
        assert not fresh.run(assets, "000001").success
        assert {(status, text) for status, _, text in _checks(fresh, assets).values()} == {
            ("SUCCEEDED", "not looked at: 1 shard of clip_embeddings failed; before: holds in 3 shards")
        }


def test_a_check_that_breaks_does_not_hide_which_shards_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmfs_assets.steps.shard_step.conclude_checks", Mock(side_effect=ValueError("a bug")))
    step = ShardStep(MagicMock(), MagicMock(), "captions", ["000000"], {}, {}, MagicMock(), {})
    with pytest.raises(dg.Failure) as raised:
        list(step.conclude({}, {"000000": "odd"}, None))
    assert raised.value.description == "1 of 1 shards of captions failed: 000000 (odd)"


@pytest.mark.parametrize("error", [CodeChangedError("edited", mend="start again"), ModelError("gone", mend="get it")])
def test_what_fails_every_shard_alike_is_tried_once(error: MmfsError, monkeypatch: pytest.MonkeyPatch) -> None:
    step, work = MagicMock(shards=SHARDS), Mock(side_effect=error)
    monkeypatch.setattr(ShardStep, "begin", Mock(return_value=step))
    list(per_shard(MagicMock(run_id="a"), MagicMock(), work))
    assert work.call_count == 1
    [(done, failed, _), _] = step.conclude.call_args
    not_tried = dict.fromkeys(SHARDS[1:], "not tried after shard 000000 failed")
    assert (done, failed) == ({}, {"000000": f"{type(error).__name__}: {error}", **not_tried})


def test_a_second_run_computes_nothing_and_says_so(done: World) -> None:
    assets = ["frames", "clip_embeddings", "qdrant_index"]
    before = [done.store.tables.version(asset) for asset in assets]
    assert done.run(assets, "000000", "000002").success
    for asset in assets:
        assert done.last_event(asset, "000000").metadata["state"].value == "fresh, nothing computed"
    assert [done.store.tables.version(asset) for asset in assets] == before


def test_nothing_is_planned_when_everything_is_fresh(done: World) -> None:
    assert done.materialize().runs == []
