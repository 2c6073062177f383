"""Asset ``training_runs``: what training code elsewhere reports; the leaf of every table that a loader can read."""

import dagster as dg

from mmfs.features.registry import registered
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import OWNERS
from mmfs_assets.assets.table_schema import column_schema

NAME = "training_runs"


def training_runs(settings: Settings) -> dg.AssetSpec:
    """The asset. No run here makes it: loaders report to the webserver (`mmfs.loader.report_dagster`)."""
    table = BASE_TABLES[NAME]
    tables = [spec.name for spec in BASE_TABLES.values() if spec.grain]
    return dg.AssetSpec(
        NAME,
        deps=[*tables, *registered(settings)],
        group_name="training",
        kinds={"pytorch", "delta"},
        owners=OWNERS,
        description=described(NAME),
        metadata={"dagster/table_name": NAME, "dagster/column_schema": column_schema(table)},
    )
