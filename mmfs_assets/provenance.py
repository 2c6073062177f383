"""Version tags of an event that an asset logs itself, as Dagster writes them on events of its own."""

import dagster as dg


def version_tags(context: dg.AssetExecutionContext, shard: str, data_version: str) -> dict[str, str]:
    """Data version, code version and the versions of the inputs: without the last the UI would call the shard stale.

    Args:
        data_version: Content digest of the shard.
    """
    spec = context.assets_def.get_asset_spec(context.asset_key)
    tags = {"dagster/data_version": data_version}
    if spec.code_version:
        tags["dagster/code_version"] = spec.code_version
    for dep in spec.deps:
        upstream = dg.AssetRecordsFilter(asset_key=dep.asset_key, asset_partitions=[shard])
        for record in context.instance.fetch_materializations(upstream, limit=1).records:
            name = dep.asset_key.to_user_string()
            event = record.asset_materialization
            version = (event.tags or {}).get("dagster/data_version") if event else None
            tags[f"dagster/input_data_version/{name}"] = version or "INITIAL"
            tags[f"dagster/input_event_pointer/{name}"] = str(record.storage_id)
    return tags
