"""What bringing features up to date would do: exact counts down the whole chain, before anything is computed.

A row's fingerprint follows from its inputs' fingerprints, so the rows that a feature will have are known before they
are computed; whatever reads them is compared with those. Two things cannot be foreseen: rows that will fail, and the
frames of videos that nobody has decoded yet, which are estimated and counted as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmfs.errors import FeatureError, ModelError
from mmfs.features.feature import Feature, FeatureSpec
from mmfs.features.history import Forecast
from mmfs.features.inputs import Predicted
from mmfs.features.status import Work, compare
from mmfs.features.tablespec import table_of
from mmfs.schemas import GRAIN_TABLES
from mmfs.store.standing import PredictedRows, Reads, ShardStatus

if TYPE_CHECKING:
    from mmfs.store import Store

#: Rows of the tables of media in a shard, as they will be.
Base = Callable[[str], Predicted]


@dataclass(frozen=True)
class Plan:
    """What a run would do to one table; counts as in `ShardStatus`, summed over shards.

    Attributes:
        shards: Every shard that has inputs or rows.
        forecast: What it would cost; None where nothing was measured yet.
        break_even_epochs: From how many epochs on keeping the values is quicker than computing them in every epoch;
            infinite where reading a value costs more than computing it; None where that was not measured.
        libraries: Versions of the libraries that computed the rows there are.
        changed_libraries: Those of which this process has another version: name -> that version. No cause of
            staleness.
        reads: What has to be read from original files first.
        problem: Why nothing can be said about the table, or not all of it.
    """

    table: str
    shards: tuple[ShardStatus, ...]
    forecast: Forecast | None = None
    break_even_epochs: float | None = None
    libraries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changed_libraries: Mapping[str, str] = field(default_factory=dict)
    reads: Reads | None = None
    problem: str | None = None

    @property
    def rows(self) -> int:
        """Rows that the table can have."""
        return sum(shard.rows for shard in self.shards)

    @property
    def fresh(self) -> int:
        """Rows whose fingerprint is today's."""
        return sum(shard.fresh for shard in self.shards)

    @property
    def stale(self) -> int:
        """Rows computed by other code, weights, parameters or inputs."""
        return sum(shard.stale for shard in self.shards)

    @property
    def missing(self) -> int:
        """Rows never computed."""
        return sum(shard.missing for shard in self.shards)

    @property
    def failed(self) -> int:
        """Rows in quarantine under today's fingerprint."""
        return sum(shard.failed for shard in self.shards)

    @property
    def gone(self) -> int:
        """Rows that have no input row any more."""
        return sum(shard.gone for shard in self.shards)

    @property
    def to_compute(self) -> int:
        """Rows that runs over all shards would compute."""
        return sum(shard.to_compute for shard in self.shards)

    @property
    def estimated(self) -> int:
        """How many of the rows to compute are a guess."""
        return sum(shard.estimated for shard in self.shards)

    @property
    def causes(self) -> dict[str, int]:
        """Rows that are not fresh, by cause."""
        total: Counter[str] = Counter()
        for shard in self.shards:
            total.update(shard.causes)
        return dict(total)


def in_order(specs: Iterable[FeatureSpec]) -> list[FeatureSpec]:
    """Features so that each comes after those it reads, else as they came.

    Raises:
        FeatureError: Some read one another in a circle.
    """
    known = {spec.table: spec for spec in specs}
    graph = {table: [name for name in spec.tables if name in known] for table, spec in known.items()}
    try:
        return [known[table] for table in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise FeatureError(
            f"features read one another in a circle: {circle}", mend="let one of them read something else"
        ) from error


def above(wanted: Iterable[str], specs: Mapping[str, FeatureSpec]) -> set[str]:
    """These features and all features that they are computed from."""
    found: set[str] = set()
    waiting = [name for name in wanted if name in specs]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [table for table in specs[name].tables if table in specs]
    return found


def plan_features(
    store: Store, features: Sequence[Feature], shards: Iterable[str], base: Base = lambda shard: {}
) -> dict[str, Plan]:
    """What runs of these features over these shards would compute, one feature after the other. Loads no model.

    Args:
        features: Each after those it reads. Features that they read and that are not among them stay as they are.
        shards: Shards to look at.
        base: For a shard, the rows of tables of media that will be others by then.
    """
    found: dict[str, list[ShardStatus]] = {feature.spec.table: [] for feature in features}
    problems: dict[str, str] = {}
    for shard in shards:
        predicted = dict(base(shard))
        for feature in features:
            table = feature.spec.table
            if table in problems or not _has_inputs(store, feature, predicted, problems):
                continue
            try:
                work = compare(store, feature, shard, predicted=predicted)
                status, predicted[table] = _foreseen(work, feature, predicted)
            except (FeatureError, ModelError) as error:
                problems[table] = str(error)
            else:
                if status.rows or status.gone:
                    found[table].append(status)
    return {
        table: Plan(table, () if table in problems else tuple(statuses), problem=problems.get(table))
        for table, statuses in found.items()
    }


def plan(store: Store, feature: Feature) -> Plan:
    """What runs of one feature would compute from its inputs as they are now. Loads no model, predicts no cost.

    While another feature that it reads was never computed, it has no inputs and the plan no shards.
    """
    known = {*feature.spec.tables, GRAIN_TABLES[feature.spec.grain], feature.spec.table} & set(store.tables.names())
    shards = sorted({shard for table in known for shard in store.tables.shards(table)})
    return plan_features(store, [feature], shards)[feature.spec.table]


def _has_inputs(store: Store, feature: Feature, predicted: Predicted, problems: dict[str, str]) -> bool:
    """Whether all inputs exist or will; an input about which nothing can be said is a problem, too."""
    for table in feature.spec.tables:
        if table in problems:
            problems[feature.spec.table] = f"it reads {table}, about which nothing can be said"
            return False
    return set(feature.spec.tables) <= {*store.tables.names(), *predicted}


def _foreseen(work: Work, feature: Feature, predicted: Predicted) -> tuple[ShardStatus, PredictedRows]:
    """The status with its guesses counted, and the rows that a run leaves in the shard."""
    sources = {*feature.spec.tables, GRAIN_TABLES[feature.spec.grain]}
    guessed = frozenset().union(*(predicted[name].estimated for name in sources if name in predicted))
    keys = work.upstream.keys
    status = work.status
    if guessed:
        among = pc.is_in(keys.column("media_id"), pa.array(guessed, pa.string()))
        estimated = int(np.asarray(among.to_numpy(zero_copy_only=False), bool)[work.todo].sum())
        status = replace(status, estimated=estimated)
    rows = keys.append_column("fingerprint", work.fingerprints)
    kept = np.delete(np.arange(len(work.upstream)), work.failed)
    return status, PredictedRows(table_of(feature), rows.take(pa.array(kept)), guessed)
