"""Asset ``demo_training_run``: pin what is materialized, train a few steps from the pin; the end of the lineage."""

import dagster as dg
from pydantic import Field

from mmfs.errors import NoSampleError
from mmfs.features.registry import registered
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.assets.demo_head import COLUMNS, train
from mmfs_assets.assets.shard_asset import OWNERS
from mmfs_assets.assets.source_code import source_metadata
from mmfs_resources import StoreResource, TrainingLoaderResource

PIN_PREFIX = "demo"


class DemoTrainingConfig(dg.Config):
    """How long the demo trains."""

    steps: int = Field(8, ge=1, description="Optimizer steps.")


def demo_training_run(settings: Settings) -> list[dg.AssetsDefinition]:
    """The asset, where the features that it trains on are registered."""
    tables = sorted({column.partition(".")[0] for column in COLUMNS})
    if not {"clip_embeddings", "depth_maps"} <= registered(settings).keys():
        return []

    @dg.asset(
        name="demo_training_run",
        description=(
            "A small head trained for a few steps on pinned frames, vectors, depth and captions.\n\n"
            "Pins what is materialized under a name of its own, so that what was trained on never changes, loads the "
            "pin and trains. It shows the way from the store to a training run; real ones run elsewhere and report to "
            "`training_runs`.\n\n**Next:** `mmfs pins` shows what was fixed, `mmfs runs` what was read."
        ),
        group_name="training",
        kinds={"pytorch"},
        owners=OWNERS,
        code_version="1",
        deps=tables,
        metadata=source_metadata(train),
    )
    def build(
        context: dg.AssetExecutionContext,
        config: DemoTrainingConfig,
        store: StoreResource,
        training: TrainingLoaderResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]
        opened = store.get()
        try:
            pin = training.pin(opened, PIN_PREFIX, COLUMNS)
        except NoSampleError:
            # A store of clips without captions, say: nothing is wrong, and there is nothing to do until that changes.
            name = training.pin_name(opened, PIN_PREFIX, COLUMNS)
            told = f"no sample has all of {', '.join(COLUMNS)}"
            return dg.MaterializeResult(
                data_version=dg.DataVersion(name), metadata={"state": told, "pin": name, "samples": 0, "steps": 0}
            )
        loader = training.load(opened, pin, run=f"demo-{context.run_id[:8]}")
        result = train(loader, steps=config.steps)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(pin.id),
            metadata={
                "pin": pin.name,
                "pin_id": pin.id,
                "samples": pin.samples,
                "steps": len(result.losses),
                "first_loss": round(result.losses[0], 4),
                "last_loss": round(result.losses[-1], 4),
                "samples_per_s": round(result.samples_per_s, 1),
                "versions": {table: pinned.version for table, pinned in pin.tables.items()},
            },
        )

    return [build]


def is_current(instance: dg.DagsterInstance, store: Store) -> bool:
    """Whether the last training run saw what is materialized now."""
    event = instance.get_latest_materialization_event(dg.AssetKey("demo_training_run"))
    known = event.asset_materialization if event else None
    pin = known.metadata.get("pin") if known else None
    return pin is not None and pin.value == TrainingLoaderResource().pin_name(store, PIN_PREFIX, COLUMNS)
