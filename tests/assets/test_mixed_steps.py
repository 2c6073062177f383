"""A run whose process died is taken over: the steps that worked beside it begin anew, and the run ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
from dagster._cli.api import execute_step_command
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.execution.api import create_execution_plan, execute_run_iterator
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.init import InitExecutorContext
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)

from mmfs_assets.execution import mixed_steps
from mmfs_assets.execution.mixed_steps import mixed


class _Nowhere(StepHandler):
    """Sends steps to other machines, of which there are none."""

    @property
    def name(self) -> str:
        return "Nowhere"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        raise NotImplementedError

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        raise NotImplementedError

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        raise NotImplementedError


class _InThisProcess:
    """Works through a step when it is begun, as the process of a step does."""

    def __init__(self, at_once: int) -> None:
        self.begun: list[str] = []

    def start(self, step: str, environment: Mapping[str, str]) -> None:
        self.begun.append(step)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            execute_step_command.main([], standalone_mode=False)

    def problem(self, step: str) -> str | None:
        return "it ended without an event" if step in self.begun else "it was begun by a process that is gone"


@dg.executor(name="nowhere")
def nowhere(init_context: InitExecutorContext) -> Executor:
    """As those of dagster-ray and dagster-k8s: they verify steps."""
    return StepDelegatingExecutor(
        _Nowhere(),
        RetryMode.DISABLED,
        sleep_seconds=0.01,
        check_step_health_interval_seconds=0,
        should_verify_step=True,
    )


@dg.op
def frames() -> None: ...


@dg.job(executor_def=mixed(nowhere, at_once=1))
def chain() -> None:
    frames()


def test_a_resumed_run_begins_the_steps_beside_it_again_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_steps, "StepProcesses", _InThisProcess)
    job = ReconstructableRepository.for_file(__file__, "chain").get_reconstructable_job("chain")
    plan = create_execution_plan(job)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.create_run_for_job(
            job.get_definition(),
            execution_plan=plan,
            status=dg.DagsterRunStatus.STARTED,
            job_code_origin=job.get_python_origin(),
        )
        began = DagsterEvent(DagsterEventType.STEP_START.value, "chain", step_key="frames")
        instance.report_dagster_event(began, run.run_id)
        for _ in execute_run_iterator(job, run, instance, resume_from_failure=True):
            pass
        ended = instance.get_run_by_id(run.run_id)
        said = [entry.user_message for entry in instance.all_logs(run.run_id)]
    assert ended is not None
    assert ended.status == dg.DagsterRunStatus.SUCCESS, said
