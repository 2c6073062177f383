"""A wall clock that jumps by an hour: what Dagster's daemon then does with the schedules and the sensor."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from mmfs.codecs import encode_jpeg
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.automation import sensors
from tests.features.tiny import picture

QUIET = logging.getLogger("tests.clock")
QUIET.setLevel(logging.CRITICAL)


@dataclass
class Daemon:
    """Iterations of the scheduler and of the sensors, at whatever time the clock shows."""

    process: WorkspaceProcessContext
    variables: pytest.MonkeyPatch
    media: Path
    times: dict[str, Any] = field(default_factory=dict)

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.process.instance

    def at(self, clock: datetime) -> None:
        self.variables.setattr(sensors.time, "time_ns", lambda: int(clock.timestamp() * 1e9))
        with freeze_time(clock):
            list(launch_scheduled_runs(self.process, QUIET, clock, self.times))
            list(execute_sensor_iteration(self.process, QUIET, None, None))

    def drop(self, number: int, clock: datetime) -> None:
        """Write a file, as a program does whose clock is this one."""
        file = self.media / f"{number}.jpg"
        file.write_bytes(encode_jpeg(picture(number)))
        os.utime(file, (clock.timestamp(),) * 2)

    def asked(self) -> list[tuple[str, str]]:
        """The runs that schedules asked for: whose and for when."""
        states = self.instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        ticks = [tick for one in states for tick in self.instance.get_ticks(one.instigator_origin_id, one.selector_id)]
        runs = {run_id for tick in ticks for run_id in tick.run_ids}
        assert runs == {run.run_id for run in self.instance.get_runs()}
        assert len(runs) == len(ticks)
        return sorted(
            (tick.instigator_name, f"{datetime.fromtimestamp(tick.timestamp, UTC):%d %H:%M}") for tick in ticks
        )


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    media = tmp_path / "media"
    media.mkdir()
    monkeypatch.setenv("MMFS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MMFS_WATCH", str(media))
    Store.open(settings=Settings())
    module = LoadableTargetOrigin(executable_path=sys.executable, module_name="mmfs_assets.definitions")
    location = InProcessCodeLocationOrigin(module, location_name="mmfs")
    # Runs are put into the queue, and nobody takes them out.
    overrides = {
        "telemetry": {"enabled": False},
        "run_coordinator": {"module": "dagster.core.run_coordinator", "class": "QueuedRunCoordinator"},
    }
    with (
        dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path), overrides=overrides)) as instance,
        WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(location)) as process,
    ):
        yield Daemon(process, monkeypatch, media)


@pytest.mark.cluster
def test_a_clock_that_jumps_by_an_hour_either_way_skips_and_doubles_nothing(daemon: Daemon) -> None:
    midnight = datetime(2026, 1, 1, tzinfo=UTC)

    def clock(hours: float, minutes: float = 0) -> datetime:
        return midnight + timedelta(hours=hours, minutes=minutes)

    daemon.at(clock(0, 40))
    daemon.drop(1, clock(0, 41))
    daemon.at(clock(0, 50))
    daemon.drop(2, clock(0, 51))
    daemon.at(clock(2, 2))  # ahead, past the hour of `nightly`
    daemon.drop(3, clock(1, 2))
    daemon.at(clock(1, 5))  # back, and the hour comes again
    daemon.at(clock(2, 0))
    daemon.at(clock(2, 10))
    daemon.at(clock(4, 1))
    daemon.drop(4, clock(4, 2))
    daemon.at(clock(3, 1))  # back, just after `maintenance` began; the file comes from the future
    daemon.at(clock(3, 30))
    daemon.at(clock(4, 2))
    daemon.at(clock(4, 10))
    daemon.at(clock(25, 1))
    daemon.at(clock(28, 1))
    assert daemon.asked() == [
        ("maintenance", "01 04:00"),
        ("maintenance", "02 04:00"),
        ("nightly", "01 01:00"),
        ("nightly", "02 01:00"),
    ]
    listed = Store.open(settings=Settings()).tables.read("listings", columns=["uri"]).column("uri").to_pylist()
    assert [Path(uri).name for uri in sorted(listed)] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    told = daemon.instance.fetch_materializations(dg.AssetKey("listings"), limit=10).records
    assert {record.partition_key for record in told} == {"000000"}
    assert daemon.instance.get_dynamic_partitions("shard") == ["000000"]
