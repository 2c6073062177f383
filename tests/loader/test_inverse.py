"""Finding the samples of a media: the same as reading all keys, at the cost of a row group or two."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from mmfs.errors import IntegrityError, PinError, StoreError
from mmfs.loader.inverse import MediaFinder
from mmfs.loader.reader import PinReader, ReadOptions
from mmfs.schemas import ROW_GROUP_ROWS
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.pins import Pin, Pins, Window
from tests.loader.world import World, media_id

SHARDS, MEDIA, FRAMES = 8, 200, 50


def expected(world: World, pin: Pin, media: Sequence[str], index: int | None = None) -> tuple[list[int], list[str]]:
    """By reading every sample's rows."""
    reader = PinReader(world.store.objects, pin.model_copy(update={"columns": (), "sources": {}}), ReadOptions())
    rows = reader._rows_of(np.arange(pin.samples))
    keys = world.store.tables.read("frames", columns=["media_id", "frame_index"]).to_pylist()
    found = [
        number
        for number in range(pin.samples)
        if any(
            keys[row]["media_id"] in media and index in (None, keys[row]["frame_index"])
            for row in rows[number].tolist()
        )
    ]
    return found, reader.keys(np.array(found, np.int64)) if found else []


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Shards of 10,000 frames in ten row groups, media by chance among them."""
    store = Store.open(tmp_path_factory.mktemp("large") / "store", settings=Settings())
    order = np.random.default_rng(7).permutation(SHARDS * MEDIA)
    for shard in range(SHARDS):
        names = [media_id(int(number)) for number in order[shard * MEDIA : (shard + 1) * MEDIA]]
        rows = pa.table(
            {
                "media_id": np.repeat(np.array(names), FRAMES).tolist(),
                "frame_index": pa.array(np.tile(np.arange(FRAMES), MEDIA)),
            }
        )
        store.tables.update("frames", f"{shard:06d}", lambda _, rows=rows: rows)
    return store


def pin_of(store: Store, name: str = "p", **options: object) -> Pin:
    return Pins(store).create(name, columns=["frames.frame_index"], now_us=1, **options)  # type: ignore[arg-type]


def test_only_the_row_groups_that_may_hold_the_media_are_read(large: Store) -> None:
    pin = pin_of(large)
    assert SHARDS * -(-MEDIA * FRAMES // ROW_GROUP_ROWS) == 80
    for number in (0, 77, SHARDS * MEDIA - 1):
        finder = MediaFinder(large.objects, [media_id(number)])
        samples, names = finder.samples(pin)
        assert names == [f"{media_id(number)}:{index}" for index in range(FRAMES)]
        assert np.diff(samples).tolist() == [1] * (FRAMES - 1)
        assert finder.groups_read <= 2 * SHARDS


def test_what_a_file_holds_is_looked_up_once_for_all_pins(large: Store) -> None:
    first, second = pin_of(large), pin_of(large, "q", where="frame_index < 10")
    finder = MediaFinder(large.objects, [media_id(5)])
    assert len(finder.samples(first)[0]) == FRAMES
    read = finder.groups_read
    samples, names = finder.samples(second)
    assert names == [f"{media_id(5)}:{index}" for index in range(10)]
    assert (len(samples), finder.groups_read) == (10, read)


def test_a_media_that_is_nowhere_has_no_samples_and_costs_little(large: Store) -> None:
    finder = MediaFinder(large.objects, ["f" * 32])
    samples, names = finder.samples(pin_of(large))
    assert (len(samples), names, finder.groups_read) == (0, [], 0)


def test_one_frame_is_one_sample(large: Store) -> None:
    samples, names = MediaFinder(large.objects, [media_id(9)]).samples(pin_of(large), index=49)
    assert (len(samples), names) == (1, [f"{media_id(9)}:49"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    media=st.lists(st.integers(0, 21), min_size=1, max_size=5, unique=True),
    index=st.none() | st.integers(0, 5),
    where=st.sampled_from([None, "frame_index <> 2", "frame_index < 2", f"media_id > '{media_id(6)}'"]),
    window=st.none() | st.builds(Window, frames=st.integers(1, 3), stride=st.integers(1, 2), step=st.integers(1, 3)),
)
def test_it_is_the_same_as_reading_all_keys(
    world: World, media: list[int], index: int | None, where: str | None, window: Window | None
) -> None:
    wanted = [media_id(number) for number in media]
    try:
        pin = world.pin("x", where=where, window=window)
    except PinError:
        reject()  # no window fits
    try:
        samples, names = MediaFinder(world.store.objects, wanted).samples(pin, index)
        assert (samples.tolist(), names) == expected(world, pin, wanted, index)
    finally:
        Pins(world.store).remove("x")


def test_captions_and_media_are_found_as_well(world: World) -> None:
    captions = world.pin("c", ["captions.text"])
    assert MediaFinder(world.store.objects, [media_id(11)]).samples(captions)[1] == [
        f"{media_id(11)}:{n}" for n in (0, 1)
    ]
    whole = world.pin("m", ["raw_media.width"])
    assert MediaFinder(world.store.objects, [media_id(11)]).samples(whole, 4)[1] == [media_id(11)]


def test_a_file_that_is_gone_or_damaged_is_named(world: World) -> None:
    pin = world.pin()
    path = world.store.objects.local_path(pin.tables["frames"].files[0].path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match=path.name):
        MediaFinder(world.store.objects, [media_id(1)]).samples(pin)
    path.unlink()
    with pytest.raises(StoreError, match=path.name):
        MediaFinder(world.store.objects, [media_id(1)]).samples(pin)
