"""The nightly job materializes what is missing, then verifies."""

from __future__ import annotations

import dagster as dg

from mmfs_assets.schedules import nightly, nightly_schedule
from mmfs_resources import StoreResource
from tests.assets.conftest import World

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _night(world: World) -> dg.ExecuteInProcessResult:
    with world.instance() as instance:
        return nightly.execute_in_process(
            instance=instance,
            resources={"store": StoreResource.of(world.settings)},
            run_config=_QUIET,
            raise_on_error=False,
        )


def test_the_schedule_asks_for_one_run_a_night() -> None:
    request = nightly_schedule.evaluate_tick(dg.build_schedule_context()).run_requests
    assert request is not None
    assert len(request) == 1
    assert nightly_schedule.cron_schedule == "0 3 * * *"


def test_a_night_mends_what_is_missing(done: World) -> None:
    done.store.tables.update("captions", "000000", lambda rows: rows.slice(0, 1))
    assert _night(done).success
    assert done.store.tables.shards("captions")["000000"] == 2
    assert done.materialize().runs == []


def test_a_night_on_a_store_that_lost_bytes_fails_and_names_them(done: World) -> None:
    pack = done.store.tables.read("frames", columns=["pack"], shard="000001")["pack"][0].as_py()
    done.store.objects.delete(pack)
    result = _night(done)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert pack in str(failure.step_failure_data.user_failure_data)
