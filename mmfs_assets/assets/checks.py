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
from mmfs.store.problem import Problem
from mmfs_assets.assets.shard_checks import ShardCheck, shard_checks
from mmfs_assets.assets.spaces import spaces

_AGAIN = "The check looks at them again in the next run."


def checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """All checks of all assets. None blocks: what is wrong is shown, and the rest goes on."""
    return [shard_checks(asset, *found) for asset, found in checks_of(settings).items()]


def checks_of(settings: Settings) -> dict[str, list[ShardCheck]]:
    """The checks of each asset over shards."""
    indexed = spaces(settings)
    return {
        "raw_media": [
            ShardCheck(
                "every_file_is_accounted_for",
                "Every listed file is the source of a media, or in quarantine with a reason.",
                f"materialize `raw_media` for these shards again. {_AGAIN}",
                unaccounted_files,
            ),
            ShardCheck(
                "few_files_are_quarantined",
                "The share of listed files that could not be read or decoded is below `MMFS_QUARANTINE_SHARE`, "
                f"now {settings.quarantine_share:.0%}. Rows of whole files are right; this warns.",
                '`mmfs sql "SELECT reason, uri, message FROM quarantine"` says why. Replace the files and ingest '
                "again, or raise `MMFS_QUARANTINE_SHARE`. `mmfs retry` has what ran out of time or memory tried again.",
                quarantine_above,
                dg.AssetCheckSeverity.WARN,
            ),
        ],
        "captions": [
            ShardCheck(
                "keys_agree",
                "Every caption is of a media that is there.",
                f"materialize `captions` for these shards again. {_AGAIN}",
                captions_of_nothing,
            ),
        ],
        "frames": [
            ShardCheck(
                "keys_agree",
                "Every picture and video has frames or a row in quarantine, and every frame a media.",
                f"materialize `frames` for these shards again. {_AGAIN}",
                unaccounted_pictures,
            ),
        ],
        "audio_windows": [
            ShardCheck(
                "keys_agree",
                "Every media with sound has windows or a row in quarantine, and every window a media.",
                f"materialize `audio_windows` for these shards again. {_AGAIN}",
                unaccounted_sounds,
            ),
        ],
        **{spec.table: feature_checks(spec) for spec in registered(settings).values()},
        "qdrant_index": [
            ShardCheck(
                "index_equals_table",
                "The published index of every search space holds the rows of its table, each in today's state.",
                f"materialize `qdrant_index` for these shards again; until then, searches answer as before. {_AGAIN}",
                lambda store, shard: [one for space in indexed for one in index_differences(store, space, shard)],
            ),
        ],
    }


def feature_checks(spec: FeatureSpec) -> list[ShardCheck]:
    """Checks that every feature has, and those of its kind of output."""
    table = spec.table

    def matched(store: Store, shard: str) -> list[Problem]:
        return unmatched_keys(store, instantiate(spec, store.settings), shard)

    odd = (
        "look at the first ones with `mmfs show KEY`. Rows are computed again when the feature's code, model or "
        f"inputs change: `mmfs plan {table} --why`."
    )
    found = [
        ShardCheck(
            "keys_agree",
            f"Every row of {' and '.join(f'`{name}`' for name in spec.tables)} has a row here or in quarantine, and "
            "every row here has its input.",
            f"materialize `{table}` for these shards: only what is missing is computed. {_AGAIN}",
            matched,
        ),
        ShardCheck(
            "numbers_are_finite",
            "No number is infinite or not a number.",
            odd,
            lambda store, shard: odd_numbers(store, table, shard),
        ),
        ShardCheck(
            "vectors_are_sound",
            "Vectors are finite" + (", and of length 1, as search compares them." if spec.space else "."),
            odd,
            lambda store, shard: odd_vectors(store, table, shard, unit=spec.space),
        ),
    ]
    if table == "depth_maps":
        found.append(
            ShardCheck(
                "depth_is_finite",
                "Some depth maps of each shard are read from their packs and decoded; all depth is finite and between "
                "`depth_min` and `depth_max` of its row.",
                f"for damaged packs `mmfs verify --drop-damaged`, then materialize `{table}`; for odd values {odd}",
                lambda store, shard: odd_depth(store, table, shard),
            )
        )
    return found
