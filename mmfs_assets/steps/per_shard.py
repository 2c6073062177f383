"""Work through the shards of a run, and say what became of them. The one place that knows how runs fail.

A run of one shard yields its result with the exact data version. A run of several yields one result, from which Dagster
makes an event a shard, all with one data version: the digest of all. Shards whose content is what it was keep their
version, if need be by an event of their own that follows, so that nothing downstream of them turns stale.

If some shards fail, the others are finished first; each finished one is logged with its own data version, and one
failure names the bad ones. What failed is taken up by the next run, which finds the finished shards fresh.
"""

from collections.abc import Callable, Mapping, Sequence

import dagster as dg

from mmfs.errors import CodeChangedError, MissingExtraError, ModelError, SettingsError
from mmfs.store import Store
from mmfs.store.origin import committing_as
from mmfs_assets.steps.outcome import Outcome, Report
from mmfs_assets.steps.shard_step import Extra, Results, ShardStep

__all__ = ["Extra", "Results", "all_shards", "per_shard"]

#: What would fail every other shard in the same way.
_HOPELESS = (ModelError, SettingsError, MissingExtraError, CodeChangedError)


def per_shard(
    context: dg.AssetExecutionContext,
    store: Store,
    work: Callable[[str], Report],
    *,
    extra: Extra | None = None,
) -> Results:
    """Do ``work`` for each shard of the run.

    Args:
        work: Brings one shard up to date.
        extra: More metadata of a shard that was done.

    Raises:
        dagster.Failure: Some shards failed; it names them with their errors.
    """
    step = ShardStep.begin(context, store)
    done: dict[str, Outcome] = {}
    failed: dict[str, str] = {}
    for number, shard in enumerate(step.shards):
        try:
            with committing_as(context.run_id):
                done[shard] = Outcome.of(work(shard))
        except Exception as error:
            failed[shard] = f"{type(error).__name__}: {error}"
            context.log.error(f"shard {shard} failed", exc_info=True)
            if isinstance(error, _HOPELESS):
                failed |= dict.fromkeys(step.shards[number + 1 :], f"not tried after shard {shard} failed")
                break
    yield from step.conclude(done, failed, extra)


def all_shards(
    context: dg.AssetExecutionContext,
    store: Store,
    work: Callable[[Sequence[str]], Mapping[str, Outcome]],
    *,
    extra: Extra | None = None,
) -> Results:
    """Do ``work`` once for all shards of the run: all of them succeed or fail together."""
    step = ShardStep.begin(context, store)
    with committing_as(context.run_id):
        done = work(step.shards)
    yield from step.conclude(done, {}, extra)
