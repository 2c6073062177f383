"""What Dagster last heard of shards, in as many queries for many shards as for few."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from mmfs_assets.planning.last_events import last_events, remembered_events
from mmfs_assets.steps.inputs import CONTENT, INPUTS, STATE
from tests.assets.conftest import World

ASSET = "frames"


@contextmanager
def _statements() -> Iterator[list[str]]:
    """SQL that is executed within the block."""
    found: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with World(tmp_path, tmp_path).instance() as found:
        yield found


def _report(instance: dg.DagsterInstance, shard: str, version: str) -> None:
    metadata = {INPUTS: f"inputs {version}", CONTENT: f"content {version}", STATE: f"state {version}", "rows": 3}
    tags = {"dagster/data_version": version, "dagster/code_version": "1"}
    instance.report_runless_asset_event(dg.AssetMaterialization(ASSET, partition=shard, metadata=metadata, tags=tags))


def test_the_last_event_of_each_shard_counts_and_what_was_remembered_is_read_once(
    instance: dg.DagsterInstance,
) -> None:
    shards = [f"{number:06d}" for number in range(30)]
    for shard in shards:
        _report(instance, shard, "1")
    with _statements() as first:
        found = remembered_events(instance, ASSET, shards)
    assert found == last_events(instance, ASSET, shards)
    assert found["000007"].data_version == "1"
    assert (found["000007"].inputs, found["000007"].content, found["000007"].state) == (
        "inputs 1",
        "content 1",
        "state 1",
    )

    with _statements() as again:
        assert remembered_events(instance, ASSET, shards) == found
    with _statements() as few:
        assert set(remembered_events(instance, ASSET, shards[:2])) == {"000000", "000001"}
    assert len(again) == len(few) < len(first) < 30
    assert not [statement for statement in again if "event_logs.event" in statement], "events are read again"

    _report(instance, "000007", "2")
    assert remembered_events(instance, ASSET, shards) == last_events(instance, ASSET, shards)
    assert remembered_events(instance, ASSET, shards)["000007"].content == "content 2"
    instance.wipe_assets([dg.AssetKey(ASSET)])
    assert remembered_events(instance, ASSET, shards) == {}


def test_what_cannot_be_understood_is_read_again(instance: dg.DagsterInstance) -> None:
    _report(instance, "000000", "1")
    for garbage in ("no json", '{"000000": [1, 2]}', "[]"):
        instance.daemon_cursor_storage.set_cursor_values({f"mmfs/last_events/{ASSET}": garbage})
        assert remembered_events(instance, ASSET, ["000000"])["000000"].content == "content 1"
