"""The loader's promise as a whole: random data, faults, topologies and kills against an oracle of a few plain loops."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mmfs.loader import Loader
from mmfs.loader.order import Order
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.pins import Pin, Window
from tests.loader.world import Key, World, name_of, vector_of

FAST, LONG = range(25), range(25, 225)


@dataclass(frozen=True)
class Case:
    """A pinned store, its samples in canonical order, and which of them cannot be delivered."""

    world: World
    pin: Pin
    samples: list[list[Key]]
    bad: set[int]
    vectors: set[Key]


@pytest.mark.parametrize("seed", FAST)
def test_every_sample_comes_once_in_the_one_order_through_kills_and_changes_of_topology(
    seed: int, tmp_path: Path
) -> None:
    _train(seed, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", LONG)
def test_two_hundred_more_cases(seed: int, tmp_path: Path) -> None:
    _train(seed, tmp_path)


def _train(seed: int, folder: Path) -> None:
    """Two epochs in segments; each segment is killed with batches in the making, the next has another topology."""
    chance = random.Random(seed)
    case = _case(chance, folder)
    order = Order(tuple(case.pin.shard_rows.values()), case.pin.order, seed)
    count, state, epoch, position = len(case.samples), None, 0, 0
    delivered: list[int] = []
    segments = 0
    while epoch < 2:
        segments += 1
        width, batch = chance.choice([1, 2, 3, 4, 5, 8, 16, 33, 64]), chance.randint(1, 24)
        ranks = [_loader(case, seed, chance, rank, width, batch) for rank in range(width)]
        for rank in ranks:
            if state is not None:
                rank.load_state_dict(json.loads(state))
        iterators = [iter(rank) for rank in ranks]
        kill_after = chance.randint(1, 6) if segments < 12 else 10**9
        expected = order.epoch(epoch).samples_at(np.arange(count)).tolist()
        for _ in range(kill_after):
            step = [next(iterator, None) for iterator in iterators]
            if step[0] is None:
                assert step == [None] * width, "every rank makes the same number of steps"
                break
            delivered += _check_step(case, step, expected, position, width)  # type: ignore[arg-type]
            position += width * batch
            assert len({json.dumps(rank.state_dict()) for rank in ranks}) == 1
            state = json.dumps(ranks[0].state_dict())
        for rank in ranks:
            rank.close()
        if position >= count:
            good = set(range(count)) - case.bad
            assert sorted(delivered) == sorted(good), f"seed {seed}: not exactly once"
            assert delivered == [sample for sample in expected if sample in good], f"seed {seed}: another order"
            epoch, position, delivered = epoch + 1, 0, []


def _check_step(case: Case, step: list[dict], expected: list[int], position: int, width: int) -> list[int]:  # type: ignore[type-arg]
    """What one step delivers on all ranks, in the order of positions."""
    found = []
    for place in range(len(step[0]["_key"])):
        for rank, batch in enumerate(step):
            at = position + rank + width * place
            sample, key = expected[at % len(expected)], batch["_key"][place]
            is_due = at < len(expected) and sample not in case.bad
            assert bool(batch["_valid"][place]) == is_due
            if is_due:
                assert key == name_of(case.samples[sample][0])
                found.append(sample)
                _check_vectors(case, batch, place, case.samples[sample])
    return found


def _check_vectors(case: Case, batch: dict, place: int, rows: list[Key]) -> None:  # type: ignore[type-arg]
    vectors = batch["clip_embeddings.vector"][place].reshape(len(rows), -1).tolist()
    for row, vector in zip(rows, vectors, strict=True):
        assert vector == (vector_of(row).tolist() if row in case.vectors else [0.0] * len(vector))


def _loader(case: Case, seed: int, chance: random.Random, rank: int, width: int, batch: int) -> Loader:
    threads = chance.randint(1, 3)
    return Loader(
        case.world.store,
        case.pin,
        batch_size=batch,
        seed=seed,
        rank=rank,
        world_size=width,
        threads=threads,
        image_size=8,
    )


def _case(chance: random.Random, folder: Path) -> Case:
    world = World(Store.open(folder / "store", settings=Settings()))
    missing = chance.choice(["error", "skip", "null"])
    window = (
        Window(frames=chance.randint(1, 3), stride=chance.randint(1, 2), step=chance.randint(1, 3))
        if chance.random() < 0.4
        else None
    )
    frames: dict[str, list[Key]] = {}
    vectors: set[Key] = set()
    media = 0
    for shard in range(chance.randint(1, 4)):
        each = chance.randint(1, 12) if shard == 0 else chance.randint(0, 12)
        keys = [(m, i) for m in range(media, media + each) for i in range(chance.randint(4, 9))]
        media += each
        name = f"{shard:06d}"
        if keys:
            frames[name] = keys
            world.add_frames(name, keys, blob=_noise)
            share = 1.0 if missing == "error" else 0.9
            some = [key for key in keys if key == keys[0] or chance.random() < share]
            vectors |= set(some)
            world.add_vectors(name, some)
            world.add_captions(name, sorted({m for m, _ in keys}))
    columns = ["frames.image", "clip_embeddings.vector", "captions.text"]
    selected = vectors if missing == "skip" else {key for keys in frames.values() for key in keys}
    samples = [rows for name in sorted(frames) for rows in _samples(frames[name], selected, window)]
    if not samples:  # windows too long for what is selected
        return _case(chance, folder / "again")
    pin = world.pin(columns=columns, missing=missing, window=window)
    assert pin.samples == len(samples)
    damaged = _damage(world, chance, share=chance.choice([0.0, 0.01, 0.05]))
    bad = {number for number, rows in enumerate(samples) if damaged & set(rows)}
    if len(bad) == len(samples):
        return _case(chance, folder / "again")
    return Case(world, pin, samples, bad, vectors)


def _samples(keys: list[Key], selected: set[Key], window: Window | None) -> Iterator[list[Key]]:
    """The samples of a shard, as the design says them: by plain loops."""
    if window is None:
        yield from ([key] for key in keys if key in selected)
        return
    for media in sorted({m for m, _ in keys}):
        own = [key for key in keys if key[0] == media]
        for start in range(0, len(own) - window.span + 1, window.step):
            rows = own[start : start + window.span : window.stride]
            if set(rows) <= selected:
                yield rows


def _damage(world: World, chance: random.Random, *, share: float) -> set[Key]:
    """Flip a byte in some of the pictures; which ones."""
    damaged: set[Key] = set()
    for row in world.store.tables.read("frames").to_pylist():
        if chance.random() < share:
            path = world.store.objects.local_path(row["pack"])
            assert path is not None
            data = bytearray(path.read_bytes())
            data[row["offset"] + chance.randrange(row["length"])] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
            damaged.add((int(row["media_id"], 16), row["frame_index"]))
    return damaged


def _noise(key: Key) -> bytes:
    """A small picture whose every byte counts."""
    from mmfs.codecs import encode_jpeg

    pixels = np.random.default_rng(key).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return encode_jpeg(pixels)
