"""The ledger: what a step saw and who saw a media, computed from the order."""

from __future__ import annotations

from itertools import compress, islice

import pytest

from mmfs.errors import LoaderError, PinError, StoreError
from mmfs.loader import Loader, keys_at, sightings, trace
from mmfs.store.pins import Pins
from tests.loader.world import World, media_id

VECTOR = "clip_embeddings.vector"


def ranks(world: World, world_size: int, batch_size: int, **options: object) -> list[Loader]:
    pin = world.pin("p", [VECTOR])
    return [
        Loader(
            world.store,
            pin,
            run="run-7",
            batch_size=batch_size,
            rank=rank,
            world_size=world_size,
            **options,  # type: ignore[arg-type]
        )
        for rank in range(world_size)
    ]


def test_keys_at_says_what_each_rank_was_given_at_each_step(world: World) -> None:
    loaders = ranks(world, 3, 7)
    given = [[batch["_key"] for _ in range(2) for batch in loader] for loader in loaders]
    assert len(given[0]) == 2 * 4
    for rank, batches in enumerate(given):
        for step, keys in enumerate(batches):
            assert keys_at(world.store, "run-7", step=step, rank=rank) == keys
    with pytest.raises(LoaderError, match=r"no step 8; it has steps 0 to 7"):
        keys_at(world.store, "run-7", step=8)
    with pytest.raises(LoaderError, match="rank 3 of world_size 3"):
        keys_at(world.store, "run-7", step=0, rank=3)


def test_a_restart_from_an_older_checkpoint_counts_as_what_was_made_last(world: World) -> None:
    (first,) = ranks(world, 1, 10)
    given = []
    for batch in islice(first, 4):
        given.append(batch["_key"])
        if len(given) == 2:
            state = first.state_dict()
    resumed = ranks(world, 2, 6)
    for loader in resumed:
        loader.load_state_dict(state)
    later = [[batch["_key"] for batch in islice(loader, 3)] for loader in resumed]
    assert keys_at(world.store, "run-7", step=1) == given[1]
    for step in (2, 3, 4):
        for rank in (0, 1):
            assert keys_at(world.store, "run-7", step=step, rank=rank) == later[rank][step - 2]


@pytest.mark.parametrize("stream", [False, True])
def test_an_iteration_that_goes_on_is_answered_before_it_ends_and_when_it_never_does(
    world: World, stream: bool
) -> None:
    (loader,) = ranks(world, 1, 20)
    batches = list(islice(loader.stream(), 4) if stream else loader)
    running = loader.stream() if stream else iter(loader)
    batches += [next(running), next(running)]
    loader._recorder._writer.join()
    rows = world.store.tables.read("training_runs").sort_by("segment").to_pylist()
    assert [(row["first_step"], row["last_step"]) for row in rows] == [(0, 4), (4, None)]
    assert [keys_at(world.store, "run-7", step=step) for step in range(6)] == [batch["_key"] for batch in batches]
    key = batches[5]["_key"][3]
    seen = [step for step, batch in enumerate(batches) if key in compress(batch["_key"], batch["_valid"].tolist())]
    assert [one.step for one in sightings(world.store, "run-7", key) if one.step < 6] == seen
    assert len(seen) == 2
    running.close()


def test_a_segment_that_goes_on_in_its_epoch_stays_one_and_has_no_end_again(world: World) -> None:
    (loader,) = ranks(world, 1, 20)
    given = [batch["_key"] for batch in islice(loader, 2)]
    running = iter(loader)
    given.append(next(running)["_key"])
    loader._recorder._writer.join()
    [row] = world.store.tables.read("training_runs").to_pylist()
    assert (row["first_step"], row["last_step"]) == (0, None)
    assert [keys_at(world.store, "run-7", step=step) for step in range(3)] == given
    running.close()


