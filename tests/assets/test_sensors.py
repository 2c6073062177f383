"""The sensor gives new media to shards and tells Dagster which shards changed; it asks for no runs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.ingest import IngestReport, assign
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.automation import sensors
from mmfs_assets.automation.sensors import new_media_sensor
from mmfs_resources import MediaSourceResource, StoreResource
from tests.features.tiny import picture


@dataclass
class Sensor:
    """The sensor over a folder, with a history and a clock of its own."""

    settings: Settings
    instance: dg.DagsterInstance
    uris: list[str]
    cursor: str | None = None

    def tick(self, definition: dg.SensorDefinition | None = None) -> dg.SensorResult:
        """One tick, and what the daemon makes of it.

        Args:
            definition: A sensor that remembers earlier ticks; default: a new one.
        """
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={
                "store": StoreResource.of(self.settings),
                "media_source": MediaSourceResource(uris=self.uris),
            },
        )
        result = (definition or new_media_sensor(self.settings))(context)
        assert isinstance(result, dg.SensorResult)
        assert not result.run_requests
        for request in result.dynamic_partitions_requests or []:
            self.instance.add_dynamic_partitions("shard", list(request.partition_keys))
        for event in result.asset_events or []:
            self.instance.report_runless_asset_event(event)
        self.cursor = result.cursor
        return result


def said(result: dg.SensorResult) -> str:
    assert result.skip_reason is not None
    return str(result.skip_reason.skip_message)


def told(result: dg.SensorResult) -> set[str]:
    """Shards that Dagster is told of."""
    return {str(event.partition) for event in result.asset_events or []}


def drop(folder: Path, number: int, age_s: float = 3600) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{number}.jpg"
    file.write_bytes(encode_jpeg(picture(number)))
    os.utime(file, (time.time() - age_s,) * 2)
    return file


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Sensor]:
    settings = Settings(store=str(tmp_path / "store"), shard_max_files=2, watch_page_files=100, workers=1)
    Store.open(settings=settings)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Sensor(settings, instance, [str(tmp_path / "media")])


def test_new_media_become_shards_that_dagster_hears_of_and_nothing_happens_without_any(
    sensor: Sensor, tmp_path: Path
) -> None:
    for number in range(5):
        drop(tmp_path / "media", number)
    first = sensor.tick()
    [added] = first.dynamic_partitions_requests or []
    assert list(added.partition_keys) == ["000000", "000001", "000002"]
    assert told(first) == {"000000", "000001", "000002"}
    assert said(first) == "looked at 6 entries, the end of a round; 5 new files, 0 changed ones, 3 new shards"

    second = sensor.tick()
    assert (second.dynamic_partitions_requests, second.asset_events) == ([], [])
    assert said(second) == "looked at 6 entries, the end of a round; no new media"

    drop(tmp_path / "media", 9)
    third = sensor.tick()
    assert third.dynamic_partitions_requests == []
    assert told(third) == {"000002"}


def test_a_file_that_was_just_written_waits_until_it_has_settled(sensor: Sensor, tmp_path: Path) -> None:
    file = drop(tmp_path / "media", 1, age_s=0)
    waiting = sensor.tick()
    assert said(waiting).endswith("no new media; 1 files wait until they have settled")
    assert told(waiting) == set()
    os.utime(file, (time.time() - 60,) * 2)
    assert told(sensor.tick()) == {"000000"}


def test_a_place_that_refuses_is_named_in_the_tick_and_the_others_are_looked_at(sensor: Sensor, tmp_path: Path) -> None:
    drop(tmp_path / "media", 1)
    sensor.uris = [str(tmp_path / "unmounted"), *sensor.uris]
    result = sensor.tick()
    assert said(result).startswith(f"could not look at '{tmp_path}/unmounted' does not exist")
    assert told(result) == {"000000"}


def test_pages_follow_one_another_tick_by_tick(sensor: Sensor, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for number in range(250):
        file = tmp_path / "media" / f"{number:03d}.jpg"
        file.touch()
        os.utime(file, (time.time() - 60,) * 2)
    sensor.settings = sensor.settings.model_copy(update={"shard_max_files": 400})
    ends = [said(sensor.tick()).partition(";")[0] for _ in range(4)]
    assert ends == [
        "looked at 100 entries",
        "looked at 100 entries",
        "looked at 51 entries, the end of a round",
        "looked at 100 entries",
    ]
    assert Store.open(settings=sensor.settings).tables.shards("listings") == {"000000": 250}


def test_two_lists_that_contradict_each_other_are_both_heard_once(sensor: Sensor, tmp_path: Path) -> None:
    drop(tmp_path / "media", 1)
    for score, name in enumerate("ab"):
        (tmp_path / f"media/{name}.csv").write_text("file,score\n" + f"1.jpg,{score}\n" * 100)
        os.utime(tmp_path / f"media/{name}.csv", (time.time() - 3600,) * 2)
    sensor.uris = [str(tmp_path / f"media/{name}.csv") for name in "ab"]
    sensor.settings = sensor.settings.model_copy(update={"watch_page_files": 100})
    the_sensor = new_media_sensor(sensor.settings)
    store = Store.open(settings=sensor.settings)
    versions = []
    for _ in range(6):
        sensor.tick(the_sensor)
        versions.append(store.tables.version("listings"))
    assert versions[0] < versions[1] == versions[-1]


def test_what_somebody_else_writes_while_media_are_given_to_shards_makes_all_be_looked_at_again(
    sensor: Sensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(tmp_path / "media", 1)
    store = Store.open(settings=sensor.settings)
    taken: list[int] = []

    def assign_after_another(*arguments: Any, **options: Any) -> IngestReport:
        taken.append(len(arguments[1]))
        if len(taken) == 1:
            drop(tmp_path / "other", 2)
            FeatureStore(store).ingest([tmp_path / "other"])
        return assign(*arguments, **options)

    monkeypatch.setattr(sensors, "assign", assign_after_another)
    the_sensor = new_media_sensor(sensor.settings)
    for _ in range(3):
        sensor.tick(the_sensor)
    assert taken == [1, 1]


def test_shards_that_were_listed_by_hand_are_reported_also_where_nothing_is_watched(
    sensor: Sensor, tmp_path: Path
) -> None:
    sensor.uris = []
    drop(tmp_path / "media", 1)
    FeatureStore(Store.open(settings=sensor.settings)).ingest([tmp_path / "media"])
    result = sensor.tick()
    assert told(result) == {"000000"}
    assert said(result).startswith("no place is watched (MMFS_WATCH)")
    assert told(sensor.tick()) == set()


def test_dagster_is_told_of_many_shards_in_several_ticks_also_of_those_that_change_meanwhile(
    sensor: Sensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "_TOLD_AT_ONCE", 2)
    sensor.settings = sensor.settings.model_copy(update={"shard_max_files": 1})
    for number in range(5):
        drop(tmp_path / "media", number)
    assert told(sensor.tick()) == {"000000", "000001"}
    drop(tmp_path / "media", 0, age_s=1800)
    assert told(sensor.tick()) == {"000002", "000003"}
    assert told(sensor.tick()) == {"000004"}
    assert told(sensor.tick()) == {"000000"}
    assert told(sensor.tick()) == set()


@pytest.mark.parametrize("cursor", ["7", "{", '{"version": 999, "page": null}', '{"version": "x", "page": 1}', "[]"])
def test_an_old_or_garbled_cursor_tells_of_what_dagster_has_not_heard_and_of_nothing_twice(
    sensor: Sensor, tmp_path: Path, cursor: str
) -> None:
    drop(tmp_path / "media", 1)
    assert told(sensor.tick()) == {"000000"}
    sensor.cursor = cursor
    assert told(sensor.tick()) == set()


def test_the_sensor_is_on_only_where_places_are_watched() -> None:
    assert new_media_sensor(Settings()).default_status == dg.DefaultSensorStatus.STOPPED
    assert new_media_sensor(Settings(watch=("/media",))).default_status == dg.DefaultSensorStatus.RUNNING
