"""A store and a Dagster history of many shards, without computing them: one shard is, and the others are made like it.

The first shard is ingested and materialized by real runs. Its data files are copied for every other shard and committed
in one commit a table, only listings get rows of their own; its events are copied with the shard's name and digests, in
one transaction an asset. So every table, partition, run and asset event is there, as large as runs would have left it;
what is not there are packs, and the logs inside the runs.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._serdes import deserialize_value
from deltalake import CommitProperties
from deltalake.transaction import AddAction, Transaction
from sqlalchemy import func, select

from mmfs.ids import digest, shard_name
from mmfs.store import Store
from mmfs.store.commit import _stats
from mmfs.store.data_file import data_path
from mmfs.store.delta import app_id
from mmfs.store.digest import content_digest
from mmfs.store.parquet import parquet_bytes, read_footer
from mmfs.store.rows import canonical_rows
from mmfs_assets.assets.shard_asset import READS
from mmfs_assets.definitions import definitions_for
from mmfs_assets.execution.instance_file import write_instance_file
from mmfs_assets.planning.materialize import materialize
from mmfs_assets.steps.inputs import CONTENT, INPUTS, STATE, Contents
from tests.many_shards import ManyShards

LISTINGS = "listings"
#: What differs between copies of an event, besides metadata and tags.
RUN, SHARD = "run", "shard"


@dataclass(frozen=True)
class Registered:
    """What was made.

    Attributes:
        world: Its store and home.
        watched: A folder with the media of the first shards.
        shards: All of them.
        assets: Names of the assets over shards, upstream first.
    """

    world: ManyShards
    watched: Path
    shards: list[str]
    assets: list[str]


def register(world: ManyShards, shards: int, *, watched_shards: int) -> Registered:
    """Make it.

    Args:
        world: Not made yet; of one shard.
        watched_shards: Shards whose media are there as files.
    """
    world.make()
    world.home.mkdir()
    settings, store = world.settings(), world.store
    write_instance_file(world.home, settings)
    with world.instance() as instance:
        graph = definitions_for(settings).resolve_asset_graph()
        order = [key.to_user_string() for key in graph.toposorted_asset_keys]
        assets = [name for name in order if name != LISTINGS and graph.get(dg.AssetKey(name)).is_partitioned]
        failures = materialize(settings, instance, assets=assets).failures
        assert not failures, failures
        names = [shard_name(number) for number in range(shards)]
        watched = world.root / "watched"
        link_media(world.root / "media", watched, names[1 : watched_shards + 1])
        for name in store.tables.names():
            copy_shard(store, name, names, watched)
        instance.add_dynamic_partitions("shard", names[1:])
        store = world.store
        contents = Contents(store)
        copy_listing_events(instance, store, names)
        for asset in assets:
            reads = graph.get(dg.AssetKey(asset)).metadata[READS]
            facts = facts_of(store, contents, asset, reads, names)
            copy_events(instance, asset, facts, shards_per_run=settings.shards_in_run)
    return Registered(world, watched, names, assets)


def link_media(media: Path, watched: Path, shards: Sequence[str]) -> None:
    """The first shard's files, under other names for each shard."""
    watched.mkdir()
    for shard in shards:
        for file in sorted(media.iterdir()):
            os.link(file, watched / f"{shard}-{file.name}")


