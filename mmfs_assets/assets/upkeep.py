"""What upkeep of the whole store is as an asset: figures that the UI plots, and a check that says what is wrong."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from mmfs.errors import MmfsError
from mmfs.store import Store
from mmfs.store.origin import committing_as
from mmfs_assets.assets.shard_asset import OWNERS
from mmfs_resources import StoreResource

GROUP = "operations"
Result = dg.MaterializeResult[Any] | dg.AssetCheckResult
#: Problems in the one line that lists of checks show, and in the metadata below it.
_SAID, _LISTED = 3, 100


@dataclass(frozen=True)
class Upkeep:
    """What came of it.

    Attributes:
        figures: Metadata; numbers are plotted over time.
        problems: What is wrong, one line each.
    """

    figures: Mapping[str, Any]
    problems: list[str]


def upkeep_asset(
    name: str,
    work: Callable[[Store, Any], Upkeep],
    *,
    description: str,
    check: str,
    holds: str,
    priority: int,
    config: type[dg.Config] | None = None,
) -> dg.AssetsDefinition:
    """An asset without inputs, so that one part that fails keeps no other from running.

    The run fails when the check does: a check alone turns red where somebody looks, a failed run tells its hooks.
    Work that found something wrong was done, and is a materialization; work that could not be done is none.

    Args:
        work: Does it, with the configuration.
        check: Name of the check.
        holds: What holds when it passes.
        priority: Of several that can run, that of the highest is first.
        config: Its configuration.
    """
    schema: Any = (config or dg.Config).to_config_schema()
    spec = dg.AssetCheckSpec(check, asset=dg.AssetKey(name), description=holds)

    @dg.asset(
        name=name,
        description=description,
        group_name=GROUP,
        kinds={"delta"},
        owners=OWNERS,
        code_version="1",
        check_specs=[spec],
        config_schema=schema,
        op_tags={"dagster/priority": str(priority)},
    )
    def run(context: dg.AssetExecutionContext, store: StoreResource) -> Iterator[Result]:
        given = (config or dg.Config)(**context.op_execution_context.op_config)
        try:
            with committing_as(context.run_id):
                done = work(store.get(), given)
        except MmfsError as error:
            # Nothing was done: without a materialization, the freshness of the last good one goes on to end.
            yield _result(check, [str(error)])
            raise dg.Failure(f"{name}: {error}", allow_retries=False) from error
        problems = done.problems
        yield dg.MaterializeResult(
            metadata={**done.figures, "problems": len(problems)},
            check_results=[_result(check, problems)],
        )
        if problems:
            raise dg.Failure(f"{name}: {_said(problems)}", allow_retries=False)

    return run


def _result(check: str, problems: list[str]) -> dg.AssetCheckResult:
    listed = (
        {"problems": dg.MetadataValue.md("\n".join(f"- {text}" for text in problems[:_LISTED]))} if problems else {}
    )
    return dg.AssetCheckResult(
        check_name=check,
        passed=not problems,
        description=_said(problems) or "holds",
        metadata={"count": len(problems), **listed},
    )


def _said(problems: list[str]) -> str:
    more = f"; and {len(problems) - _SAID} more" if len(problems) > _SAID else ""
    return "; ".join(problems[:_SAID]) + more
