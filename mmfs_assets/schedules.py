"""Every night: materialize what is missing or stale, then verify the store."""

import dagster as dg

from mmfs.client import FeatureStore
from mmfs_resources import StoreResource


@dg.op
def materialize_then_verify(context: dg.OpExecutionContext, store: StoreResource) -> None:
    """Bring every asset up to date in runs of their own, then compare tables, packs and index."""
    from mmfs_assets.materialize import materialize  # which imports the definitions, of which this is a part

    opened = store.get()
    done = materialize(opened.settings, context.instance)
    context.log.info(f"{len(done.runs)} runs, {len(done.failures)} of them failed")
    problems = [text for texts in done.failures.values() for text in texts]
    report = FeatureStore(opened).verify()
    if not report.ok:
        problems.append(str(report))
    if problems:
        raise dg.Failure("; ".join(problems), metadata={"runs": done.runs}, allow_retries=False)


@dg.job(description="Materialize what is missing or stale, then verify the store.")
def nightly() -> None:
    """One step, so that verification follows whatever came of the runs."""
    materialize_then_verify()


nightly_schedule = dg.ScheduleDefinition(
    name="nightly", job=nightly, cron_schedule="0 3 * * *", execution_timezone="UTC"
)
