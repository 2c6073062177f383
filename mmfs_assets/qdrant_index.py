"""Asset ``qdrant_index``: every search space, brought up to date with its tables, checked and published."""

from collections.abc import Mapping, Sequence

import dagster as dg

from mmfs.features.registry import registered
from mmfs.schemas import BASE_TABLES
from mmfs.search.build import build_index
from mmfs.settings import Settings
from mmfs_assets.outcome import Outcome
from mmfs_assets.per_shard import all_shards
from mmfs_assets.shard_asset import shard_asset
from mmfs_resources import QdrantResource, StoreResource


def spaces(settings: Settings) -> list[str]:
    """The embedding tables that can be searched."""
    return [spec.table for spec in registered(settings).values() if spec.space]


def qdrant_index(settings: Settings) -> dg.AssetsDefinition:
    """The asset that makes embeddings searchable. A run builds once for all of its shards."""

    @shard_asset(
        settings,
        name="qdrant_index",
        description=BASE_TABLES["qdrant_index"].description,
        group="search",
        kinds={"qdrant"},
        code_version="1",
        reads=[*spaces(settings), "raw_media", "frames"],
        deps=spaces(settings),
        table=BASE_TABLES["qdrant_index"],
        pool="index",
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource, qdrant: QdrantResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        opened = store.get()
        engine = qdrant.engine(opened)

        def publish(shards: Sequence[str]) -> Mapping[str, Outcome]:
            built = [build_index(opened, space, shards, engine=engine) for space in spaces(opened.settings)]
            return {shard: Outcome.of(*(reports[shard] for reports in built if shard in reports)) for shard in shards}

        return all_shards(context, opened, publish)

    return build
