"""Which checks each asset has. What they look for is written in ``mmfs/*/checks.py``."""

import dagster as dg

from mmfs.features.checks import odd_depth, odd_numbers, odd_vectors, unmatched_keys
from mmfs.features.feature import FeatureSpec
from mmfs.features.registry import instantiate, registered
from mmfs.ingest.checks import (
    captions_of_nothing,
    quarantine_above,
    unaccounted_files,
    unaccounted_pictures,
    unaccounted_sounds,
)
from mmfs.search.checks import index_differences
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_assets.qdrant_index import spaces
from mmfs_assets.shard_checks import ShardCheck, shard_checks


def checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """All checks of all assets. None blocks: what is wrong is shown, and the rest goes on."""
    indexed = spaces(settings)
    return [
        shard_checks(
            "raw_media",
            ShardCheck("every_file_is_accounted_for", unaccounted_files),
            ShardCheck("few_files_are_quarantined", quarantine_above, dg.AssetCheckSeverity.WARN),
        ),
        shard_checks("captions", ShardCheck("keys_agree", captions_of_nothing)),
        shard_checks("frames", ShardCheck("keys_agree", unaccounted_pictures)),
        shard_checks("audio_windows", ShardCheck("keys_agree", unaccounted_sounds)),
        *(shard_checks(spec.table, *feature_checks(spec)) for spec in registered(settings).values()),
        shard_checks(
            "qdrant_index",
            ShardCheck(
                "index_equals_table",
                lambda store, shard: [text for space in indexed for text in index_differences(store, space, shard)],
            ),
        ),
    ]


def feature_checks(spec: FeatureSpec) -> list[ShardCheck]:
    """Checks that every feature has, and those of its kind of output."""
    table = spec.table

    def matched(store: Store, shard: str) -> list[str]:
        return unmatched_keys(store, instantiate(spec, store.settings), shard)

    found = [
        ShardCheck("keys_agree", matched),
        ShardCheck("numbers_are_finite", lambda store, shard: odd_numbers(store, table, shard)),
        ShardCheck("vectors_are_sound", lambda store, shard: odd_vectors(store, table, shard, unit=spec.space)),
    ]
    if table == "depth_maps":
        found.append(ShardCheck("depth_is_finite", lambda store, shard: odd_depth(store, table, shard)))
    return found
