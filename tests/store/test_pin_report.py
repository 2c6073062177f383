"""What a pin says it covers: counted again here, from what the tables hold."""

from __future__ import annotations

import doctest
from pathlib import Path

import pyarrow as pa
import pytest

import mmfs.store.pin_report
from mmfs.store.pins import Window
from tests.loader.world import World, build_world, copy_world, frames_of, media_id
from tests.store.test_pins import save

COLUMNS = ["frames.image", "depth_maps.depth", "captions.text"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Depth is missing for the 3 frames of one media; captions for 2 media, of 1 frame each."""
    world = build_world(tmp_path_factory.mktemp("report") / "store")
    world.add_depth("000001", frames_of(range(10, 16), 3))
    world.add_captions("000002", [17])
    return world


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    return copy_world(built, tmp_path / "store")


def test_complete_columns_are_said_to_be_complete(world: World) -> None:
    assert world.pin(where="frame_index = 1").report() == "17 samples (frame) in 2 shards; every column complete"


def test_what_was_skipped_is_counted(world: World) -> None:
    pin = world.pin(columns=COLUMNS, missing="skip")
    assert (pin.selected, pin.samples) == (74, 74 - 3 - 2)
    assert pin.report() == (
        "69 samples (frame) in 3 shards; depth_maps.depth: 95.9 % of the selected frames; "
        "captions.text: 97.2 % of the selected frames; 5 left out (missing='skip')"
    )


def test_what_is_kept_without_values_is_no_sample_less(world: World) -> None:
    pin = world.pin(
        columns=["frames.image", "depth_maps.depth"], missing="null", where="media_id >= '" + media_id(16) + "'"
    )
    assert (pin.selected, pin.samples) == (6, 6)
    assert pin.report() == (
        "6 samples (frame) in 2 shards; depth_maps.depth: 50.0 % of the selected frames; "
        "the rest is kept, as zeros and a mask (missing='null')"
    )


def test_keys_of_a_subset_that_exist_no_more_are_counted_as_such(world: World) -> None:
    save(world, "chosen", [(3, 1), (16, 0), (99, 0), (99, 1)])
    pin = world.pin(columns=["depth_maps.depth"], subset="chosen", missing="skip")
    assert pin.report() == (
        "1 sample (frame) in 1 shard; depth_maps.depth: 50.0 % of the selected frames; 1 left out (missing='skip'); "
        "2 keys of subset 'chosen' in no row of frames"
    )


def test_windows_are_counted_as_windows_and_what_they_lack_as_rows(world: World) -> None:
    pin = world.pin(columns=["depth_maps.depth"], window=Window(frames=2), missing="skip")
    assert pin.selected == 74
    assert pin.report() == (
        f"{10 * 4 + 6 * 2} samples (windows of 2 rows of frames) in 2 shards; depth_maps.depth: 95.9 % of the selected "
        "frames; what lacks one is in no window (missing='skip')"
    )


def test_taken_down_media_are_not_selected_before_and_reported_after(world: World) -> None:
    world.store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(3)]}))
    pin = world.pin()
    assert pin.selected == 69
    assert pin.report(taken_down=1).endswith("; 1 sample was taken down since the pin was made")
    assert pin.report(taken_down=1200).endswith("; 1,200 samples were taken down since the pin was made")


def test_examples_are_true() -> None:
    assert doctest.testmod(mmfs.store.pin_report).failed == 0
