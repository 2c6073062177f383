"""A mixture on a real store: what a batch holds, resuming, bad samples, and what a mixture does not have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mmfs.client import FeatureStore
from mmfs.errors import LoaderError
from mmfs.loader import Loader, Mixture
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.pins import Pins, Window
from tests.loader.test_loader import flip_a_bit, key_of
from tests.loader.world import World, colour_of, media_id, name_of, vector_of

VECTOR, IMAGE, TEXT = "clip_embeddings.vector", "frames.image", "captions.text"
ALL = [IMAGE, VECTOR, "depth_maps.depth", TEXT, "raw_media.width"]
#: Media 0 to 9 (50 frames) and 10 to 19 (24 frames).
WIDE, NARROW = "raw_media.width >= 110", "raw_media.width < 110"


def pin_two(world: World, columns: list[str], suffix: str = "", **options: Any) -> tuple[str, str]:
    """Pins of the first ten media and of the others."""
    for name, where in (("a", NARROW), ("b", WIDE)):
        world.pin(name + suffix, columns, where=where, **options)
    return "a" + suffix, "b" + suffix


def mixed(world: World, weights: dict[str, int], **options: Any) -> Loader:
    pins = Pins(world.store)
    mixture = Mixture.of({name: pins.get(name) for name in weights}, weights)
    arguments: dict[str, Any] = {"batch_size": 16, "threads": 2, "image_size": 32}
    return Loader(world.store, mixture, **arguments | options)


def some(loader: Loader, steps: int) -> Iterator[dict[str, Any]]:
    return islice(loader.stream(), steps)


def keys_in(loader: Loader, steps: int) -> list[str]:
    return [key for batch in some(loader, steps) for key in batch["_key"]]


def test_a_batch_holds_what_its_keys_say_and_where_each_sample_comes_from(world: World) -> None:
    pin_two(world, ALL)
    sources = []
    for batch in some(mixed(world, {"a": 3, "b": 1}), 8):
        assert list(batch) == [*ALL, "_key", "_valid", "_source"]
        assert (batch["_source"].dtype, batch["_source"].shape) == (torch.int64, (16,))
        assert batch["_valid"].all()
        for place, name in enumerate(batch["_key"]):
            key = key_of(name)
            assert np.allclose(batch[IMAGE][place, :, 5, 7].tolist(), colour_of(key), atol=4)
            assert batch[VECTOR][place].tolist() == vector_of(key).tolist()
            assert batch[TEXT][place] == f"caption 0 of {key[0]}"
            assert batch["raw_media.width"][place] == 100 + key[0]
            assert batch["_source"][place] == (0 if key[0] < 10 else 1)
        sources += batch["_source"].tolist()
    assert Counter(sources) == {0: 96, 1: 32}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 20), st.integers(1, 3)), min_size=1, max_size=3),
)
def test_training_goes_on_with_the_same_sequence_on_any_topology(
    world: World, a: int, b: int, topologies: list[tuple[int, int, int]]
) -> None:
    pin_two(world, [VECTOR])
    weights = {"a": a, "b": b}
    state, seen = mixed(world, weights, seed=4).state_dict(), []
    for world_size, batch_size, steps in topologies:
        made, states = [], []
        for rank in range(world_size):
            loader = mixed(world, weights, batch_size=batch_size, rank=rank, world_size=world_size)
            loader.load_state_dict(json.loads(json.dumps(state)))
            made.append(list(some(loader, steps)))
            states.append(loader.state_dict())
        assert all(one == states[0] for one in states)
        state = states[0]
        assert len(json.dumps(state)) < 10_000
        for step in zip(*made, strict=True):
            for place in range(batch_size):
                seen += [batch["_key"][place] for batch in step]
    assert seen == keys_in(mixed(world, weights, seed=4, batch_size=len(seen)), 1)


def test_each_pin_passes_its_epochs_with_the_captions_it_has_alone(world: World) -> None:
    pin_two(world, [TEXT])

    def words(batches: Iterator[dict[str, Any]]) -> list[tuple[str, str]]:
        return [pair for batch in batches for pair in zip(batch["_key"], batch[TEXT], strict=True)]

    loaders = {name: Loader(world.store, Pins(world.store).get(name), batch_size=1, captions="random") for name in "ab"}
    found = words(some(mixed(world, {"a": 1, "b": 1}, batch_size=64, captions="random"), 6))
    for name, media in (("a", range(10)), ("b", range(10, 20))):
        mine = [pair for pair in found if key_of(pair[0])[0] in media]
        assert len(mine) == 192
        assert Counter(mine) == Counter(words(islice(loaders[name].stream(), 192)))


def test_without_shuffling_each_pin_comes_in_canonical_order(world: World) -> None:
    pin_two(world, [VECTOR])
    found = keys_in(mixed(world, {"a": 2, "b": 1}, shuffle=False, batch_size=30), 2)
    assert [name for name in found if key_of(name)[0] < 10] == world.keys[:40]
    assert [name for name in found if key_of(name)[0] >= 10] == world.keys[50:70]


def test_swapped_columns_keep_the_sequence_and_the_state(world: World) -> None:
    for name in pin_two(world, [VECTOR]):
        world.pin(f"{name}-2", [IMAGE], like=name)
    first = mixed(world, {"a": 1, "b": 2})
    keys_in(first, 3)
    second = mixed(world, {"a-2": 1, "b-2": 2})
    second.load_state_dict(first.state_dict())
    assert keys_in(second, 3) == keys_in(first, 3)
    for other in ({"a-2": 2, "b-2": 2}, {"b-2": 2, "a-2": 1}):
        with pytest.raises(LoaderError, match="this mixture's is"):
            mixed(world, other).load_state_dict(first.state_dict())
    with pytest.raises(LoaderError, match="this pin's is"):
        Loader(world.store, Pins(world.store).get("a"), batch_size=4).load_state_dict(first.state_dict())


def test_a_bad_sample_of_one_pin_is_filled_by_a_good_one_of_any(world: World) -> None:
    pin_two(world, [IMAGE])
    for key in world.frames["000000"]:
        flip_a_bit(world, "frames", name_of(key))
    loader = mixed(world, {"a": 1, "b": 1})
    for batch in some(loader, 4):
        assert 0 < int((~batch["_valid"]).sum()) < 16
        assert all(key_of(name)[0] >= 10 for name in batch["_key"])
        assert batch["_source"].tolist() == [1] * 16
        for place, name in enumerate(batch["_key"]):
            assert np.allclose(batch[IMAGE][place, :, 5, 7].tolist(), colour_of(key_of(name)), atol=4)
    assert loader.stats().quarantined >= 32
    assert {key_of(bad.key)[0] for bad in loader.stats().bad} <= set(range(10))


def test_a_batch_without_a_good_sample_takes_one_that_follows_and_says_of_which_pin(world: World) -> None:
    pin_two(world, [VECTOR])
    gone = pa.table({"media_id": [media_id(number) for number in range(10)]})
    world.store.tables.update("tombstones", "all", lambda _: gone)
    for batch in some(mixed(world, {"a": 7, "b": 1}, batch_size=1), 20):
        assert key_of(batch["_key"][0])[0] >= 10
        assert batch["_source"].tolist() == [1]


def test_missing_values_have_masks(world: World) -> None:
    world.add_vectors("000000", [key for key in world.frames["000000"] if key[0] != 3])
    pin_two(world, [VECTOR], missing="null")
    seen = set()
    for batch in some(mixed(world, {"a": 1, "b": 1}), 8):
        for name, present, value in zip(batch["_key"], batch[f"{VECTOR}:present"], batch[VECTOR], strict=True):
            key = key_of(name)
            assert bool(present) == (key[0] != 3)
            assert value.tolist() == (vector_of(key).tolist() if present else [0.0] * 8)
            seen.add(key)
    assert len(seen) == 74


def test_windows_of_one_length_may_differ_in_stride(world: World) -> None:
    world.pin("a", [VECTOR, TEXT], where=NARROW, window=Window(frames=2, stride=2))
    world.pin("b", [VECTOR, TEXT], where=WIDE, window=Window(frames=2))
    for batch in some(mixed(world, {"a": 1, "b": 1}), 4):
        assert batch[VECTOR].shape == (16, 2, 8)
        for name, value, text in zip(batch["_key"], batch[VECTOR], batch[TEXT], strict=True):
            media, index = key_of(name)
            stride = 2 if media < 10 else 1
            expected = [vector_of((media, at)).tolist() for at in (index, index + stride)]
            assert (value.tolist(), text) == (expected, f"caption 0 of {media}")


def test_tables_of_different_grain_mix_where_their_columns_are_alike(world: World) -> None:
    world.pin("a", ["raw_media.width"], grain="frame", where=NARROW)
    world.pin("b", ["raw_media.width"], grain="media", where="width >= 110")
    for batch in some(mixed(world, {"a": 1, "b": 1}), 4):
        numbers = [int(name.partition(":")[0], 16) for name in batch["_key"]]
        assert batch["raw_media.width"].tolist() == [100 + number for number in numbers]
        assert batch["_source"].tolist() == [int(number >= 10) for number in numbers]


def test_live_columns_are_computed_for_samples_of_all_pins(world: World) -> None:
    lab = World(Store.open(world.store.url, settings=Settings(features=("tests.loader.lab",))), dict(world.frames))
    features = FeatureStore(lab.store)
    for name, where in (("a", NARROW), ("b", WIDE)):
        features.pin(name, columns=["live:profile.values", IMAGE], where=where)
    for batch in some(mixed(lab, {"a": 1, "b": 1}), 3):
        for image, values in zip(batch[IMAGE], batch["live:profile.values"], strict=True):
            assert torch.allclose(values, image.float().mean(dim=1), atol=1)


def test_only_what_is_delivered_or_made_ahead_is_read_and_counted_for_all_pins(world: World) -> None:
    pin_two(world, [IMAGE])
    loader = mixed(world, {"a": 1, "b": 1}, decode=False)
    sizes = [len(data) for batch in some(loader, 20) for data in batch[IMAGE]]
    loader.close()
    assert sum(sizes) <= loader.stats().bytes_read <= sum(sizes) + 3 * 16 * max(sizes)


def test_workers_of_a_data_loader_deliver_the_same_stream(world: World) -> None:
    pin_two(world, [VECTOR])
    dataset = mixed(world, {"a": 1, "b": 1}).as_dataset(stream=True)
    found = list(islice(DataLoader(dataset, batch_size=None, num_workers=2), 5))
    expected = some(mixed(world, {"a": 1, "b": 1}), 5)
    for one, other in zip(found, expected, strict=True):
        assert one["_key"] == other["_key"]
        assert torch.equal(one["_source"], other["_source"])
    again = mixed(world, {"a": 1, "b": 1})
    again.load_state_dict(found[2]["_state"])
    assert next(again.stream())["_key"] == found[3]["_key"]


def test_a_mixture_is_a_stream_and_nothing_else(world: World) -> None:
    pin_two(world, [VECTOR])
    loader = mixed(world, {"a": 1, "b": 1})
    with pytest.raises(LoaderError, match=r"no epoch to iterate over.*stream\(\)"):
        iter(loader)
    with pytest.raises(LoaderError, match="no length"):
        len(loader)
    with pytest.raises(LoaderError, match="no epoch to go to"):
        loader.set_epoch(0)
    with pytest.raises(LoaderError, match="no length"):
        loader.as_dataset()
    with pytest.raises(LoaderError, match="no epoch to go to"):
        mixed(world, {"a": 1, "b": 1}, epoch=2)
