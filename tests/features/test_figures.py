"""A shard in a few numbers: exact, finite, and from small columns alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfs.features.feature import Blob, Feature, Scalar, Vector, feature
from mmfs.features.figures import shard_figures
from mmfs.features.tablespec import table_of
from mmfs.store import Store
from tests.conftest import add_media
from tests.features.tiny import SHARD, media_id


@feature(table="figured", grain="frame", inputs=["frames.image"])
class Figured(Feature):
    """Rows to look at."""

    outputs = {
        "vector": Vector(4),
        "size": Scalar("float32"),
        "is_odd": Scalar("bool"),
        "hash": Scalar("int64"),
        "count": Scalar("int32"),
        "map": Blob("array16"),
    }


def _fill(store: Store, vectors: list[list[float]], sizes: list[float | None]) -> None:
    rows = len(vectors)
    store.tables.ensure(table_of(Figured()))
    made = pa.table(
        {
            "media_id": [media_id(number) for number in range(rows)],
            "frame_index": [0] * rows,
            "vector": pa.array([np.array(v, np.float16) for v in vectors], pa.list_(pa.float16(), 4)),
            "size": pa.array(sizes, pa.float32()),
            "is_odd": [number % 2 == 1 for number in range(rows)],
            "hash": pa.array([2**60 + number for number in range(rows)], pa.int64()),
            "count": pa.array(range(rows), pa.int32()),
            "pack": ["packs/none.tar"] * rows,
            "offset": [0] * rows,
            "length": [100] * rows,
            "crc32": [0] * rows,
            "fingerprint": ["f"] * rows,
        }
    )
    store.tables.update("figured", SHARD, lambda _: made)


def test_every_column_of_a_feature_of_your_own_is_drawn_but_hashes_and_places(store: Store) -> None:
    _fill(store, [[1, 0, 0, 0], [0, 1, 0, 0]], [1.0, 2.0])
    assert shard_figures(store, "figured", SHARD) == {
        "vector_spread": pytest.approx(1 - 2**-0.5, abs=1e-3),
        "vector_nearest": 0.0,
        "mean_size": 1.5,
        "share_is_odd": 0.5,
        "mean_count": 0.5,
        "mean_map_bytes": 100.0,
    }


def test_vectors_that_are_all_the_same_have_no_spread(store: Store) -> None:
    _fill(store, [[0.5, 0.5, 0.5, 0.5]] * 3, [None] * 3)
    found = shard_figures(store, "figured", SHARD)
    assert (found["vector_spread"], found["vector_nearest"]) == (0.0, 1.0)
    assert "mean_size" not in found


_ODD = st.sampled_from([0.0, 1.0, -2.5, 60_000.0, 1e-7, float("nan"), float("inf"), float("-inf")])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_ODD, _ODD, _ODD, _ODD, st.none() | _ODD), min_size=1, max_size=6))
def test_whatever_rows_hold_the_figures_are_finite(store: Store, rows: list[tuple[float, ...]]) -> None:
    _fill(store, [list(row[:4]) for row in rows], [row[4] for row in rows])
    found = shard_figures(store, "figured", SHARD)
    assert all(np.isfinite(value) for value in found.values())
    assert 0 <= found.get("vector_spread", 0) <= 1.001
    assert -1.001 <= found.get("vector_nearest", 0) <= 1.001


def test_media_captions_and_frames_have_figures_of_their_own(store: Store, frames: Callable[..., None]) -> None:
    frames(range(1, 5))
    add_media(store, SHARD, range(1, 5))
    captions = {
        "media_id": [media_id(1)] * 2,
        "caption_index": [0, 1],
        "text": ["one two three", " four  five "],
        "fingerprint": ["f"] * 2,
    }
    store.tables.update("captions", SHARD, lambda _: pa.table(captions))
    listed = {"uri": [f"file:///media/{number}.jpg" for number in range(5)]}
    store.tables.update("listings", SHARD, lambda _: pa.table(listed))
    lost = {"uri": ["file:///media/9.jpg"], "stage": ["raw_media"], "reason": ["corrupt"]}
    store.tables.update("quarantine", SHARD, lambda _: pa.table(lost))
    media = shard_figures(store, "raw_media", SHARD)
    assert (media["share_quarantined"], media["share_video"]) == (0.2, 0.0)
    assert shard_figures(store, "captions", SHARD) == {
        "captions_per_media": 0.5,
        "words_per_caption": 2.5,
        "share_uncaptioned": 0.75,
    }
    assert shard_figures(store, "frames", SHARD)["frames_per_media"] == 1.0
    assert shard_figures(store, "frames", SHARD)["mean_image_bytes"] > 0


def test_what_has_no_rows_or_no_grain_has_no_figures(store: Store, tmp_path: Path) -> None:
    add_media(store, SHARD, range(2))
    assert shard_figures(store, "raw_media", "000009") == {}
    assert shard_figures(store, "never_made", SHARD) == {}
    assert shard_figures(store, "listings", SHARD) == {}
