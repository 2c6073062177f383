"""The device of a step, leased for as long as the step works."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg

from mmfs.errors import SettingsError
from mmfs_resources import GpuLeaseResource
from mmfs_resources.devices import NO_DEVICE, Leased


@contextmanager
def leased(context: dg.AssetExecutionContext, gpu: GpuLeaseResource, wanted: str | None) -> Iterator[Leased]:
    """Hold a device; who waits for what is said in the run's log.

    Args:
        wanted: As in the setting ``device``; None for a step that needs none, whatever there is.

    Raises:
        dagster.Failure: There is no such device, so that no shard of the run can be computed.
    """
    if wanted is None:
        yield NO_DEVICE
        return
    holder = f"run {context.run_id}, {context.asset_key.to_user_string()}"
    with ExitStack() as held:
        try:
            device = held.enter_context(gpu.lease(wanted, holder=holder, say=context.log.info))
        except SettingsError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        yield device
