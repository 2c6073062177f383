"""A rank is killed: what it saw is still answered, and the rest is trained on by other ranks, every sample once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from mmfs.errors import LoaderError
from mmfs.loader import Loader, keys_at, sightings
from mmfs.store.pins import Pin
from tests.loader.world import World

VECTOR, RUN = "clip_embeddings.vector", "run-7"

#: Trains as rank 0 of 2; after each step, once the run is recorded, says what it saw, and waits to be told to go on.
TRAIN = f"""
import json, sys, threading
from mmfs.loader import Loader
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.pins import Pins

store = Store.open(sys.argv[1], settings=Settings())
loader = Loader(store, Pins(store).get("p"), run="{RUN}", batch_size=4, seed=5, rank=0, world_size=2)
for batch in loader:
    for thread in threading.enumerate():
        if thread.name == "mmfs-run-recorder":
            thread.join()
    print(json.dumps([batch["_key"], loader.state_dict()]), flush=True)
    sys.stdin.readline()
"""


def killed_after(world: World, steps: int) -> list[tuple[list[str], dict[str, Any]]]:
    """Keys and states of the steps that a process made before it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", TRAIN, world.store.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin
        assert process.stdout
        seen = []
        for step in range(steps):
            if step:
                process.stdin.write("\n")
                process.stdin.flush()
            keys, state = json.loads(process.stdout.readline())
            seen.append((keys, state))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    return seen


def other_rank(world: World, pin: Pin, steps: int) -> list[list[str]]:
    loader = Loader(world.store, pin, run=RUN, batch_size=4, seed=5, rank=1, world_size=2)
    return [batch["_key"] for batch in islice(loader, steps)]


def resumed(world: World, pin: Pin, state: dict[str, Any]) -> list[list[tuple[list[str], list[bool]]]]:
    """The rest of the epoch on three ranks, from a checkpoint: keys and validity by rank and step."""
    given = []
    for rank in range(3):
        loader = Loader(world.store, pin, run=RUN, batch_size=5, seed=0, rank=rank, world_size=3)
        loader.load_state_dict(state)
        given.append([(batch["_key"], batch["_valid"].tolist()) for batch in loader])
    return given


@pytest.mark.parametrize(("how", "code"), [("pass", 0), ("raise ValueError('of the training')", 1)])
def test_a_process_ends_that_is_still_in_an_iteration_and_its_steps_are_answered(
    world: World, how: str, code: int
) -> None:
    pin = world.pin("p", [VECTOR])
    program = f"""
from mmfs.loader import Loader
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.pins import Pins
store = Store.open({world.store.url!r}, settings=Settings())
batches = iter(Loader(store, Pins(store).get("p"), run={RUN!r}, batch_size=4, seed=5, rank=0, world_size=2))
for step in range(3):
    next(batches)
{how}
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code
    assert ended.stderr.endswith("ValueError: of the training\n" if code else "")
    [segment] = world.store.tables.read("training_runs", shard=RUN).to_pylist()
    assert segment["last_step"] is None
    batches = iter(Loader(world.store, pin, batch_size=4, seed=5, rank=0, world_size=2))
    assert [keys_at(world.store, RUN, step=step) for step in range(3)] == [next(batches)["_key"] for _ in range(3)]


def test_after_a_kill_every_step_is_answered_and_every_sample_trained_on_once(world: World) -> None:
    pin = world.pin("p", [VECTOR])
    killed = killed_after(world, 4)
    other = other_rank(world, pin, 4)
    [segment] = world.store.tables.read("training_runs", shard=RUN).to_pylist()
    assert (segment["last_step"], segment["ended_at_us"]) == (None, None)
    for step in range(4):
        assert keys_at(world.store, RUN, step=step, rank=0) == killed[step][0]
        assert keys_at(world.store, RUN, step=step, rank=1) == other[step]

    checkpoint = killed[2][1]  # the fourth step was made, but not saved
    later = resumed(world, pin, checkpoint)

    seen = Counter(key for step in range(3) for keys in (killed[step][0], other[step]) for key in keys)
    seen += Counter(
        key for steps in later for keys, valid in steps for key, counts in zip(keys, valid, strict=True) if counts
    )
    assert seen == Counter(world.keys)
    first, second = world.store.tables.read("training_runs", shard=RUN).sort_by("segment").to_pylist()
    assert (first["world_size"], first["last_step"]) == (2, None)
    assert (second["world_size"], second["first_step"], second["last_step"]) == (3, 3, 3 + len(later[0]))
    assert keys_at(world.store, RUN, step=2, rank=1) == other[2]
    for rank in range(3):
        for step, (keys, _) in enumerate(later[rank], 3):
            assert keys_at(world.store, RUN, step=step, rank=rank) == keys
    with pytest.raises(LoaderError, match=f"no step {3 + len(later[0])}"):
        keys_at(world.store, RUN, step=3 + len(later[0]))
    # The step that was lost with the process is not one of the run any more.
    assert [len(sightings(world.store, RUN, key)) for key in world.keys] == [1] * len(world.keys)
