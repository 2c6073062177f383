"""What Dagster is told of listings: each change once, in an order in which no run is taken for older than it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from mmfs.client import open_store
from mmfs.codecs import encode_jpeg
from mmfs.store.tables import Tables
from mmfs_assets.assets.listings import listing_events, report_listings
from tests.assets.conftest import SHARDS, World
from tests.features.tiny import picture


def test_each_change_of_a_shards_listing_is_reported_once(done: World, tmp_path: Path) -> None:
    with done.instance() as instance:
        assert listing_events(instance, done.store) == []
        instance.wipe_assets([dg.AssetKey("listings")])
        events = listing_events(instance, done.store)
        assert [type(event) for event in events] == [dg.AssetObservation] * 3 + [dg.AssetMaterialization] * 3
        assert [event.partition for event in events] == SHARDS * 2
        for event in events:
            assert event.tags["dagster/data_version"] == done.store.tables.digest("listings", str(event.partition))
            assert event.metadata["files"].value == 2
            assert isinstance(event.metadata["bytes"].value, int)
        assert listing_events(instance, done.store, ["000001"]) == [events[1], events[4]]
        report_listings(instance, done.store)
        assert listing_events(instance, done.store) == []

        (tmp_path / "x.jpg").write_bytes(encode_jpeg(picture(77)))
        open_store(done.settings.model_copy(update={"shard_max_files": 3})).ingest([tmp_path / "x.jpg"])
        assert [event.partition for event in listing_events(instance, done.store)] == ["000002", "000002"]
        assert listing_events(instance, done.store, ["000000"]) == []


def test_listings_that_are_the_files_that_dagster_heard_of_are_not_read(
    done: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digests = Tables.digests

    def noted(self: Tables, name: str, shards: Sequence[str]) -> dict[str, str]:
        read.extend(shards if name == "listings" else ())
        return digests(self, name, shards)

    monkeypatch.setattr(Tables, "digests", noted)
    with done.instance() as instance:
        report_listings(instance, done.store)
        assert read == []
        done.store.tables.update("listings", "000001", lambda rows: rows.slice(0, 1))
        report_listings(instance, done.store)
        report_listings(instance, done.store)
    assert read == ["000001"]


def test_a_run_over_shards_that_dagster_did_not_hear_of_yet_reports_them_itself(done: World, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(encode_jpeg(picture(77)))
    open_store(done.settings.model_copy(update={"shard_max_files": 3})).ingest([tmp_path / "x.jpg"])
    assert done.run("raw_media", "000002").success
    with done.instance() as instance:
        assert listing_events(instance, done.store) == []
        heard = instance.get_latest_materialization_event(dg.AssetKey("listings"))
        [record] = instance.fetch_materializations(dg.AssetKey("listings"), limit=1).records
    assert heard is not None
    tags = done.last_event("raw_media", "000002").tags or {}
    assert tags["dagster/input_event_pointer/listings"] == str(record.storage_id)
