"""Equal versions give an equal pin; other content gives another."""

from __future__ import annotations

from pathlib import Path

from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_resources import TrainingLoaderResource
from tests.conftest import add_frames, add_media

COLUMNS = ["frames.time_s"]


def test_a_pin_is_made_once_for_equal_content_and_anew_when_content_changes(store: Store) -> None:
    add_media(store, "000000", range(3))
    add_frames(store, "000000", range(3))
    training = TrainingLoaderResource(batch_size=4)
    first = training.pin(store, "demo", COLUMNS)
    assert training.pin(store, "demo", COLUMNS) == first
    assert first.name == training.pin_name(store, "demo", COLUMNS)
    assert first.samples == 9

    add_frames(store, "000001", range(3, 5))
    assert training.pin(store, "demo", COLUMNS).name != first.name


def test_the_loader_delivers_the_pin(store: Store) -> None:
    add_media(store, "000000", range(2))
    add_frames(store, "000000", range(2))
    training = TrainingLoaderResource(batch_size=4, image_size=None)
    loader = training.load(store, training.pin(store, "demo", COLUMNS))
    keys = [key for batch in loader for key, valid in zip(batch["_key"], batch["_valid"], strict=True) if valid]
    assert len(set(keys)) == len(keys) == 6


def test_live_columns_are_passed_through_and_name_the_pin(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings(features=("tests.loader.lab",), device="cpu"))
    add_media(store, "000000", range(2))
    add_frames(store, "000000", range(2))
    training, columns = TrainingLoaderResource(batch_size=4), ["live:summary.text", "frames.time_s"]
    pin = training.pin(store, "demo", columns)
    assert training.pin(store, "demo", columns) == pin
    assert pin.columns == tuple(columns)
    batch = next(iter(training.load(store, pin)))
    assert all(text.endswith(" fps") for text in batch["live:summary.text"])
    assert training.pin_name(store, "demo", ["frames.time_s"]) != pin.name
