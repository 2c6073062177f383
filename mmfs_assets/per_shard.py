"""Work through the shards of a run, and say what became of them. The one place that knows how runs fail.

A run of one shard returns its result with the exact data version. A run of several returns one result, and Dagster
emits an event a shard, which cannot carry a data version each: they share the digest of all. If some shards fail, the
others are finished first; each finished one is logged with its own data version, and one failure names the bad ones.
What failed is taken up by the next run, which finds the finished shards fresh.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from mmfs.errors import MissingExtraError, ModelError, SettingsError
from mmfs.store import Store
from mmfs.store.origin import committing_as
from mmfs_assets.inputs import CONTENT, INPUTS, content_digest, inputs_digest
from mmfs_assets.metadata import outcome_metadata, table_metadata
from mmfs_assets.outcome import Outcome, Report, in_total
from mmfs_assets.provenance import version_tags
from mmfs_assets.shard_asset import READS

#: What would fail every other shard in the same way.
_HOPELESS = (ModelError, SettingsError, MissingExtraError)

Extra = Callable[[Sequence[str]], Mapping[str, Any]]


def per_shard(
    context: dg.AssetExecutionContext,
    store: Store,
    work: Callable[[str], Report],
    *,
    extra: Extra | None = None,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Do ``work`` for each shard of the run.

    Args:
        work: Brings one shard up to date.
        extra: More metadata, from the shards that were done.

    Raises:
        dagster.Failure: Some shards failed; it names them with their errors.
    """
    done: dict[str, Outcome] = {}
    failed: dict[str, str] = {}
    inputs: dict[str, str] = {}
    shards = list(context.partition_keys)
    for number, shard in enumerate(shards):
        # Before the work: what changes under it makes the shard stale again.
        inputs[shard] = inputs_digest(store, _reads(context), shard)
        try:
            with committing_as(context.run_id):
                done[shard] = Outcome.of(work(shard))
        except Exception as error:
            failed[shard] = f"{type(error).__name__}: {error}"
            context.log.error(f"shard {shard} failed", exc_info=True)
            if isinstance(error, _HOPELESS):
                failed |= dict.fromkeys(shards[number + 1 :], f"not tried after shard {shard} failed")
                break
    return conclude(context, store, done, inputs, failed=failed, extra=extra)


def all_shards(
    context: dg.AssetExecutionContext,
    store: Store,
    work: Callable[[Sequence[str]], Mapping[str, Outcome]],
    *,
    extra: Extra | None = None,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Do ``work`` once for all shards of the run: all of them succeed or fail together."""
    shards = list(context.partition_keys)
    inputs = {shard: inputs_digest(store, _reads(context), shard) for shard in shards}
    with committing_as(context.run_id):
        done = work(shards)
    return conclude(context, store, done, inputs, failed={}, extra=extra)


def conclude(
    context: dg.AssetExecutionContext,
    store: Store,
    done: Mapping[str, Outcome],
    inputs: Mapping[str, str],
    *,
    failed: Mapping[str, str],
    extra: Extra | None = None,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The run's result, or its failure. Never both a logged event and a result for one shard."""
    each = {shard: _shard_metadata(context, store, shard, outcome, inputs[shard]) for shard, outcome in done.items()}
    more = {**table_metadata(store, _name(context)), **(extra(list(done)) if extra and done else {})}
    if failed:
        for shard, metadata in each.items():
            tags = version_tags(context, shard, done[shard].digest)
            event = dg.AssetMaterialization(
                context.asset_key, partition=shard, metadata={**more, **metadata}, tags=tags
            )
            context.log_event(event)
        raise dg.Failure(
            f"{len(failed)} of {len(failed) + len(done)} shards of {_name(context)} failed: "
            + "; ".join(f"{shard} ({error})" for shard, error in failed.items()),
            metadata={"failed_shards": list(failed), "finished_shards": list(done)},
            allow_retries=False,
        )
    if len(done) == 1:
        [(shard, outcome)] = done.items()
        return dg.MaterializeResult(data_version=dg.DataVersion(outcome.digest), metadata={**more, **each[shard]})
    for shard, metadata in each.items():
        context.add_asset_metadata(metadata, partition_key=shard)
    total = in_total(list(done.values()))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(total.digest), metadata={**more, "run": outcome_metadata(total)}
    )


def _shard_metadata(
    context: dg.AssetExecutionContext, store: Store, shard: str, outcome: Outcome, inputs: str
) -> dict[str, Any]:
    return {
        **outcome_metadata(outcome),
        "dagster/partition_row_count": outcome.rows,
        INPUTS: inputs,
        CONTENT: content_digest(store, _name(context), shard),
    }


def _name(context: dg.AssetExecutionContext) -> str:
    return str(context.asset_key.to_user_string())


def _reads(context: dg.AssetExecutionContext) -> list[str]:
    return list(context.assets_def.get_asset_spec(context.asset_key).metadata[READS])
