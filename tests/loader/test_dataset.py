"""The loader behind torch's DataLoader: the same batches in the same order, resumable."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mmfs.errors import LoaderError
from mmfs.loader import Loader, worker_start
from mmfs.loader.mixture import Mixture
from mmfs.loader.worker_start import WorkerStart
from tests.loader.world import World, media_id

WEIGHTS = {"p": 3, "q": 1}
COLUMNS = ["frames.image", "clip_embeddings.vector", "captions.text"]


@pytest.fixture(params=["fork", "spawn"])
def how(request: pytest.FixtureRequest) -> str:
    """How workers start."""
    return str(request.param)


def loader_of(world: World, columns: list[str] | None = None, **options: Any) -> Loader:
    pinned = world.pin("p", columns or COLUMNS)
    return Loader(world.store, pinned, **{"batch_size": 8, "threads": 2, "image_size": 32, **options})


def behind(loader: Loader, workers: int, how: str = "fork", **options: Any) -> DataLoader[dict[str, Any]]:
    return DataLoader(loader.as_dataset(), batch_size=None, num_workers=workers, multiprocessing_context=how, **options)


def keys(batches: Iterator[dict[str, Any]] | Any) -> list[list[str]]:
    return [list(batch["_key"]) for batch in batches]


def test_without_workers_the_dataset_is_the_loader(world: World) -> None:
    loader = loader_of(world)
    batches = DataLoader(loader.as_dataset(), batch_size=None)
    assert len(batches) == 10
    assert keys(islice(batches, 3)) == keys(islice(loader_of(world), 3))
    assert loader.state_dict()["position"] == 24
    assert loader.as_dataset().state_dict() == loader.state_dict()


def test_workers_give_the_same_batches_in_the_same_order_with_the_state_after_each(world: World, how: str) -> None:
    alone, run = loader_of(world), "r" if how == "spawn" else None
    for made, expected in zip(behind(loader_of(world, run=run), 2, how), alone, strict=True):
        assert json.loads(json.dumps(made.pop("_state"))) == alone.state_dict()
        assert made.keys() == expected.keys()
        for name, value in expected.items():
            same = torch.equal(made[name], value) if isinstance(value, torch.Tensor) else made[name] == value
            assert same, name
    rows = world.store.tables.read("training_runs").to_pylist()
    assert [(row["run_id"], row["first_step"], row["last_step"]) for row in rows] == ([("r", 0, 10)] if run else [])


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 30), st.integers(1, 7), st.integers(0, 73), st.booleans())
def test_the_shares_of_any_number_of_workers_make_up_the_epoch(
    world: World, batch_size: int, workers: int, position: int, drop_last: bool
) -> None:
    def at_the_position() -> Loader:
        loader = loader_of(world, ["clip_embeddings.vector"], batch_size=batch_size, drop_last=drop_last)
        loader.load_state_dict({**loader.state_dict(), "position": position})
        return loader

    alone, shared = at_the_position(), at_the_position()
    begun = shared.state_dict()
    shares = []
    for worker in range(workers):
        shared.load_state_dict(begun)
        shares.append(keys(shared.share(worker, workers)))
    turns = [share[turn] for turn in range(len(shares[0])) for share in shares if turn < len(share)]
    assert turns == keys(alone)
    assert shared.state_dict() == alone.state_dict()


def test_workers_that_were_started_anew_read_a_store_on_s3(s3_world: World, tmp_path: Path) -> None:
    options = {"batch_size": 20, "image_size": 32, "cache": tmp_path / "cache"}
    pin = s3_world.pin("workers", COLUMNS)
    loader, alone = Loader(s3_world.store, pin, **options), Loader(s3_world.store, pin, **options)
    with pytest.raises(RuntimeError, match="a forked worker cannot read s3://"):
        list(behind(loader, 1, "fork"))
    assert keys(behind(loader, 1, "spawn")) == keys(alone)


@pytest.mark.parametrize("keep", [False, True])
def test_epochs_follow_one_another_with_workers(world: World, keep: bool) -> None:
    batches = behind(loader_of(world), 2, persistent_workers=keep)
    alone = loader_of(world)
    for _ in range(3):
        assert keys(batches) == keys(alone)


def test_a_batchs_state_resumes_behind_it_here_and_elsewhere(world: World) -> None:
    whole = [key for batch in keys(loader_of(world, batch_size=74)) for key in batch]
    first = loader_of(world)
    batches = behind(first, 2, persistent_workers=True)
    seen = list(islice(batches, 3))
    state = seen[-1]["_state"]
    with pytest.raises(LoaderError, match="DataLoader workers deliver"):
        first.state_dict()
    first.load_state_dict(state)
    assert first.state_dict() == state
    rest = [key for batch in batches for key, ok in zip(batch["_key"], batch["_valid"], strict=True) if ok]
    assert [key for batch in keys(seen) for key in batch] + rest == whole
    elsewhere = [loader_of(world, batch_size=5, rank=rank, world_size=2) for rank in range(2)]
    for loader in elsewhere:
        loader.load_state_dict(json.loads(json.dumps(state)))
    ranks = [list(behind(elsewhere[0], 2)), list(elsewhere[1])]
    woven = [
        batch["_key"][place]
        for step in zip(*ranks, strict=True)
        for place in range(5)
        for batch in step
        if batch["_valid"][place]
    ]
    assert woven == whole[24:]


def test_a_loop_that_was_left_is_followed_by_the_next_epoch(world: World) -> None:
    loader = loader_of(world)
    batches = behind(loader, 2)
    list(islice(batches, 2))
    assert keys(batches) == keys(loader_of(world, epoch=1))


def test_workers_make_the_batches_of_shape_buckets(world: World) -> None:
    for shard, frames in list(world.frames.items()):
        world.add_frames(shard, frames, size_of=lambda key: ((32, 32), (20, 30))[key[0] % 2])
    pin = world.pin("b", ["frames.image"], buckets=[(32, 32), (24, 36)])
    alone, loader = Loader(world.store, pin, batch_size=8), Loader(world.store, pin, batch_size=8)
    batches = behind(loader, 2)
    for _ in range(2):
        made = list(batches)
        assert keys(made) == keys(alone)
    assert made[-1]["_state"] == alone.state_dict()


def test_workers_make_the_stream_of_a_selection_and_of_a_mixture(world: World) -> None:
    pins = Mixture.of({"p": world.pin("p", COLUMNS), "q": world.pin("q", COLUMNS, where="frame_index = 1")}, WEIGHTS)
    for what in (world.pin("p", COLUMNS), pins):
        options = {"batch_size": 16, "image_size": 32, "threads": 2}
        alone, loader = Loader(world.store, what, **options), Loader(world.store, what, **options)
        expected = keys(islice(alone.stream(), 12))
        dataset = loader.as_dataset(stream=True)
        batches = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
        first = list(islice(batches, 7))
        with pytest.raises(RuntimeError, match="where the last loop left the stream"):
            next(iter(batches))
        loader.load_state_dict(first[-1]["_state"])
        assert keys(first) + keys(islice(batches, 5)) == expected
        with pytest.raises(TypeError, match="a stream has no length"):
            len(dataset)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_more_workers_than_batches_are_no_trouble(world: World) -> None:
    loader = loader_of(world, batch_size=50)
    assert keys(behind(loader, 3)) == keys(loader_of(world, batch_size=50))


def test_what_drop_last_leaves_out_is_left_out_by_workers_too(world: World) -> None:
    options = {"batch_size": 20, "drop_last": True}
    batches, alone = behind(loader_of(world, **options), 2), loader_of(world, **options)
    for _ in range(2):
        assert keys(batches) == keys(alone)


def test_workers_make_their_batches_without_what_was_taken_down(world: World) -> None:
    world.store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(3)]}))
    found = [
        key
        for batch in behind(loader_of(world), 2)
        for key, valid in zip(batch["_key"], batch["_valid"], strict=True)
        if valid
    ]
    assert len(found) == 69
    assert not any(key.startswith(media_id(3)) for key in found)


def test_a_state_moves_both_datasets_of_a_loader(world: World) -> None:
    loader = loader_of(world)
    of_epochs, of_stream = loader.as_dataset(), loader.as_dataset(stream=True)
    next(iter(loader))
    state = loader.state_dict()
    loader.load_state_dict(state)
    assert loader.as_dataset() is of_epochs
    assert of_epochs.start.lead((1, 1), lambda one: one) == state
    assert of_stream.start.lead((1, 1), None) == state


def test_an_epoch_that_workers_make_is_recorded_whole(world: World) -> None:
    loader = loader_of(world, run="r")
    for worker in (0, 1):
        list(loader.share(worker, 2))
        assert loader.state_dict() == loader.after_epoch(loader_of(world).state_dict())
        loader.load_state_dict(loader_of(world).state_dict())
    rows = world.store.tables.read("training_runs").to_pylist()
    assert {(row["first_step"], row["last_step"]) for row in rows} == {(0, 10)}


def test_what_a_worker_cannot_do_is_refused(world: World) -> None:
    recorded = loader_of(world, run="r")
    with pytest.raises(RuntimeError, match="a forked worker cannot record the run 'r'; start workers anew"):
        list(behind(recorded, 1))
    recipe = loader_of(world)._recipe
    with pytest.raises(LoaderError, match="a forked worker cannot read s3://bucket/store"):
        replace(recipe, url="s3://bucket/store").loader(forked=True)
    with pytest.raises(LoaderError, match="device='cuda' in a DataLoader worker"):
        replace(recipe, arguments={**recipe.arguments, "device": "cuda"}).loader(forked=False)


def test_workers_that_cannot_be_told_apart_are_refused(world: World) -> None:
    batches = behind(loader_of(world), 1)
    torch.manual_seed(7)
    list(batches)
    torch.manual_seed(7)
    with pytest.raises(RuntimeError, match="started twice with the same seed"):
        list(batches)


def test_a_workers_copy_of_the_dataset_gives_no_state(world: World) -> None:
    dataset = loader_of(world).as_dataset()
    assert len(dataset) == 10
    copied = object.__new__(type(dataset))
    copied.__dict__.update(dataset.__getstate__())
    with pytest.raises(LoaderError, match="worker's copy"):
        copied.state_dict()


def test_workers_wait_for_the_first_one(world: World) -> None:
    state = loader_of(world).state_dict()
    start = WorkerStart(state)
    found: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: found.append(start.follow((5, 1))))
    waiting.start()
    assert start.lead((5, 1), lambda one: {**one, "epoch": one["epoch"] + 1}) == state
    waiting.join(10)
    assert found == [state]
    assert start.has_begun
    assert start.lead((5, 2), lambda one: one)["epoch"] == 1


def test_a_first_worker_that_never_begins_is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_start, "_WAIT_S", 0.05)
    with pytest.raises(LoaderError, match="has not begun"):
        WorkerStart(loader_of(world).state_dict()).follow((1, 1))
