"""The sensor finds new media, makes shards of them and runs those that changed."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from mmfs.codecs import encode_jpeg
from mmfs_assets.sensors import new_media_sensor
from mmfs_resources import MediaSourceResource, StoreResource
from tests.assets.conftest import ASSETS, World, make_media
from tests.features.tiny import picture


def _tick(world: World, instance: dg.DagsterInstance, folder: Path, cursor: str | None) -> object:
    sensor = new_media_sensor(world.settings, ASSETS)
    resources = {"store": StoreResource.of(world.settings), "media_source": MediaSourceResource(uris=[str(folder)])}
    return sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources))


def test_new_media_become_shards_and_runs_and_nothing_happens_without_any(tmp_path: Path, ingested: World) -> None:
    world = World(tmp_path / "world", ingested.models)
    make_media(tmp_path / "media")
    with dg.DagsterInstance.ephemeral() as instance:
        first = _tick(world, instance, tmp_path / "media", None)
        assert isinstance(first, dg.SensorResult)
        [added] = first.dynamic_partitions_requests or []
        assert list(added.partition_keys) == ["000000", "000001", "000002"]
        [run] = first.run_requests or []
        assert run.tags["dagster/asset_partition_range_start"] == "000000"
        assert run.tags["dagster/asset_partition_range_end"] == "000002"
        assert [key.to_user_string() for key in run.asset_selection or []] == ASSETS
        instance.add_dynamic_partitions("shard", list(added.partition_keys))

        second = _tick(world, instance, tmp_path / "media", first.cursor)
        assert isinstance(second, dg.SkipReason)

        (tmp_path / "media" / "new.jpg").write_bytes(encode_jpeg(picture(9)))
        third = _tick(world, instance, tmp_path / "media", first.cursor)
        assert isinstance(third, dg.SensorResult)
        [run] = third.run_requests or []
        assert run.tags == {"dagster/partition": "000003"}


def test_the_sensor_is_on_only_where_places_are_watched(ingested: World) -> None:
    assert new_media_sensor(ingested.settings, ASSETS).default_status == dg.DefaultSensorStatus.STOPPED
    watching = ingested.settings.model_copy(update={"watch": ("/media",)})
    assert new_media_sensor(watching, ASSETS).default_status == dg.DefaultSensorStatus.RUNNING
