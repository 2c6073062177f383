"""One asset for each registered feature: those that ship and those of your own."""

import dagster as dg

from mmfs.errors import ModelError
from mmfs.features.code.reach import reached
from mmfs.features.feature import FeatureSpec
from mmfs.features.fingerprint import static_fingerprint
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.features.tablespec import table_of
from mmfs.features.versions import library_versions
from mmfs.schemas import TableSpec
from mmfs.settings import Settings
from mmfs_assets.assets.descriptions import described_feature
from mmfs_assets.assets.shard_asset import shard_asset
from mmfs_assets.assets.source_code import reached_metadata
from mmfs_assets.steps.leasing import leased
from mmfs_assets.steps.per_shard import Results, per_shard
from mmfs_assets.steps.progress import shard_progress
from mmfs_resources import GpuLeaseResource, ModelResource, StoreResource


def feature_assets(settings: Settings) -> list[dg.AssetsDefinition]:
    """An asset for every feature that ships or that ``MMFS_FEATURES`` names."""
    return [feature_asset(spec, settings) for spec in registered(settings).values()]


def feature_asset(spec: FeatureSpec, settings: Settings) -> dg.AssetsDefinition:
    """The asset that fills a feature's table."""
    inputs = sorted(spec.tables)
    code_version, table = _static_facts(spec, settings)

    @shard_asset(
        settings,
        name=spec.table,
        description=described_feature(spec.cls, table),
        source=spec.cls,
        metadata=reached_metadata(reached(spec.cls)),
        group="features",
        kinds={"pytorch", "delta"},
        code_version=code_version,
        reads=inputs,
        deps=inputs,
        table=table,
        pool="gpu" if spec.cls.needs_gpu else None,
    )
    def build(
        context: dg.AssetExecutionContext, store: StoreResource, models: ModelResource, gpu: GpuLeaseResource
    ) -> Results:
        opened = store.get()
        feature = models.feature(opened, spec.table)
        wanted = models.wanted_device(opened.settings) if spec.cls.needs_gpu else None
        with leased(context, gpu, wanted) as device:
            yield from per_shard(
                context,
                opened,
                lambda shard: run_feature(
                    opened, feature, shard, device=device.device, progress=shard_progress(context, shard)
                ),
                extra=lambda _: {
                    "libraries": dict(library_versions()),
                    **({"leased_device": device.name} if wanted else {}),
                },
            )

    return build


def _static_facts(spec: FeatureSpec, settings: Settings) -> tuple[str, TableSpec | None]:
    """Code version and table of a feature, without loading its model.

    A model that is neither here nor reachable must not keep the code location from loading: its asset then says so
    when it runs.
    """
    feature = instantiate(spec, settings)
    try:
        return static_fingerprint(feature)[:16], table_of(feature)
    except ModelError:
        return "model-not-found", None
