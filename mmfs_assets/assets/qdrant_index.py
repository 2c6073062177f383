"""Asset ``qdrant_index``: every search space, brought up to date with its tables, checked and published."""

from collections.abc import Mapping, Sequence

import dagster as dg

from mmfs.schemas import BASE_TABLES
from mmfs.search.build import build_index
from mmfs.search.figures import index_figures
from mmfs.settings import Settings
from mmfs_assets.assets.descriptions import described
from mmfs_assets.assets.shard_asset import shard_asset
from mmfs_assets.assets.spaces import read_tables, spaces
from mmfs_assets.steps.outcome import Outcome
from mmfs_assets.steps.per_shard import Results, all_shards
from mmfs_resources import QdrantResource, StoreResource


def qdrant_index(settings: Settings) -> dg.AssetsDefinition:
    """The asset that makes embeddings searchable. A run builds once for all of its shards."""

    @shard_asset(
        settings,
        name="qdrant_index",
        description=described("qdrant_index"),
        source=build_index,
        group="search",
        kinds={"qdrant"},
        code_version="1",
        reads=read_tables(settings),
        deps=read_tables(settings),
        table=BASE_TABLES["qdrant_index"],
        pool="index",
    )
    def build(context: dg.AssetExecutionContext, store: StoreResource, qdrant: QdrantResource) -> Results:
        opened = store.get()
        engine = qdrant.engine(opened)

        def publish(shards: Sequence[str]) -> Mapping[str, Outcome]:
            computed = [space for space in spaces(opened.settings) if space in opened.tables]
            built = [build_index(opened, space, shards, engine=engine) for space in computed]
            return {shard: Outcome.of(*(reports[shard] for reports in built if shard in reports)) for shard in shards}

        yield from all_shards(context, opened, publish, extra=lambda shard: index_figures(opened, shard))

    return build
