"""What Dagster last heard of shards, for as many as there are in a few queries."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import islice

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG, DATA_VERSION_TAG
from dagster._core.events import DagsterEventType

from mmfs_assets.steps.inputs import CONTENT, INPUTS, STATE

#: Events that one query fetches; and shards up to which the event log is asked for them by name.
_AT_ONCE = 500


@dataclass(frozen=True)
class LastEvent:
    """The last materialization of one shard of one asset.

    Attributes:
        storage_id: Its number in the event log.
        code_version: The code that made it.
        data_version: What Dagster takes for the shard's version.
        inputs: Digest of what it was made from.
        content: Digest of what it left in the table.
        state: Digest of the names of the files that held both.
    """

    storage_id: int
    code_version: str | None
    data_version: str | None
    inputs: str | None
    content: str | None
    state: str | None


def last_events(instance: dg.DagsterInstance, asset: str, shards: Sequence[str]) -> dict[str, LastEvent]:
    """The last materializations of shards, whatever became of later runs."""
    ids = _ids(instance, asset, shards)
    return dict(_read(instance, asset, ids))


def remembered_events(instance: dg.DagsterInstance, asset: str, shards: Sequence[str]) -> dict[str, LastEvent]:
    """The same for all shards of a store, again and again.

    Events are large and never change, so what is needed of them is remembered in the instance: each is read once.
    """
    ids = _ids(instance, asset, shards)
    key = f"mmfs/last_events/{asset}"
    remembered = _unpacked(instance.daemon_cursor_storage.get_cursor_values({key}).get(key))
    found = {shard: event for shard, event in remembered.items() if ids.get(shard) == event.storage_id}
    new = dict(_read(instance, asset, {shard: id for shard, id in ids.items() if shard not in found}))
    if new:
        packed = json.dumps({shard: astuple(event) for shard, event in {**found, **new}.items()})
        instance.daemon_cursor_storage.set_cursor_values({key: packed})
    return {**found, **new}


def _ids(instance: dg.DagsterInstance, asset: str, shards: Sequence[str]) -> dict[str, int]:
    wanted = set(shards)
    found = instance.event_log_storage.get_latest_storage_id_by_partition(
        dg.AssetKey(asset),
        DagsterEventType.ASSET_MATERIALIZATION,
        partitions=wanted if len(wanted) <= _AT_ONCE else None,
    )
    return {shard: storage_id for shard, storage_id in found.items() if shard in wanted}


def _read(instance: dg.DagsterInstance, asset: str, ids: dict[str, int]) -> Iterator[tuple[str, LastEvent]]:
    left = iter(ids.values())
    while chunk := list(islice(left, _AT_ONCE)):
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), storage_ids=chunk)
        for record in instance.fetch_materializations(wanted, limit=len(chunk)).records:
            event = record.asset_materialization
            if event is not None and event.partition is not None:
                yield event.partition, _summary(record.storage_id, event)


def _summary(storage_id: int, event: dg.AssetMaterialization) -> LastEvent:
    tags = event.tags or {}
    texts = [str(event.metadata[key].value) if key in event.metadata else None for key in (INPUTS, CONTENT, STATE)]
    return LastEvent(storage_id, tags.get(CODE_VERSION_TAG), tags.get(DATA_VERSION_TAG), *texts)


def _unpacked(text: str | None) -> dict[str, LastEvent]:
    try:
        return {shard: LastEvent(*values) for shard, values in json.loads(text or "{}").items()}
    except (AttributeError, TypeError, ValueError):  # written by other code: read the events again
        return {}
