"""Steps of model assets go to other machines; the others work beside their run, where starting them costs little."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.executor.base import Executor
from dagster._core.executor.init import InitExecutorContext
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)

from mmfs_assets.execution.step_processes import StepProcesses

#: Tags by which a step says that it wants more than the run has.
ELSEWHERE = frozenset({"dagster-ray/config", "dagster-k8s/config"})


class MixedStepHandler(StepHandler):
    """Two ways for steps, chosen by their tags.

    Args:
        elsewhere: Takes the steps that have one of the tags `ELSEWHERE`.
        at_once: Most other steps that work at one time.
    """

    def __init__(self, elsewhere: StepHandler, at_once: int) -> None:
        super().__init__()
        self._elsewhere = elsewhere
        self._beside = StepProcesses(at_once)

    @property
    def name(self) -> str:
        return "MixedStepHandler"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        if _is_elsewhere(step_handler_context):
            yield from self._elsewhere.launch_step(step_handler_context)
            return
        step, context = _step(step_handler_context), step_handler_context
        yield DagsterEvent.step_worker_starting(
            context.get_step_context(step), message=f'Executing step "{step}" beside its run.', metadata={}
        )
        told = {variable["name"]: variable["value"] for variable in context.execute_step_args.get_command_env()}
        self._beside.start(step, {**told, "DAGSTER_RUN_STEP_KEY": step})

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        if _is_elsewhere(step_handler_context):
            return self._elsewhere.check_step_health(step_handler_context)
        problem = self._beside.problem(_step(step_handler_context))
        return CheckStepHealthResult.unhealthy(problem) if problem else CheckStepHealthResult.healthy()

    def terminate_step(self, step_handler_context: StepHandlerContext) -> Iterator[DagsterEvent]:
        if _is_elsewhere(step_handler_context):
            yield from self._elsewhere.terminate_step(step_handler_context)
        else:
            self._beside.stop(_step(step_handler_context))


def mixed(remote: dg.ExecutorDefinition, *, at_once: int) -> dg.ExecutorDefinition:
    """An executor that takes the place of ``remote``, with the same configuration.

    Args:
        remote: Sends each step to another machine.
        at_once: Most steps that work beside the run.
    """

    def create(init_context: InitExecutorContext) -> Executor:
        assert remote.executor_creation_fn is not None
        executor = remote.executor_creation_fn(init_context)
        assert isinstance(executor, StepDelegatingExecutor)
        executor._step_handler = MixedStepHandler(executor._step_handler, at_once)
        # A run that is resumed begins steps anew that had begun, and they find what was finished fresh. If they were
        # verified, they would see their own beginning in the log and end without a word, and their run would never end.
        executor._should_verify_step = False
        return executor

    return dg.ExecutorDefinition(
        name=remote.name,
        config_schema=remote.config_schema,  # type: ignore[arg-type]
        requirements=remote._requirements_fn,
        executor_creation_fn=create,
        description=remote.description,
    )


def _step(context: StepHandlerContext) -> str:
    keys = context.execute_step_args.step_keys_to_execute
    assert keys is not None
    [step] = keys
    return step


def _is_elsewhere(context: StepHandlerContext) -> bool:
    return bool(ELSEWHERE & set(context.step_tags[_step(context)]))
