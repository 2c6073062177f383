"""Upkeep of the whole store, every night or by hand: compaction, vacuum, verification; and the job of all three."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from pydantic import Field

from mmfs.client import FeatureStore
from mmfs.store import Store
from mmfs_assets.assets.upkeep import Upkeep, upkeep_asset
from mmfs_assets.execution.waiting import in_process_executor

COMPACTION, VACUUM, VERIFICATION = "compaction", "vacuum", "verification"


class VacuumConfig(dg.Config):
    """How much history vacuum leaves."""

    keep_days: float = Field(7.0, ge=0, description="Days for which replaced files stay readable by version.")


class VerificationConfig(dg.Config):
    """How much verification reads."""

    deep: bool = Field(False, description="Also compare every byte with its checksum.")


def maintenance_assets() -> list[dg.AssetsDefinition]:
    """The assets. They depend on nothing and no automation runs them: what they do concerns all shards at once."""
    return [
        upkeep_asset(
            COMPACTION,
            _compact,
            description=(
                "Rewrites packs more than 30 % of whose bytes no row names any more, and many small ones into few, in "
                "every table with packs. Rows keep their content, so nothing becomes stale; pins keep their packs. "
                "By hand: `mmfs compact --dry-run`."
            ),
            check="packs_are_sound",
            holds="Every blob that was to be copied equals its checksum, and no pack that rows name is gone.",
            priority=3,
        ),
        upkeep_asset(
            VACUUM,
            _vacuum,
            description=(
                "Deletes what no pin and no version of the last days names, and what crashed writers left. Writes in "
                "progress keep their files. By hand: `mmfs vacuum`."
            ),
            check="nothing_keeps_vacuum_from_its_work",
            holds="Every pin and every kept file can be read: else nothing is deleted, as it might be needed.",
            priority=2,
            config=VacuumConfig,
        ),
        upkeep_asset(
            VERIFICATION,
            _verify,
            description=(
                "Compares tables with packs, pins and keys, and every point of the search index with its row. "
                "`deep` reads every byte. By hand: `mmfs verify`."
            ),
            check="store_is_sound",
            holds="Tables, packs, pins and search index agree.",
            priority=1,
            config=VerificationConfig,
        ),
    ]


def maintenance_job() -> UnresolvedAssetJobDefinition:
    """All of it, one part after the other in the process of the run. A part that fails stops no other."""
    return dg.define_asset_job(
        "maintenance",
        selection=[COMPACTION, VACUUM, VERIFICATION],
        description="Compact, vacuum and verify the whole store.",
        executor_def=in_process_executor,
    )


def _compact(store: Store, _: dg.Config) -> Upkeep:
    report = store.compact()
    figures = {
        "shards": report.shards,
        "shards_rewritten": len(report.rewritten),
        "shards_busy": len(report.busy),
        "packs_with_media_taken_down": sum(report.taken_down.values()),
        "packs": report.packs_after,
        "packs_before": report.packs,
        "pack_bytes": report.pack_bytes - report.replaced_bytes + report.copied_bytes,
        "dead_share_before": round(report.dead_share, 4),
        "bytes_copied": report.copied_bytes,
        "bytes_left_for_vacuum": report.replaced_bytes,
    }
    return Upkeep(figures, report.problems)


def _vacuum(store: Store, config: VacuumConfig) -> Upkeep:
    report = store.vacuum(keep_days=config.keep_days)
    figures = {
        "bytes_freed": report.bytes_freed,
        "data_files_deleted": report.data_files,
        "packs_deleted": report.packs,
        "leftovers_deleted": report.leftovers,
        "log_entries_deleted": report.log_entries,
        "pins_obeyed": len(report.pins),
    }
    return Upkeep(figures, [])


def _verify(store: Store, config: VerificationConfig) -> Upkeep:
    report = FeatureStore(store).verify(deep=config.deep, index=True)
    figures = {
        "tables": report.tables,
        "files": report.files,
        "rows": report.rows,
        "blobs": report.blobs,
        "pins": report.pins,
        "deep": report.deep,
        "summary": report.summary(),
    }
    return Upkeep(figures, report.problems)
