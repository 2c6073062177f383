"""Pins: what they fix, how a selection is drawn, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.errors import IntegrityError, PinError, WhereError
from mmfs.loader import Loader
from mmfs.store.keys import Keys
from mmfs.store.pins import LiveColumn, LiveInput, PinnedColumn, Pins, Window
from mmfs.store.runs import selected_runs
from mmfs.store.selection import runs_of, sample_rows
from mmfs.store.subsets import Provenance, save_subset
from tests.loader.world import World, build_world, copy_world, frames_of, media_id

VECTOR = "clip_embeddings.vector"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("pins") / "store")


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    return copy_world(built, tmp_path / "store")


def save(world: World, name: str, keys: list[tuple[int, int]]) -> None:
    rows = pa.table(
        {"media_id": [media_id(m) for m, _ in keys], "frame_index": pa.array([i for _, i in keys], pa.int64())}
    )
    save_subset(world.store, name, rows, Provenance(), now_us=1)


def test_a_pin_names_the_files_and_packs_it_needs_and_no_others(world: World) -> None:
    pin = world.pin(columns=["frames.image", VECTOR])
    assert set(pin.tables) == {"frames", "clip_embeddings"}
    assert [file.shard for file in pin.tables["frames"].files] == ["000000", "000001", "000002"]
    assert pin.tables["frames"].version == world.store.tables.version("frames")
    assert {path.split("/")[1] for path in pin.tables["frames"].packs} == {"frames"}
    assert pin.tables["clip_embeddings"].packs == ()
    assert pin.samples == 74
    assert pin.shard_rows == {"000000": 50, "000001": 21, "000002": 3}


def test_the_table_of_the_grain_is_pinned_for_its_keys_even_if_no_column_of_it_is_asked(world: World) -> None:
    pin = world.pin(columns=[VECTOR])
    assert pin.tables["frames"].packs == ()
    assert pin.columns == (VECTOR,)


def test_a_pin_of_everything_needs_no_file_of_its_selection(world: World) -> None:
    assert world.pin().selection is None
    assert world.pin("q", where="frame_index = 0").selection is not None


def test_a_pin_reads_back_as_it_was_made(world: World) -> None:
    pin = world.pin(columns=["frames.image", "captions.text"], where="frame_index < 2")
    assert Pins(world.store).get("p") == pin
    assert Pins(world.store).names() == ["p"]


def test_making_the_same_pin_again_returns_it_and_another_of_its_name_is_refused(world: World) -> None:
    first = world.pin(columns=[VECTOR])
    assert world.pin(columns=[VECTOR]) == first
    with pytest.raises(PinError, match="another content, and a pin never changes"):
        world.pin(columns=["frames.image"])


def test_later_rows_do_not_join_a_selection(world: World) -> None:
    pin = world.pin(where="frame_index = 0")
    world.add_frames("000003", frames_of(range(30, 33), 2))
    assert Pins(world.store).get("p").samples == pin.samples == 20


def test_a_condition_of_another_table_selects_samples(world: World) -> None:
    pin = world.pin(where="width >= 110 AND frame_index = 0")
    assert pin.shard_rows == {"000000": 0, "000001": 7, "000002": 3}


def test_a_wrong_condition_names_its_token(world: World) -> None:
    with pytest.raises(WhereError, match="widht"):
        world.pin(where="widht > 3")


def test_a_subset_of_frames_selects_those_frames(world: World) -> None:
    save(world, "chosen", [(3, 1), (18, 0), (0, 4)])
    pin = world.pin(subset="chosen")
    assert pin.shard_rows == {"000000": 2, "000001": 0, "000002": 1}
    assert selected_runs(world.store.objects, pin).first_row.tolist() == [4, 16, 1]


def test_a_subset_of_media_selects_all_their_frames(world: World) -> None:
    save_subset(world.store, "chosen", pa.table({"media_id": [media_id(2)]}), Provenance(), now_us=1)
    assert world.pin(subset="chosen").samples == 5


def test_subset_and_condition_narrow_one_another(world: World) -> None:
    save(world, "chosen", [(3, 1), (18, 0), (0, 4)])
    assert world.pin(subset="chosen", where="frame_index > 0").samples == 2


def test_keys_of_a_subset_that_no_longer_exist_are_counted_and_may_be_skipped(world: World) -> None:
    save(world, "chosen", [(3, 1), (99, 0)])
    with pytest.raises(PinError, match="1 of the 2 keys of subset 'chosen'"):
        world.pin(subset="chosen")
    assert world.pin(subset="chosen", missing="skip").samples == 1


def test_an_unknown_subset_is_named(world: World) -> None:
    with pytest.raises(PinError, match="no subset 'chosen'"):
        world.pin(subset="chosen")


def test_missing_values_are_counted_before_training(world: World) -> None:
    world.add_depth("000001", frames_of(range(10, 16), 3))
    with pytest.raises(PinError, match=r"3 of the 74 selected .* have no depth_maps.depth"):
        world.pin(columns=["frames.image", "depth_maps.depth"])


def test_missing_values_may_be_skipped_or_kept(world: World) -> None:
    world.add_depth("000001", frames_of(range(10, 16), 3))
    columns = ["frames.image", "depth_maps.depth"]
    assert world.pin("skip", columns, missing="skip").samples == 71
    kept = world.pin("null", columns, missing="null")
    assert kept.samples == 74
    assert kept.coverage == {"frames.image": 1.0, "depth_maps.depth": pytest.approx(71 / 74)}


def test_a_table_that_lacks_whole_shards_has_gaps_there(world: World) -> None:
    world.add_vectors("000000", frames_of(range(10), 5), table="other_embeddings", model=1)
    pin = world.pin(columns=["other_embeddings.vector"], missing="skip")
    assert pin.shard_rows == {"000000": 50, "000001": 0, "000002": 0}


def test_a_null_is_a_missing_value(world: World) -> None:
    with pytest.raises(PinError, match=r"74 of the 74 selected .* have no raw_media.fps"):
        world.pin(columns=["raw_media.fps", VECTOR])


def test_an_older_version_can_be_pinned(world: World) -> None:
    old = world.store.tables.version("clip_embeddings")
    world.add_vectors("000000", frames_of(range(10), 5), model=2)
    pin = world.pin(columns=[VECTOR], versions={"clip_embeddings": old})
    assert pin.tables["clip_embeddings"].version == old
    assert pin.id != world.pin("new", columns=[VECTOR]).id
    assert pin.lineage["clip_embeddings"]["version"] == old


def test_a_version_that_does_not_exist_names_the_newest(world: World) -> None:
    newest = world.store.tables.version("clip_embeddings")
    with pytest.raises(PinError, match=f"version 99 of clip_embeddings .* newest is {newest}"):
        world.pin(columns=[VECTOR], versions={"clip_embeddings": 99})
    with pytest.raises(PinError, match="names the table captions, of which no column"):
        world.pin(columns=[VECTOR], versions={"captions": 1})


def test_the_selection_id_depends_on_the_samples_alone(world: World) -> None:
    plain = world.pin("a", columns=["frames.image"])
    world.add_vectors("000000", frames_of(range(10), 5), model=2)
    assert world.pin("b", columns=[VECTOR, "captions.text"]).selection_id == plain.selection_id
    assert world.pin("c", columns=["frames.image"], where="frame_index >= 0").selection_id == plain.selection_id
    assert world.pin("d", columns=["frames.image"], where="frame_index < 4").selection_id != plain.selection_id


def test_like_takes_the_selection_of_another_pin_and_its_versions(world: World) -> None:
    save(world, "chosen", [(3, 1), (18, 0), (0, 4)])
    first = world.pin("a", columns=["frames.image"], subset="chosen")
    save(world, "chosen", [(5, 1)])
    world.add_frames("000000", frames_of(range(10), 5), fingerprint="f1")
    second = world.pin("b", columns=["frames.image", VECTOR], like="a")
    assert second.selection_id == first.selection_id
    assert second.tables["frames"] == first.tables["frames"]


def test_like_refuses_columns_that_do_not_cover_the_samples(world: World) -> None:
    world.pin("a", columns=["frames.image"])
    world.add_vectors("000000", frames_of(range(10), 5), table="other_embeddings", model=1)
    with pytest.raises(PinError, match="samples of pin 'a' are not all there"):
        world.pin("b", columns=["other_embeddings.vector"], like="a", missing="skip")
    with pytest.raises(PinError, match="24 of the 74"):
        world.pin("b", columns=["other_embeddings.vector"], like="a")
    with pytest.raises(PinError, match="takes a whole selection"):
        world.pin("b", columns=[VECTOR], like="a", where="frame_index = 0")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("frames", "names no column"),
        ("nothing.image", "names no column of a table.*frames"),
        ("frames.picture", "has no column 'picture'.*image"),
        ("quarantine.reason", "holds no columns of samples"),
    ],
)
def test_an_unknown_column_names_what_there_is(world: World, column: str, said: str) -> None:
    with pytest.raises(PinError, match=said):
        world.pin(columns=[column])


def test_a_finer_column_than_the_sample_is_refused(world: World) -> None:
    with pytest.raises(PinError, match=r"frames.image has a value for each frame, a sample is one media"):
        world.pin(columns=["frames.image", "raw_media.width"], grain="media")


def test_the_grain_is_the_finest_of_the_columns(world: World) -> None:
    assert world.pin("a", columns=["raw_media.width", "frames.image"]).grain == "frame"
    assert world.pin("b", columns=["raw_media.width", "captions.text"]).grain == "caption"
    assert world.pin("c", columns=["raw_media.width"]).grain == "media"
    assert world.pin("d", columns=["raw_media.width"], grain="frame").samples == 74


def test_a_selection_without_samples_is_refused(world: World) -> None:
    with pytest.raises(PinError, match="no sample is selected"):
        world.pin(where="frame_index > 1000")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-a"])
def test_a_name_that_is_no_file_name_is_refused(world: World, name: str) -> None:
    with pytest.raises(PinError, match="no name for a pin"):
        world.pin(name)


def test_unknown_arguments_name_the_choices(world: World) -> None:
    with pytest.raises(PinError, match="choose one of error, skip, null"):
        world.pin(missing="ignore")
    with pytest.raises(PinError, match="choose one of media, frame"):
        world.pin(grain="movie")


def test_packs_are_those_of_the_selected_rows(world: World) -> None:
    packs = world.pin(where="width >= 117").tables["frames"].packs
    assert [path.split("/")[2] for path in packs] == ["000002"]


def test_a_removed_pin_is_gone_with_its_selection(world: World) -> None:
    pin = world.pin(where="frame_index = 0")
    Pins(world.store).remove("p")
    assert Pins(world.store).names() == []
    assert pin.selection is not None
    assert not world.store.objects.exists(pin.selection)
    with pytest.raises(PinError, match="no pin 'p'"):
        Pins(world.store).get("p")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:100],
        lambda text: text.replace('"samples": 20', '"samples": 21'),
        lambda text: json.dumps(json.loads(text) | {"unknown": 1}),
    ],
)
def test_a_damaged_pin_is_not_believed(world: World, damage: Callable[[str], str]) -> None:
    world.pin(where="frame_index = 0")
    text = world.store.objects.get("pins/p.json").decode()
    world.store.objects.put("pins/p.json", damage(text).encode())
    with pytest.raises(PinError, match=r"pin 'p' (is damaged|was changed)"):
        Pins(world.store).get("p")


def test_a_damaged_selection_is_not_believed(world: World) -> None:
    pin = world.pin(where="frame_index = 0")
    assert pin.selection is not None
    data = bytearray(world.store.objects.get(pin.selection))
    data[len(data) // 2] ^= 1
    world.store.objects.put(pin.selection, bytes(data))
    with pytest.raises(IntegrityError, match="was changed"):
        selected_runs(world.store.objects, pin)


def test_media_that_were_taken_down_are_not_selected(world: World) -> None:
    world.store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(3)]}))
    assert world.pin().samples == 69


def test_like_keeps_the_places_of_what_was_taken_down_since(world: World) -> None:
    first = world.pin("a", columns=["frames.image"])
    world.store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(3)]}))
    second = world.pin("b", columns=[VECTOR], like="a")
    assert second.selection_id == first.selection_id
    loader = Loader(world.store, second, batch_size=16)
    assert sum(int(batch["_valid"].sum()) for batch in loader) == 69


def test_windows_are_whole_runs_of_one_media(world: World) -> None:
    pin = world.pin(window=Window(frames=2, stride=2, step=1))
    assert pin.shard_rows == {"000000": 10 * 3, "000001": 7 * 1, "000002": 0}


def test_windows_need_all_their_rows_selected(world: World) -> None:
    pin = world.pin(where="frame_index <> 2", window=Window(frames=2))
    assert pin.shard_rows == {"000000": 10 * 2, "000001": 7 * 1, "000002": 0}


@given(
    st.lists(st.integers(1, 9), max_size=6),
    st.data(),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_windows_are_those_that_counting_finds(
    lengths: list[int], data: st.DataObject, frames: int, stride: int, step: int
) -> None:
    media = np.repeat(np.array([f"{n:032x}".encode() for n in range(len(lengths))], "S32"), lengths)
    selected = np.array(data.draw(st.lists(st.booleans(), min_size=len(media), max_size=len(media))), np.bool_)
    window = Window(frames=frames, stride=stride, step=step)
    expected, first = [], 0
    for length in lengths:
        for begin in range(0, length, step):
            rows = [first + begin + stride * n for n in range(frames)]
            if rows[-1] < first + length and selected[rows].all():
                expected.append(rows[0])
        first += length
    starts = sample_rows(Keys(media, np.arange(len(media))), selected, window)
    assert starts.tolist() == expected
    runs = runs_of(starts, window)
    assert [f + step * n for f, c in zip(runs.first_row, runs.samples, strict=True) for n in range(c)] == expected


KEYS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), unique=True, max_size=30).map(sorted)


@given(KEYS, KEYS)
def test_keys_are_found_where_they_are(mine: list[tuple[int, int]], theirs: list[tuple[int, int]]) -> None:
    def keys(pairs: list[tuple[int, int]]) -> Keys:
        media = np.array([f"{m:032x}".encode() for m, _ in pairs], "S32")
        return Keys(media, np.array([i for _, i in pairs], np.int64))

    found = keys(mine).locate_in(keys(theirs)).tolist()
    assert found == [theirs.index(key) if key in theirs else -1 for key in mine]
    first, count = keys(mine).media_rows_in(keys(theirs).media)
    assert count.tolist() == [sum(m == key[0] for m, _ in theirs) for key in mine]
    assert all(theirs[f][0] == key[0] for key, f, c in zip(mine, first, count, strict=True) if c)


def live(*inputs: str, grain: str = "frame") -> LiveColumn:
    """A column of some feature, computed from these."""
    return LiveColumn(
        value=PinnedColumn(table="other", field="vector", grain=grain, kind="vector", dtype="<f2", dim=4),  # type: ignore[arg-type]
        inputs=tuple(
            LiveInput(name=name, column=name.removesuffix("@previous"), is_previous=name.endswith("@previous"))
            for name in inputs
        ),
        fingerprint="0" * 64,
        parts={"code": "1"},
    )


LIVE = "live:other.vector"


def test_a_live_column_pins_what_it_is_computed_from(world: World) -> None:
    described = live("frames.image", "raw_media.width")
    pin = world.pin(columns=[LIVE, "captions.text"], live={LIVE: described})
    assert pin.columns == (LIVE, "captions.text")
    assert set(pin.sources) == {"captions.text", "frames.image", "raw_media.width"}
    assert pin.live == {LIVE: described}
    assert set(pin.tables) == {"frames", "captions", "raw_media"}
    assert len(pin.tables["frames"].packs) == 3
    assert pin.grain == "frame"
    assert pin.coverage == {LIVE: 1.0, "captions.text": 1.0}
    assert Pins(world.store).get("p") == pin
    assert pin.selection_id == world.pin("q", columns=[VECTOR]).selection_id


def test_other_weights_make_another_pin(world: World) -> None:
    described = live("frames.image")
    first = world.pin(columns=[LIVE], live={LIVE: described})
    assert world.pin(columns=[LIVE], live={LIVE: described}) == first
    with pytest.raises(PinError, match="another content"):
        world.pin(columns=[LIVE], live={LIVE: described.model_copy(update={"fingerprint": "1" * 64})})


def test_a_null_that_a_live_column_is_computed_from_is_no_gap(world: World) -> None:
    assert world.pin(columns=[LIVE], live={LIVE: live("frames.image", "raw_media.fps")}).samples == 74


def test_rows_that_a_live_column_is_computed_from_may_be_missing(world: World) -> None:
    world.add_depth("000001", frames_of(range(10, 16), 3))
    described = {LIVE: live("frames.image", "depth_maps.depth")}
    with pytest.raises(PinError, match=f"3 of the 74 .* no frames.image and depth_maps.depth, from which {LIVE} is"):
        world.pin(columns=[LIVE], live=described)
    assert world.pin("skip", [LIVE], live=described, missing="skip").samples == 71
    assert world.pin("null", [LIVE], live=described, missing="null").coverage == {LIVE: pytest.approx(71 / 74)}


def test_packs_of_the_rows_before_are_pinned_with_those_of_the_selected(world: World) -> None:
    """Two packs of one shard: the selected frames lie in one, the frames before them in the other."""
    rows = world.store.tables.read("frames", shard="000000").drop_columns(["shard"]).to_pylist()
    other = "packs/frames/000000/other.tar"
    for row in rows:
        row.update({"fingerprint": "f1", "pack": other if row["frame_index"] < 3 else row["pack"]})
    world.store.tables.update("frames", "000000", lambda old: pa.Table.from_pylist(rows, schema=old.schema))
    where = "frame_index = 3"
    plain = world.pin("a", columns=[LIVE], live={LIVE: live("frames.image")}, where=where)
    before = world.pin("b", columns=[LIVE], live={LIVE: live("frames.image", "frames.image@previous")}, where=where)
    assert other not in plain.tables["frames"].packs
    assert set(before.tables["frames"].packs) == {other, *plain.tables["frames"].packs}


def test_a_live_column_that_nobody_described_is_refused(world: World) -> None:
    with pytest.raises(PinError, match=f"{LIVE} is not resolved"):
        world.pin(columns=[LIVE])
    with pytest.raises(PinError, match=r"computed from nothing.image.*materialize nothing first"):
        world.pin(columns=[LIVE], live={LIVE: live("nothing.image")})


def test_a_pin_of_before_there_were_live_columns_is_still_read(world: World) -> None:
    pin = world.pin()
    document = json.loads(world.store.objects.get("pins/p.json"))
    del document["live"]
    world.store.objects.put("pins/p.json", json.dumps(document).encode())
    assert Pins(world.store).get("p") == pin
