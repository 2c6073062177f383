"""A worker with other code than whoever planned its run: noticed before anything is computed.

The code version of each asset is a tag of its op, so that it stands in the snapshot of the job that the run was created
from. A worker that was deployed later, or not yet, has another one of its own.
"""

import dagster as dg

#: Code versions by op, of the snapshot that this process looked at last: all steps of a run share one.
_last: dict[str, dict[str, str]] = {}
#: Tag of ops.
CODE_TAG = "mmfs/code_version"


def code_tags(code_version: str) -> dict[str, str]:
    """Tags of the op of an asset."""
    return {CODE_TAG: code_version}


def check_code(context: dg.AssetExecutionContext) -> None:
    """Compare this process's code with that of the run's plan.

    Raises:
        dagster.Failure: They differ.
    """
    op, snapshot_id = context.op_execution_context.op_def, context.run.job_snapshot_id
    ours = op.tags.get(CODE_TAG)
    if snapshot_id is None or ours is None:
        return
    planned = _planned(context.instance, snapshot_id).get(op.name, ours)
    if planned != ours:
        raise dg.Failure(
            f"this worker runs other code of {op.name} ({ours}) than the one that planned the run ({planned}): "
            "deploy the same code and settings to both, restart the older one, and run again",
            metadata={"code_of_worker": ours, "code_of_plan": planned},
            allow_retries=False,
        )


def _planned(instance: dg.DagsterInstance, snapshot_id: str) -> dict[str, str]:
    if snapshot_id not in _last:
        snapshot = instance.get_job_snapshot(snapshot_id)
        ops = snapshot.node_defs_snapshot.op_def_snaps
        _last.clear()
        _last[snapshot_id] = {op.name: op.tags[CODE_TAG] for op in ops if CODE_TAG in op.tags}
    return _last[snapshot_id]
