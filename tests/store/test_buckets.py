"""Shape buckets of a pin: which sample is in which, how they are numbered, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.errors import PinError
from mmfs.schemas import feature_table
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.buckets import checked_buckets, nearest_buckets
from mmfs.store.pin import OrderParameters, Pin, PinnedColumn, PinnedFile, PinnedTable
from mmfs.store.pins import Pins, Window
from mmfs.store.runs import SelectedRuns, selected_runs
from tests.loader.world import Key, World, frames_of, jpeg_of, media_id

SQUARE, WIDE, TALL = (32, 32), (24, 48), (48, 24)
BUCKETS = [SQUARE, WIDE, TALL]
VECTOR = "clip_embeddings.vector"
LENGTHS = st.integers(1, 4000)


def size_of(key: Key) -> tuple[int, int]:
    """Pictures by media: square, wide, tall, square, ..."""
    return [(30, 32), (20, 40), (44, 24)][key[0] % 3]


def sized(key: Key) -> bytes:
    return jpeg_of(key, *size_of(key))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two shards: 6 media of 4 frames, 3 media of 2 frames."""
    world = World(Store.open(tmp_path / "store", settings=Settings()))
    for shard, media, each in (("000000", range(6), 4), ("000001", range(6, 9), 2)):
        world.add_frames(shard, frames_of(media, each), sized, size_of=size_of)
        world.add_vectors(shard, frames_of(media, each))
    return world


@given(st.lists(st.tuples(LENGTHS, LENGTHS), min_size=1, max_size=64), st.tuples(LENGTHS, LENGTHS))
def test_the_nearest_bucket_by_log_aspect_ratio_is_chosen(
    sizes: list[tuple[int, int]], picture: tuple[int, int]
) -> None:
    chosen = int(nearest_buckets(np.array([picture[0]]), np.array([picture[1]]), sizes)[0])
    distances = [abs(math.log(h / w) - math.log(picture[0] / picture[1])) for h, w in sizes]
    assert distances[chosen] == pytest.approx(min(distances), abs=1e-12)
    assert all(distance > distances[chosen] - 1e-12 for distance in distances[:chosen])


def test_of_equally_near_buckets_the_first_is_chosen() -> None:
    squares = np.array([100]), np.array([100])
    assert nearest_buckets(*squares, [(224, 288), (288, 224)]).tolist() == [0]
    assert nearest_buckets(*squares, [(288, 224), (224, 288)]).tolist() == [0]
    assert nearest_buckets(*squares, [(3, 2), (256, 256), (512, 512)]).tolist() == [1]


@pytest.mark.parametrize("size", [(256,), (256, 0), (-1, 256), (256.0, 256), (True, 256), (1, 2, 3)])
def test_what_is_no_size_is_named(size: tuple[int, int]) -> None:
    with pytest.raises(PinError, match=r"is no bucket"):
        checked_buckets([size])


def test_too_many_buckets_and_equal_ones_are_refused() -> None:
    with pytest.raises(PinError, match="65 buckets"):
        checked_buckets([(1, width) for width in range(1, 66)])
    with pytest.raises(PinError, match=r"\(8, 8\) is given twice"):
        checked_buckets([(8, 8), (8, 9), (8, 8)])


def test_samples_are_numbered_by_bucket_then_shard_then_row(world: World) -> None:
    pin = world.pin(buckets=BUCKETS)
    assert [(one.height, one.width, one.shard_rows) for one in pin.buckets] == [
        (*SQUARE, {"000000": 8, "000001": 2}),
        (*WIDE, {"000000": 8, "000001": 2}),
        (*TALL, {"000000": 8, "000001": 2}),
    ]
    assert (pin.samples, pin.shard_rows) == (30, {"000000": 24, "000001": 6})
    assert pin.selection is not None
    rows = pq.read_table(pa.BufferReader(world.store.objects.get(pin.selection))).to_pylist()
    first, second = "000000", "000001"
    assert [(row["shard"], row["first_row"], row["samples"]) for row in rows] == [
        *((first, 0, 4), (first, 12, 4), (second, 0, 2)),
        *((first, 4, 4), (first, 16, 4), (second, 2, 2)),
        *((first, 8, 4), (first, 20, 4), (second, 4, 2)),
    ]
    runs = selected_runs(world.store.objects, pin)
    assert runs.shard.tolist() == [0, 0, 1] * 3
    assert runs.buckets.tolist() == [0, 3, 6, 9]


def test_an_empty_bucket_holds_nothing_and_changes_nothing(world: World) -> None:
    pin = world.pin(buckets=[(10, 1000), *BUCKETS], where="frame_index = 0")
    assert pin.buckets[0].shard_rows == {}
    assert [one.samples for one in pin.buckets] == [0, 3, 3, 3]
    assert selected_runs(world.store.objects, pin).buckets.tolist() == [0, 0, 3, 6, 9]


def test_a_window_goes_by_its_first_row(world: World) -> None:
    def turned(key: Key) -> tuple[int, int]:
        return WIDE if key[1] == 0 else TALL

    world.add_frames("000000", frames_of(range(2), 4), size_of=turned)
    world.add_frames("000001", [])
    pin = world.pin(buckets=[WIDE, TALL], window=Window(frames=2))
    assert [one.samples for one in pin.buckets] == [2, 4]
    assert selected_runs(world.store.objects, pin).first_row.tolist() == [0, 4, 1, 5]


def test_every_row_knows_the_sample_that_begins_there_whatever_bucket_lies_between() -> None:
    """Windows 16 rows apart: 0 and 16 are one run of the first bucket; row 4, of another media, is the second's."""
    runs = SelectedRuns(np.array([0, 0]), np.array([0, 4]), np.array([2, 1]), np.array([0, 1, 2]))
    rows = np.array([0, 1, 4, 16, 20, 32])
    assert runs.samples_at(rows, np.array([0, 40]), 16).tolist() == [0, -1, 2, 1, -1, -1]


