"""How runs over shards end: exact versions, partial success, nothing done twice."""

from __future__ import annotations

from mmfs.client import FeatureStore
from mmfs.store import Store
from tests.assets.conftest import SHARDS, World


def _pack_of(store: Store, shard: str) -> str:
    return store.tables.read("frames", columns=["pack"], shard=shard)["pack"][0].as_py()


def _version(world: World, shard: str) -> str:
    return world.last_event("captions", shard).tags["dagster/data_version"]


def _say(world: World, text: str) -> None:
    """Another caption for the first picture of shard 000001."""
    (world.media / "2.txt").write_text(text)
    FeatureStore(world.store).ingest([world.media])


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


def test_a_second_run_computes_nothing_and_says_so(done: World) -> None:
    assets = ["frames", "clip_embeddings", "qdrant_index"]
    before = [done.store.tables.version(asset) for asset in assets]
    assert done.run(assets, "000000", "000002").success
    for asset in assets:
        assert done.last_event(asset, "000000").metadata["state"].value == "fresh, nothing computed"
    assert [done.store.tables.version(asset) for asset in assets] == before


def test_nothing_is_planned_when_everything_is_fresh(done: World) -> None:
    assert done.materialize().runs == []
