"""The ledger of all that a loader may be given: pins, pins with shape buckets, mixtures."""

from __future__ import annotations

from itertools import islice

import pytest

from mmfs.loader import Loader, Mixture, keys_at, sightings, trace
from mmfs.store.pin import Pin
from tests.loader.world import World, jpeg_of, media_id

#: Of each rank and step: keys, and which are valid.
Given = list[list[tuple[list[str], list[bool]]]]

VECTOR = "clip_embeddings.vector"


@pytest.fixture(params=["buckets", "mixture"])
def source(request: pytest.FixtureRequest, world: World) -> Pin | Mixture:
    if request.param == "buckets":
        sizes = [(32, 32), (16, 48), (48, 16)]
        keys = world.frames["000000"]
        world.add_frames(
            "000000",
            keys,
            blob=lambda key: jpeg_of(key, *sizes[key[0] % 3]),
            size_of=lambda key: sizes[key[0] % 3],
        )
        return world.pin("b", ["frames.image"], buckets=sizes, where="frame_width > 0")
    pins = {
        "a": world.pin("a", [VECTOR], where=f"media_id < '{media_id(12)}'"),
        "b": world.pin("b", [VECTOR], where=f"media_id > '{media_id(4)}'"),
    }
    return Mixture.of(pins, {"a": 3, "b": 1})


def given_by(world: World, source: Pin | Mixture, world_size: int, batch_size: int, steps: int) -> list[Given]:
    """What two segments were given, the second on another topology."""
    is_stream = isinstance(source, Mixture)
    found: list[Given] = []
    state = None
    for width, batch in ((world_size, batch_size), (1, world_size * batch_size)):
        loaders = [
            Loader(world.store, source, run="r", batch_size=batch, rank=rank, world_size=width, image_size=256)
            for rank in range(width)
        ]
        part = []
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(state)
            batches = islice(loader.stream() if is_stream else loader, steps)
            part.append([(one["_key"], one["_valid"].tolist()) for one in batches])
        state = loaders[0].state_dict()
        for loader in loaders:
            loader.close()
        found.append(part)
    return found


def test_keys_at_says_what_every_step_of_every_segment_was_given(world: World, source: Pin | Mixture) -> None:
    first, second = given_by(world, source, 2, 4, 5)
    for step in range(5):
        for rank in range(2):
            assert keys_at(world.store, "r", step=step, rank=rank) == first[rank][step][0]
        if step < len(second[0]):
            assert keys_at(world.store, "r", step=5 + step) == second[0][step][0]


def test_sightings_name_each_step_and_rank_that_was_given_a_sample(world: World, source: Pin | Mixture) -> None:
    first, second = given_by(world, source, 2, 4, 5)
    key = first[1][2][0][3]
    expected = {
        (offset + step, rank)
        for offset, part in ((0, first), (5, second))
        for rank, batches in enumerate(part)
        for step, (keys, valid) in enumerate(batches)
        for place, name in enumerate(keys)
        if name == key and valid[place]
    }
    assert (2, 1) in expected
    assert {(one.step, one.rank) for one in sightings(world.store, "r", key)} == expected
    assert trace(world.store, key)["runs"] == ["r"]