def test_the_assignment_belongs_to_the_selection_and_the_sizes_do_not(world: World) -> None:
    plain, pin = world.pin("plain"), world.pin(buckets=BUCKETS)
    double = world.pin("double", buckets=[(2 * height, 2 * width) for height, width in BUCKETS])
    other = world.pin("other", buckets=[WIDE, SQUARE, TALL])
    assert len({plain.selection_id, pin.selection_id, other.selection_id}) == 3
    assert double.selection_id == pin.selection_id
    assert double.id != pin.id


def test_a_pin_like_another_has_its_buckets_and_the_same_selection(world: World) -> None:
    pin = world.pin(buckets=BUCKETS, where="frame_index < 3", order=OrderParameters(block=2, group=2))
    alike = world.pin("alike", ["frames.image", VECTOR], like="p")
    assert alike.buckets == pin.buckets
    assert (alike.selection_id, alike.order) == (pin.selection_id, pin.order)
    with pytest.raises(PinError, match="buckets= cannot change it"):
        world.pin("else", like="p", buckets=[SQUARE])


def test_a_pin_like_another_is_refused_once_pictures_have_other_shapes(world: World) -> None:
    world.pin(buckets=BUCKETS)
    world.add_frames("000001", frames_of(range(6, 9), 2), sized, "f1", size_of=lambda _: SQUARE)
    version = world.store.tables.version("frames")
    with pytest.raises(PinError, match="not all there"):
        world.pin("alike", like="p", versions={"frames": version})
    assert world.pin("alike", like="p").buckets == Pins(world.store).get("p").buckets


def test_buckets_read_back_as_they_were_made(world: World) -> None:
    pin = world.pin(buckets=BUCKETS)
    assert Pins(world.store).get("p") == pin
    assert world.pin(buckets=BUCKETS) == pin


def test_each_bucket_has_as_many_streams_as_its_blocks_allow(world: World) -> None:
    pin = world.pin(buckets=BUCKETS, order=OrderParameters(block=1))
    assert [one.streams for one in pin.buckets] == [5, 5, 5]
    assert world.pin("nine", buckets=BUCKETS, order=OrderParameters(block=4, streams=9)).buckets[0].streams == 3


def test_pictures_of_unknown_size_are_counted_with_the_mend(world: World) -> None:
    world.add_frames("000001", frames_of(range(6, 9), 2), sized, size_of=lambda key: None if key[0] == 7 else SQUARE)
    with pytest.raises(PinError, match=r"2 of the 30 samples \(frame\) have no frame_height and frame_width") as caught:
        world.pin(buckets=BUCKETS)
    assert caught.value.mend is not None
    where = caught.value.mend.partition("where='")[2].rstrip("'")
    assert world.pin(buckets=BUCKETS, where=where).samples == 28


@pytest.mark.parametrize(
    ("columns", "options"),
    [([VECTOR], {}), (["frames.time_s"], {"window": Window(frames=2)})],
)
def test_buckets_need_pictures_of_the_samples(world: World, columns: list[str], options: dict[str, Window]) -> None:
    with pytest.raises(PinError, match=r"needs a picture or depth column .* \(frame\)"):
        world.pin(columns=columns, buckets=BUCKETS, **options)


def test_pictures_of_whole_media_go_by_the_size_of_the_media(world: World) -> None:
    spec = feature_table("posters", "A picture of each media.", "media", (), blob="image", codec="jpeg")
    world.store.tables.ensure(spec)
    _add_posters(world, "000000", range(6), lambda media: size_of((media, 0)))
    pin = world.pin(columns=["posters.image"], buckets=BUCKETS)
    assert pin.grain == "media"
    assert [one.shard_rows for one in pin.buckets] == [{"000000": 2}] * 3
    assert set(pin.tables) == {"posters", "raw_media"}


def test_a_pin_without_buckets_has_the_id_and_document_that_it_had_before_there_were_any() -> None:
    image = PinnedColumn(table="frames", field="image", grain="frame", kind="blob", codec="jpeg")
    file = PinnedFile(path="frames/shard=000000/a.parquet", shard="000000", rows=5, size_bytes=100)
    pin = Pin(
        name="p",
        id="",
        selection_id="s" * 32,
        grain="frame",
        columns=("frames.image",),
        sources={"frames.image": image},
        tables={"frames": PinnedTable(version=3, files=(file,), lineage={"asset_key": "frames"})},
        samples=5,
        order=OrderParameters(streams=1),
        shard_rows={"000000": 5},
        coverage={"frames.image": 1.0},
        created_at_us=0,
    ).with_id()
    assert pin.id == "b005b88e28e145b346e83706357d619c"
    assert b"buckets" not in pin.document()


def _add_posters(world: World, shard: str, media: range, size: Callable[[int], tuple[int, int]]) -> None:
    sizes = [size(one) for one in media]
    rows = world._blob_rows("posters", shard, [(one, 0) for one in media], sized, "jpg").drop(["frame_index"])
    rows = rows.append_column("fingerprint", pa.array(["p0"] * len(media)))
    world.store.tables.update("posters", shard, lambda _: rows)
    details = {
        "media_id": [media_id(one) for one in media],
        "kind": ["video"] * len(media),
        "height": pa.array([height for height, _ in sizes], pa.int64()),
        "width": pa.array([width for _, width in sizes], pa.int64()),
    }
    world.store.tables.update("raw_media", shard, lambda _: pa.table(details))