def test_an_iteration_that_another_one_ended_does_not_end_the_record_of_that_one(world: World) -> None:
    (loader,) = ranks(world, 1, 20)
    first = iter(loader)
    next(first)
    second = iter(loader)
    given = [next(second)["_key"]]
    first.close()
    given += [next(second)["_key"]]
    loader._recorder._writer.join()
    assert [keys_at(world.store, "run-7", step=step) for step in (1, 2)] == given
    second.close()


def test_the_stream_is_recorded_as_one(world: World) -> None:
    (loader,) = ranks(world, 1, 20)
    given = [batch["_key"] for batch in islice(loader.stream(), 9)]
    assert [keys_at(world.store, "run-7", step=step) for step in range(9)] == given


@pytest.mark.parametrize("stream", [False, True])
def test_sightings_are_the_inverse(world: World, stream: bool) -> None:
    loaders = ranks(world, 2, 8)
    key, seen = world.keys[17], set()
    for rank, loader in enumerate(loaders):
        step = 0
        for _ in range(1 if stream else 2):
            for batch in islice(loader.stream(), 11) if stream else loader:
                places = [n for n, name in enumerate(batch["_key"]) if name == key and batch["_valid"][n]]
                seen |= {(step, rank) for _ in places}
                step += 1
    found = sightings(world.store, "run-7", key)
    assert {(one.step, one.rank) for one in found} == seen
    assert len(seen) >= 2
    assert len(sightings(world.store, "run-7", media_id(0))) >= 10


def test_workers_of_a_data_loader_record_a_run_once(world: World) -> None:
    from torch.utils.data import DataLoader

    (loader,) = ranks(world, 1, 10)
    workers = DataLoader(loader.as_dataset(), batch_size=None, num_workers=2, multiprocessing_context="spawn")
    given = [batch["_key"] for batch in workers]
    assert world.store.tables.shards("training_runs") == {"run-7": 1}
    assert [keys_at(world.store, "run-7", step=step) for step in range(8)] == given
    assert len(sightings(world.store, "run-7", world.keys[0])) == 1


def test_trace_names_all_that_hold_or_saw_a_media(world: World) -> None:
    (loader,) = ranks(world, 1, 30)
    list(loader)
    world.pin("other", [VECTOR], where="media_id <> '" + media_id(4) + "'")
    found = trace(world.store, media_id(4))
    assert {"frames", "captions", "raw_media", "clip_embeddings", "depth_maps"} <= set(found["tables"])
    assert (found["pins"], found["runs"], found["subsets"]) == (["p"], ["run-7"], [])
    assert trace(world.store, media_id(999)) == {"tables": [], "subsets": [], "pins": [], "runs": []}
    with pytest.raises(StoreError, match="not a sample key"):
        trace(world.store, "'; DROP TABLE")


def test_an_unknown_run_and_a_pin_made_anew_are_named(world: World) -> None:
    with pytest.raises(LoaderError, match="no run 'run-7'"):
        keys_at(world.store, "run-7", step=0)
    (loader,) = ranks(world, 1, 30)
    list(loader)
    Pins(world.store).remove("p")
    with pytest.raises(PinError, match="no pin 'p'"):
        keys_at(world.store, "run-7", step=0)
    world.pin("p", [VECTOR], where="frame_index = 0")
    with pytest.raises(PinError, match="not the one that run"):
        keys_at(world.store, "run-7", step=0)


def test_a_store_that_cannot_be_written_does_not_stop_training(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (loader,) = ranks(world, 1, 30)

    def refuse(*arguments: object, **named: object) -> None:
        raise StoreError("read-only", mend="-")

    monkeypatch.setattr(world.store.tables, "update", refuse)
    assert len(list(loader)) == 3
    assert "run run-7 is not recorded" in caplog.text


def test_other_ranks_than_the_first_write_nothing(world: World) -> None:
    _, second = ranks(world, 2, 30)
    list(second)
    assert world.store.tables.shards("training_runs") == {}


def test_a_run_needs_a_name_that_can_name_a_shard(world: World) -> None:
    with pytest.raises(LoaderError, match="no name for a run"):
        Loader(world.store, world.pin(), run="a/b", batch_size=2)
