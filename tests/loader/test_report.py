"""What is said before training begins: the pin's coverage, once, by the first rank; and what was taken down since."""

from __future__ import annotations

import logging

import pyarrow as pa
import pytest

from mmfs.loader import Loader, taken_down_samples
from mmfs.loader.aside import _threads
from mmfs.store.pins import Pin, Window
from tests.loader.world import World, media_id

VECTOR = "clip_embeddings.vector"
DAY_US = 86_400_000_000


def take_down(world: World, at_us: dict[int, int | None]) -> None:
    rows = pa.table({"media_id": [media_id(m) for m in at_us], "at_us": pa.array(list(at_us.values()), pa.int64())})
    world.store.tables.update("tombstones", "all", lambda _: rows)


def logged(world: World, pin: Pin, caplog: pytest.LogCaptureFixture, rank: int = 0) -> list[str]:
    with caplog.at_level(logging.INFO, "mmfs.loader"):
        Loader(world.store, pin, batch_size=4, rank=rank, world_size=2)
        for thread in list(_threads):
            thread.join(30)
    return [record.message for record in caplog.records if record.name == "mmfs.loader"]


def test_the_first_rank_logs_what_the_pin_covers(world: World, caplog: pytest.LogCaptureFixture) -> None:
    pin = world.pin(columns=[VECTOR])
    assert logged(world, pin, caplog) == ["pin p: 74 samples (frame) in 3 shards; every column complete"]


def test_other_ranks_log_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    assert logged(world, world.pin(columns=[VECTOR]), caplog, rank=1) == []


def test_samples_that_were_taken_down_since_are_counted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    pin = world.pin(columns=[VECTOR])
    take_down(world, {3: 2, 12: None, 99: 2})
    assert taken_down_samples(world.store, pin) == 5 + 3
    assert logged(world, pin, caplog)[1:] == [
        "pin p: 8 samples were taken down since it was made; repeats fill their places"
    ]
    loader = Loader(world.store, pin, batch_size=4, rank=0, world_size=1)
    assert sum(int(batch["_valid"].sum()) for batch in loader) == 74 - 8


def test_what_was_taken_down_long_before_is_not_looked_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    take_down(world, {3: DAY_US})
    pin = world.pin(columns=[VECTOR]).model_copy(update={"created_at_us": 5 * DAY_US})
    assert pin.samples == 69
    assert taken_down_samples(world.store, pin) == 0
    assert len(logged(world, pin, caplog)) == 1


def test_windows_of_a_media_that_was_taken_down_are_counted_as_samples(world: World) -> None:
    pin = world.pin(columns=[VECTOR], window=Window(frames=2))
    take_down(world, {3: 2})
    assert taken_down_samples(world.store, pin) == 4


def test_a_count_that_fails_is_a_warning(world: World, caplog: pytest.LogCaptureFixture) -> None:
    pin = world.pin(columns=[VECTOR])
    take_down(world, {3: 2})
    world.store.objects.local_path(pin.tables["frames"].files[0].path).unlink()
    assert any("cannot be counted" in line for line in logged(world, pin, caplog))
