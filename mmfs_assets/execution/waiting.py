"""Steps in the process of their run, that sleep while they wait for their pool.

Dagster's own executor asks for the slot again and again without a pause (1.13: the time to the next claim that it
computes is never above zero), so that each waiting run keeps a processor busy, and does not get what was freed before
up to 15 seconds are over.
"""

import os
import time
from collections.abc import Iterator

import dagster as dg
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.execute_plan import inner_plan_execution_iterator
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.executor.base import Executor
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.executor.init import InitExecutorContext

#: Seconds from one claim to the next: as long as a device may stand idle between two runs.
CLAIM_EVERY_S = 1.0


class PatientClaims(InstanceConcurrencyContext):
    """Claims of slots of pools, at even intervals."""

    def claim(self, concurrency_key: str, step_key: str, step_priority: int = 0) -> bool:
        claimed = super().claim(concurrency_key, step_key, step_priority)
        latest = time.time() + CLAIM_EVERY_S
        if self._pending_timeouts.get(step_key, 0.0) > latest:
            self._pending_timeouts[step_key] = latest
        return claimed

    def interval_to_next_pending_claim_check(self) -> float:
        waiting = [self._pending_timeouts[step] for step in self._pending_claims if step in self._pending_timeouts]
        return max(0.0, min(waiting) - time.time()) if waiting else 0.0


class PatientInProcessExecutor(InProcessExecutor):
    """Dagster's executor, with other claims."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        process = EngineEventData.in_process(os.getpid(), execution_plan.step_keys_to_execute)
        yield DagsterEvent.engine_event(plan_context, f"Executing steps in process (pid: {os.getpid()})", process)
        manager = PlanExecutionContextManager(
            job=plan_context.job,
            retry_mode=plan_context.retry_mode,
            execution_plan=plan_context.execution_plan,
            run_config=plan_context.run_config,
            dagster_run=plan_context.dagster_run,
            instance=plan_context.instance,
            raise_on_error=plan_context.raise_on_error,
            output_capture=plan_context.output_capture,
            step_dependency_config=self.step_dependency_config,
        )
        yield from iter(ExecuteRunWithPlanIterable(plan_context.execution_plan, _steps, manager))
        yield DagsterEvent.engine_event(plan_context, f"Finished steps in process (pid: {os.getpid()})", process)


def _create(init_context: InitExecutorContext) -> Executor:
    assert dg.in_process_executor.executor_creation_fn is not None
    made = dg.in_process_executor.executor_creation_fn(init_context)
    assert isinstance(made, InProcessExecutor)
    return PatientInProcessExecutor(made.retries, made.step_dependency_config, made.marker_to_close)


def _steps(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
    with PatientClaims(job_context.instance, job_context.dagster_run) as claims:
        yield from inner_plan_execution_iterator(job_context, execution_plan, claims)


#: In the place of Dagster's, and with its configuration.
in_process_executor = dg.ExecutorDefinition(
    name=dg.in_process_executor.name,
    config_schema=dg.in_process_executor.config_schema,  # type: ignore[arg-type]
    requirements=dg.in_process_executor._requirements_fn,
    executor_creation_fn=_create,
    description=dg.in_process_executor.description,
)