def copy_shard(store: Store, name: str, shards: Sequence[str], watched: Path) -> None:
    """Commit the first shard's data file under the other shards, in one commit."""
    files = store.tables.files(name, shard=shards[0])
    if not files:
        return
    data = store.objects.get(files[0].path)
    known, info = read_footer(store.objects, files[0])
    spec = store.tables.spec(name)
    first = store.tables.read(name, shard=shards[0]).drop_columns("shard")
    rows, actions = first, []
    for shard in shards[1:]:
        if name == LISTINGS:
            uris = [str(watched / f"{shard}-{Path(uri).name}") for uri in first.column("uri").to_pylist()]
            rows = first.set_column(first.schema.get_field_index("uri"), first.schema.field("uri"), pa.array(uris))
            rows = canonical_rows(spec, rows)
            known = content_digest(rows)
            data = bytes(parquet_bytes(spec, rows, digest=known, info=info))
        path = data_path(name, shard, known, sha256(data).hexdigest(), 0)
        place = store.objects.local_path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)  # without the store's fsync
        stats = json.dumps(_stats(spec, rows))
        relative = path.removeprefix(f"{name}/")
        actions.append(AddAction(relative, len(data), {"shard": shard}, time.time_ns() // 1_000_000, True, stats))
    handle = store.tables.log.open(name)
    handle.create_write_transaction(
        actions,
        mode="append",
        schema=handle.schema(),
        partition_by=["shard"],
        commit_properties=CommitProperties(
            app_transactions=[Transaction(app_id(name, shard), 0) for shard in shards[1:]]
        ),
    )
    handle.create_checkpoint()


def facts_of(
    store: Store, contents: Contents, asset: str, reads: Sequence[str], shards: Sequence[str]
) -> Iterator[tuple[str, dict[str, str]]]:
    """By shard: the metadata that differ between shards."""
    same = {table: contents.content(table, shards[0]) for table in {*reads, asset} - {LISTINGS}}
    listed = store.tables.digests(LISTINGS, shards) if LISTINGS in reads else {}
    for shard in shards[1:]:
        held = {**same, LISTINGS: listed.get(shard, "")}
        yield (
            shard,
            {
                INPUTS: digest(*(f"{table}={held[table]}" for table in sorted(reads))),
                CONTENT: same[asset],
                STATE: digest(contents.state(reads, shard), contents.state([asset], shard)),
            },
        )


def copy_events(
    instance: dg.DagsterInstance, asset: str, facts: Iterator[tuple[str, dict[str, str]]], *, shards_per_run: int
) -> None:
    """Planned and materialized, for every shard; runs of so many shards."""
    key = dg.AssetKey(asset)
    (record,) = instance.fetch_materializations(key, limit=1).records
    made = record.event_log_entry
    run = instance.get_run_by_id(made.run_id)
    assert run is not None
    assert made.dagster_event is not None
    copies: list[dict[str, str]] = []
    each = list(facts)
    for start in range(0, len(each), shards_per_run):
        run_id, some = str(uuid.uuid4()), each[start : start + shards_per_run]
        tags = {"dagster/asset_partition_range_start": some[0][0], "dagster/asset_partition_range_end": some[-1][0]}
        instance.run_storage.add_run(run._replace(run_id=run_id, tags={**run.tags, **tags}))
        copies += [{RUN: run_id, SHARD: shard, **own} for shard, own in some]
    planned = AssetMaterializationPlannedData(key, partition=_blank(SHARD), partitions_subset=None)
    event = made.dagster_event._replace(
        event_type_value="ASSET_MATERIALIZATION_PLANNED", event_specific_data=planned, message=None
    )
    store_copies(instance, made._replace(run_id=_blank(RUN), dagster_event=event), copies)
    store_copies(instance, template(made, metadata=(INPUTS, CONTENT, STATE)), copies)


def copy_listing_events(instance: dg.DagsterInstance, store: Store, shards: Sequence[str]) -> None:
    """What listings reported, for every shard."""
    digests = store.tables.digests(LISTINGS, shards)
    for found in (
        instance.fetch_observations(dg.AssetKey(LISTINGS), limit=1).records,
        instance.fetch_materializations(dg.AssetKey(LISTINGS), limit=1).records,
    ):
        made = found[0].event_log_entry
        copies = [{RUN: made.run_id, SHARD: shard, DATA_VERSION_TAG: digests[shard]} for shard in shards[1:]]
        store_copies(instance, template(made, tags=(DATA_VERSION_TAG,)), copies)


def template(made: EventLogEntry, *, metadata: Sequence[str] = (), tags: Sequence[str] = ()) -> EventLogEntry:
    """The event with blanks in place of what differs between copies: run, shard, and these metadata and tags."""
    event = made.dagster_event
    assert event is not None
    data: Any = event.event_specific_data
    field = "materialization" if isinstance(data, StepMaterializationData) else "asset_observation"
    old = getattr(data, field)
    new = old._replace(
        partition=_blank(SHARD),
        metadata={**old.metadata, **{name: dg.MetadataValue.text(_blank(name)) for name in metadata}},
        tags={**(old.tags or {}), **{name: _blank(name) for name in tags}},
    )
    return made._replace(
        run_id=_blank(RUN), dagster_event=event._replace(event_specific_data=data._replace(**{field: new}))
    )


def store_copies(instance: dg.DagsterInstance, made: EventLogEntry, copies: Sequence[Mapping[str, str]]) -> None:
    """Many events of one asset in one transaction, into the tables that events are stored in one by one.

    Args:
        made: A template.
        copies: What each has in the blanks, by their names.
    """
    storage: Any = instance.event_log_storage
    row, tags = storage._event_to_row(made), storage._tags_for_asset_event(made)

    def filled(text: str, copy: Mapping[str, str]) -> str:
        for name, value in copy.items():
            text = text.replace(_blank(name), value)
        return text

    with storage.index_transaction() as connection:
        before = connection.execute(select(func.max(SqlEventLogStorageTable.c.id))).scalar() or 0
        rows = [
            {**row, "event": filled(row["event"], copy), "run_id": copy[RUN], "partition": copy[SHARD]}
            for copy in copies
        ]
        connection.execute(SqlEventLogStorageTable.insert(), rows)
        tagged = [
            {
                "event_id": before + number,
                "asset_key": row["asset_key"],
                "key": key,
                "value": filled(value, copy),
                "event_timestamp": row["timestamp"],
            }
            for number, copy in enumerate(copies, start=1)
            for key, value in tags.items()
        ]
        if tagged:
            connection.execute(AssetEventTagsTable.insert(), tagged)
        last = deserialize_value(rows[-1]["event"], EventLogEntry)
        storage._store_asset_event(connection, last, before + len(rows))


def _blank(name: str) -> str:
    return f"@@{name}@@"
