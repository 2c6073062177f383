"""Asset ``duplicates``: near duplicates among all frames of the store, with the frame of each group that is kept."""

import dagster as dg

from mmfs.curation.duplicates_table import (
    CODE_VERSION,
    READS,
    SPACE,
    TABLE,
    duplicates_differences,
    is_fresh,
    update_duplicates,
)
from mmfs.errors import MmfsError
from mmfs.schemas import BASE_TABLES
from mmfs.store import Store
from mmfs.store.origin import committing_as
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import OWNERS
from mmfs_assets.assets.shard_asset import READS as READS_KEY
from mmfs_assets.assets.source_code import source_metadata
from mmfs_assets.assets.table_schema import column_schema
from mmfs_assets.steps.metadata import outcome_metadata, table_metadata
from mmfs_assets.steps.outcome import Outcome
from mmfs_resources import StoreResource


def duplicates() -> dg.AssetsDefinition:
    """The asset. It has no partitions: a new frame may join a group in any shard, so all are looked at together."""

    @dg.asset(
        name=TABLE,
        description=described(TABLE),
        group_name="curation",
        kinds={"python", "delta"},
        owners=OWNERS,
        code_version=CODE_VERSION,
        deps=[SPACE, "frame_quality"],
        metadata={
            READS_KEY: list(READS),
            "dagster/table_name": TABLE,
            "dagster/column_schema": column_schema(BASE_TABLES[TABLE]),
            **source_metadata(update_duplicates),
        },
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        opened = store.get()
        try:
            with committing_as(context.run_id):
                report = update_duplicates(opened)
        except MmfsError as error:
            raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error
        return dg.MaterializeResult(
            data_version=dg.DataVersion(report.digest),
            metadata={
                **table_metadata(opened, TABLE),
                **outcome_metadata(Outcome.of(report)),
                "groups": report.groups,
                "dropped": report.dropped,
                "fingerprint": report.fingerprint,
            },
        )

    return build


def duplicates_check() -> dg.AssetChecksDefinition:
    """The check: one answer in all shards, and something kept of every group."""

    @dg.asset_check(
        asset=TABLE, name="groups_are_sound", description="One answer in all shards, something kept of every group."
    )
    def run_check(store: StoreResource) -> dg.AssetCheckResult:
        problems = duplicates_differences(store.get())
        return dg.AssetCheckResult(passed=not problems, description="; ".join(problems) or "holds")

    return run_check


def is_current(instance: dg.DagsterInstance, store: Store) -> bool:
    """Whether the last materialization left what is there, and it is what would be computed now."""
    event = instance.get_latest_materialization_event(dg.AssetKey(TABLE))
    known = event.asset_materialization if event else None
    version = (known.tags or {}).get("dagster/data_version") if known else None
    return version == store.tables.digest(TABLE) and is_fresh(store)
