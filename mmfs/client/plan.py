"""The plan of a whole store: what ingest and all features would do, in the order in which they run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from mmfs.errors import FeatureError, IntegrityError, StoreError
from mmfs.features.code.reach import reached
from mmfs.features.device_name import planned_device
from mmfs.features.feature import FeatureSpec
from mmfs.features.history import break_even_epochs, forecast
from mmfs.features.inputs import Predicted
from mmfs.features.plan import Plan, above, in_order, plan_features
from mmfs.features.read_back import read_back_s
from mmfs.features.registry import instantiate, registered
from mmfs.features.versions import library_versions
from mmfs.ingest.outlook import STEPS, Outlook, StepOutlook
from mmfs.schemas import GRAIN_TABLES
from mmfs.store import Store
from mmfs.store.costs import Cost, costs, processor_name
from mmfs.store.standing import Reads


def plan_store(store: Store, assets: Collection[str] | None = None, *, with_break_even: bool = True) -> dict[str, Plan]:
    """What bringing these assets up to date would do, upstream first.

    Args:
        assets: Tables that will be brought up to date; the others stay as they are. Default: all that ingest and the
            registered features fill.
        with_break_even: Whether to find out from how many epochs on keeping values pays; it reads some of them back.
    """
    specs = registered(store.settings)
    chosen = set(assets if assets is not None else (*STEPS, *specs))
    return _plans(store, specs, chosen, chosen, with_break_even=with_break_even)


def plan_one(store: Store, table: str) -> Plan:
    """What bringing one table up to date would do, with everything that it is computed from.

    Raises:
        FeatureError: There is no such table to bring up to date.
    """
    specs = registered(store.settings)
    if table not in specs and table not in STEPS:
        raise FeatureError(f"there is no feature {table!r}", mend="features: " + ", ".join((*STEPS, *specs)))
    chain = above([table], specs)
    read = {name for one in chain for name in (*specs[one].tables, GRAIN_TABLES[specs[one].grain])}
    running = {table, "raw_media", *read.intersection(STEPS), *chain}
    return _plans(store, specs, running, {table}, with_break_even=True)[table]


def reached_code(store: Store, table: str) -> tuple[str, ...]:
    """The code that a feature's rows depend on, as ``module:name``; none for tables of media."""
    specs = registered(store.settings)
    return reached(specs[table].cls) if table in specs else ()


def _plans(
    store: Store,
    specs: Mapping[str, FeatureSpec],
    running: Collection[str],
    wanted: Collection[str],
    *,
    with_break_even: bool,
) -> dict[str, Plan]:
    """Plans of the wanted tables, given the tables that will be brought up to date."""
    features = [instantiate(spec, store.settings) for spec in in_order(specs.values()) if spec.table in running]
    shards = _shards(store, ["listings", *STEPS, *(table for table in specs if table in running)])
    outlook = Outlook(store, [step for step in STEPS if step in running])
    steps: dict[str, list[StepOutlook]] = defaultdict(list)
    # Rows of a shard that nothing was listed for were put there by hand, and ingest leaves them alone.
    listed = set(store.tables.shards("listings"))

    def base(shard: str) -> Predicted:
        found = outlook.of(shard) if shard in listed else {}
        for name, step in found.items():
            steps[name].append(step)
        return {name: step.rows for name, step in found.items()}

    computed = plan_features(store, features, shards, base)
    chosen = [name for name in STEPS if name in wanted and name in running]
    media = [_measured(store, _media_plan(name, steps[name]), processor_name()) for name in chosen]
    model_device = planned_device(store.settings.device)
    rest: list[Plan] = []
    for name in (name for name in computed if name in wanted):
        device = model_device if specs[name].cls.needs_gpu else processor_name()
        plan = _measured(store, computed[name], device)
        rest.append(_compared(store, plan) if with_break_even else plan)
    return {plan.table: plan for plan in (*media, *rest)}


def _media_plan(table: str, steps: Sequence[StepOutlook]) -> Plan:
    shards = tuple(step.status for step in steps if step.status.rows or step.status.gone)
    return Plan(table, shards, reads=sum((step.reads for step in steps), Reads()))


def _measured(store: Store, plan: Plan, device: str) -> Plan:
    """The plan with what earlier runs cost."""
    known = costs(store, plan.table)
    libraries = _libraries(known)
    today = library_versions()
    return replace(
        plan,
        forecast=forecast(known, plan.shards, device),
        libraries=libraries,
        changed_libraries={
            name: today[name]
            for name, versions in libraries.items()
            if name in today and {today[name]} != set(versions)
        },
    )


def _compared(store: Store, plan: Plan) -> Plan:
    """The plan with the epochs from which on keeping values pays; some of them are read back for it."""
    if plan.forecast is None:
        return plan
    try:
        read_s = read_back_s(store, plan.table)
    except (IntegrityError, StoreError) as error:
        return replace(plan, problem=f"values cannot be read back: {error}")
    return plan if read_s is None else replace(plan, break_even_epochs=break_even_epochs(plan.forecast.rates, read_s))


def _libraries(known: Iterable[Cost]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for cost in known:
        for name, version in cost.libraries.items():
            found[name] |= set(version.split("/"))
    return {name: tuple(sorted(versions)) for name, versions in sorted(found.items())}


def _shards(store: Store, tables: Iterable[str]) -> list[str]:
    known = set(store.tables.names())
    return sorted({shard for table in tables if table in known for shard in store.tables.shards(table)})
