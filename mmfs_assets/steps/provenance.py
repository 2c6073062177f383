"""Version tags of an event that an asset logs itself, as Dagster writes them on events of its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.events import DagsterEventType


@dataclass(frozen=True)
class Provenance:
    """What the inputs of a step were when it began.

    Attributes:
        context: Of the step.
        pointers: Number of the last event of each upstream asset: what comes later was not seen.
    """

    context: dg.AssetExecutionContext
    pointers: dict[dg.AssetKey, int]

    @classmethod
    def now(cls, context: dg.AssetExecutionContext) -> "Provenance":
        """As things stand."""
        deps = [dep.asset_key for dep in context.assets_def.get_asset_spec(context.asset_key).deps]
        found = context.instance.event_log_storage.get_latest_materialization_storage_ids(deps)
        return cls(context, {key: found[key] for key in deps if found.get(key) is not None})

    def pointer_tags(self) -> dict[str, str]:
        """Tags that say what was seen, for events that Dagster makes: it looks before the step begins."""
        return {get_input_event_pointer_tag(key): str(pointer) for key, pointer in self.pointers.items()}

    def tags(self, versions: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Tags of the events of shards. Without the versions of the inputs the UI would call the shards stale.

        Args:
            versions: Data version by shard.
        """
        spec = self.context.assets_def.get_asset_spec(self.context.asset_key)
        code = {CODE_VERSION_TAG: spec.code_version} if spec.code_version else {}
        seen_until = self.pointer_tags()
        tags = {
            shard: {DATA_VERSION_TAG: version, DATA_VERSION_IS_USER_PROVIDED_TAG: "true", **code, **seen_until}
            for shard, version in versions.items()
        }
        for key, pointer in self.pointers.items():
            seen = self.context.instance.event_log_storage.get_latest_tags_by_partition(
                key,
                DagsterEventType.ASSET_MATERIALIZATION,
                [DATA_VERSION_TAG],
                asset_partitions=list(versions),
                before_cursor=pointer + 1,
            )
            for shard, more in tags.items():
                version = seen.get(shard, {}).get(DATA_VERSION_TAG, DEFAULT_DATA_VERSION.value)
                more[get_input_data_version_tag(key)] = version
        return tags
