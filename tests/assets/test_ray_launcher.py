"""What becomes of a run's jobs of Ray when somebody ends the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import dagster as dg
from ray.job_submission import JobStatus

from mmfs_assets.execution.ray_launcher import SettingsRayRunLauncher


@dataclass
class _Jobs:
    """A job server of Ray that knows these jobs."""

    jobs: Sequence[Any]
    stopped: list[str] = field(default_factory=list)

    def list_jobs(self) -> Sequence[Any]:
        return self.jobs

    def stop_job(self, submission_id: str) -> bool:
        self.stopped.append(submission_id)
        return True


def _job(submission_id: str | None, run_id: str | None, status: JobStatus) -> Any:
    metadata = {"dagster/run-id": run_id} if run_id else None
    return SimpleNamespace(submission_id=submission_id, metadata=metadata, status=status)


def test_ending_a_run_ends_the_steps_that_are_jobs_of_their_own() -> None:
    launcher = SettingsRayRunLauncher(address="http://127.0.0.1:8265")
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(dg.GraphDefinition(name="empty").to_job(), status=dg.DagsterRunStatus.STARTED)
        client = _Jobs(
            [
                _job("dagster-step-works", run.run_id, JobStatus.RUNNING),
                _job("dagster-step-waits", run.run_id, JobStatus.PENDING),
                _job("dagster-step-ended", run.run_id, JobStatus.SUCCEEDED),
                _job("dagster-step-of-another", "another", JobStatus.RUNNING),
                _job(None, None, JobStatus.RUNNING),
            ]
        )
        launcher.__dict__["client"] = client
        launcher.register_instance(instance)
        assert launcher.terminate(run.run_id)
        ended = instance.get_run_by_id(run.run_id)
    assert client.stopped == [f"dagster-run-{run.run_id}", "dagster-step-works", "dagster-step-waits"]
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.CANCELING
