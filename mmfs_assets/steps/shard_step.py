"""One asset over the shards of one run: what it found when it began, and what it tells Dagster in the end."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mmfs.ids import digest
from mmfs.store import Store
from mmfs_assets.assets.listings import NAME as LISTINGS
from mmfs_assets.assets.listings import report_listings
from mmfs_assets.assets.shard_asset import READS
from mmfs_assets.planning.last_events import LastEvent, last_events
from mmfs_assets.steps.code_guard import check_code
from mmfs_assets.steps.data_versions import DataVersions
from mmfs_assets.steps.inputs import CONTENT, INPUTS, STATE, Contents
from mmfs_assets.steps.left_out_checks import conclude_checks
from mmfs_assets.steps.metadata import outcome_metadata, rows_metadata, table_metadata
from mmfs_assets.steps.outcome import Outcome, in_total
from mmfs_assets.steps.provenance import Provenance

#: More metadata of a shard that was done.
Extra = Callable[[str], Mapping[str, Any]]
#: What an asset over shards yields.
Results = Iterator[dg.MaterializeResult]  # type: ignore[type-arg]


@dataclass(frozen=True)
class ShardStep:
    """A step as it began: what changes later was not seen by it, and makes its shards stale again.

    Attributes:
        inputs: By shard: digest of the rows that it is made from.
        state: By shard: digest of the names of the files that hold them.
        last: By shard: its last event.
    """

    context: dg.AssetExecutionContext
    store: Store
    asset: str
    shards: list[str]
    inputs: Mapping[str, str]
    state: Mapping[str, str]
    provenance: Provenance
    last: Mapping[str, LastEvent]

    @classmethod
    def begin(cls, context: dg.AssetExecutionContext, store: Store) -> "ShardStep":
        """Look at what is there.

        Raises:
            dagster.Failure: The run was planned with other code than this process has.
        """
        check_code(context)
        asset, shards = context.asset_key.to_user_string(), list(context.partition_keys)
        reads = list(context.assets_def.get_asset_spec(context.asset_key).metadata[READS])
        if LISTINGS in reads:  # else Dagster would hear of them later, and take the step for older than they are
            report_listings(context.instance, store, shards)
        now = Contents(store)
        now.load(reads, shards)
        return cls(
            context,
            store,
            asset,
            shards,
            inputs={shard: now.inputs(reads, shard) for shard in shards},
            state={shard: now.state(reads, shard) for shard in shards},
            provenance=Provenance.now(context),
            last=last_events(context.instance, asset, shards),
        )

    def conclude(self, done: Mapping[str, Outcome], failed: Mapping[str, str], extra: Extra | None) -> Results:
        """The run's result, or its failure. Never two events with different words for one shard."""
        with self.store.tables.one_moment():
            metadata = self._metadata(done, extra)
        found = {shard: (outcome.digest, metadata[shard][CONTENT]) for shard, outcome in done.items()}
        versions = DataVersions.of(found, self.last)
        if failed:
            self._log(versions.each, metadata)
            try:
                conclude_checks(self.context, self.store, done, failed)
            except Exception:  # what a check breaks on must not hide which shards failed, and why
                self.context.log.error("checks that are left out could not be concluded", exc_info=True)
            raise dg.Failure(
                f"{len(failed)} of {len(failed) + len(done)} shards of {self.asset} failed: "
                + "; ".join(f"{', '.join(shards)} ({error})" for error, shards in _by_error(failed).items()),
                metadata={"failed_shards": list(failed), "finished_shards": list(done)},
                allow_retries=False,
            )
        version, tags = dg.DataVersion(versions.common), self.provenance.pointer_tags()
        if len(done) == 1:
            yield dg.MaterializeResult(data_version=version, tags=tags, metadata=metadata[self.shards[0]])
            return
        run = outcome_metadata(in_total(list(done.values())))
        metadata = {shard: {**facts, "run": run} for shard, facts in metadata.items()}
        for shard, facts in metadata.items():
            self.context.add_asset_metadata(facts, partition_key=shard)
        yield dg.MaterializeResult(data_version=version, tags=tags)
        # After the events that Dagster has made of the result: the last event of a shard counts.
        self._log(versions.kept, metadata)

    def _metadata(self, done: Mapping[str, Outcome], extra: Extra | None) -> dict[str, dict[str, Any]]:
        after = Contents(self.store)
        after.load([self.asset], list(done))
        table = table_metadata(self.store, self.asset)
        # The columns are large and the same for all: one event of the run has them, since plans read an event a shard.
        columns = {name: table.pop(name) for name in ("dagster/column_schema",) if name in table}
        return {
            shard: {
                **outcome_metadata(outcome),
                "dagster/partition_row_count": outcome.rows,
                **rows_metadata(self.store, self.asset, shard),
                **(extra(shard) if extra else {}),
                **table,
                **(columns if shard == list(done)[-1] else {}),
                INPUTS: self.inputs[shard],
                CONTENT: after.content(self.asset, shard),
                STATE: digest(self.state[shard], after.state([self.asset], shard)),
            }
            for shard, outcome in done.items()
        }

    def _log(self, versions: Mapping[str, str], metadata: Mapping[str, Mapping[str, Any]]) -> None:
        for shard, tags in self.provenance.tags(versions).items() if versions else ():
            self.context.log_event(
                dg.AssetMaterialization(self.context.asset_key, partition=shard, metadata=metadata[shard], tags=tags)
            )


def _by_error(failed: Mapping[str, str]) -> dict[str, list[str]]:
    """The shards that each error has stopped."""
    found: dict[str, list[str]] = {}
    for shard, error in failed.items():
        found.setdefault(error, []).append(shard)
    return found
