"""Columns that are computed while loading: as the stored ones, on the same samples, in the same order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.errors import LoaderError, MissingExtraError, PinError
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.loader import Loader
from mmfs.settings import ClipConfig, DepthConfig, Settings
from mmfs.store import Store
from mmfs.store.delta import DeltaLog
from mmfs.store.pins import Pin, Pins, Window
from tests.features.tiny import picture, write_clip, write_depth
from tests.loader.lab import NOT_FINITE, RAISES
from tests.loader.world import World, frames_of, media_id, name_of

CLIP, LIVE_CLIP = "clip_embeddings.vector", "live:clip_embeddings.vector"
DEPTH, LIVE_DEPTH = "depth_maps.depth", "live:depth_maps.depth"
FRAMES = {"000000": frames_of(range(6), 3), "000001": frames_of(range(6, 9), 2)}
COUNT = 24
STORED = ("clip_embeddings", "depth_maps", "motion", "mirrored", "profile", "summary", "words")


def jpeg(key: tuple[int, int]) -> bytes:
    """Frames of two sizes, by media."""
    return encode_jpeg(picture(10 * key[0] + key[1], (48, 64) if key[0] % 2 else (40, 40)))


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("models")
    return Settings(
        clip=ClipConfig(model=f"local-dir:{write_clip(folder / 'clip')}", batch_size=4),
        depth=DepthConfig(model=str(write_depth(folder / "depth")), batch_size=4),
        features=("tests.loader.lab",),
        device="cpu",
    )


@pytest.fixture(scope="session")
def world(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Frames, captions and media, with every feature of `STORED` computed. Tests that change it take a new one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = fill(World(Store.open(tmp_path_factory.mktemp("live") / "store", settings=settings)))
    for table in STORED:
        compute(made.store, table)
    torch.set_num_threads(threads)
    return made


@pytest.fixture
def fresh(settings: Settings, tmp_path: Path) -> World:
    """The same frames, captions and media; no feature is computed."""
    return fill(World(Store.open(tmp_path / "store", settings=settings)))


def fill(world: World) -> World:
    for shard, keys in FRAMES.items():
        media = sorted({m for m, _ in keys})
        world.add_frames(shard, keys, blob=jpeg)
        world.add_captions(shard, media, each=3)
        rows = pa.table(
            {
                "media_id": [media_id(m) for m in media],
                "kind": ["video"] * len(media),
                "fps": pa.array([None if m % 2 else 25.0 for m in media], pa.float64()),
            }
        )
        world.store.tables.update("raw_media", shard, lambda _, rows=rows: rows)
    return world


def compute(store: Store, table: str, shards: Sequence[str] = tuple(FRAMES)) -> None:
    feature = instantiate(registered(store.settings)[table], store.settings)
    for shard in shards:
        run_feature(store, feature, shard)


def pin(world: World, columns: Sequence[str], **options: Any) -> Pin:
    """A pin under a name made of what is asked."""
    features = FeatureStore(world.store)
    return features.pin(f"p{len(features.pins())}", columns=columns, **options)


def load(world: World, columns: Sequence[str], *, options: dict[str, Any] | None = None, **loading: Any) -> Loader:
    arguments = {"batch_size": 5, "threads": 2, "image_size": 32} | loading
    return Loader(world.store, pin(world, columns, **(options or {})), **arguments)


def by_key(loader: Loader, column: str) -> dict[str, Any]:
    found = {}
    for batch in loader:
        for key, valid, value in zip(batch["_key"], batch["_valid"].tolist(), batch[column], strict=True):
            if valid:
                found[key] = value
    return found


def keys_of(loader: Loader) -> list[str]:
    return [key for batch in loader for key in batch["_key"]]


def test_live_vectors_are_the_stored_ones_on_the_same_samples_in_the_same_order(world: World) -> None:
    for stored, live in zip(load(world, [CLIP]), load(world, [LIVE_CLIP]), strict=True):
        assert stored["_key"] == live["_key"]
        assert (live[LIVE_CLIP].shape, live[LIVE_CLIP].dtype) == (stored[CLIP].shape, torch.float32)
        assert torch.allclose(live[LIVE_CLIP], stored[CLIP], atol=2e-3)
        assert not torch.equal(live[LIVE_CLIP][0], live[LIVE_CLIP][1])


def test_live_depth_is_the_stored_one_cut_to_the_size_of_pictures_alike(world: World) -> None:
    columns = ["depth_maps.depth_max", "depth_maps.depth_width"]
    stored_loader = load(world, [DEPTH, *columns])
    live_loader = load(world, [LIVE_DEPTH, *(f"live:{column}" for column in columns)])
    for stored, live in zip(stored_loader, live_loader, strict=True):
        assert stored["_key"] == live["_key"]
        assert live[LIVE_DEPTH].shape == (5, 1, 32, 32)
        assert torch.allclose(live[LIVE_DEPTH], stored[DEPTH], rtol=2e-3)
        assert torch.allclose(live["live:depth_maps.depth_max"], stored["depth_maps.depth_max"], rtol=1e-4)
        assert torch.equal(live["live:depth_maps.depth_width"], stored["depth_maps.depth_width"])


@pytest.mark.parametrize("image_size", [None, 24, 56])
@pytest.mark.parametrize(("column", "tolerance"), [(DEPTH, 0.01), ("mirrored.image", 20)])
def test_live_pictures_and_maps_have_the_sizes_of_stored_ones(
    world: World, column: str, tolerance: float, image_size: int | None
) -> None:
    stored = by_key(load(world, [column], image_size=image_size), column)
    live = by_key(load(world, [f"live:{column}"], image_size=image_size), f"live:{column}")
    assert stored.keys() == live.keys()
    for key, value in stored.items():
        assert (live[key].shape, live[key].dtype) == (value.shape, value.dtype)
        assert (live[key].float() - value.float()).abs().mean() < tolerance


def test_live_arrays_texts_and_numbers_come_as_stored_ones(world: World) -> None:
    columns = ["profile.values", "summary.text", "summary.is_known"]
    stored = load(world, columns, batch_size=24)
    live = load(world, [f"live:{column}" for column in columns], batch_size=24)
    for one, other in zip(stored, live, strict=True):
        assert other["live:profile.values"].shape == (24, 3, 64)
        assert torch.allclose(one["profile.values"], other["live:profile.values"], rtol=1e-3)
        assert torch.equal(one["profile.values:length"], other["live:profile.values:length"])
        assert set(other["live:profile.values:length"].tolist()) == {40, 64}
        assert one["summary.text"] == other["live:summary.text"]
        assert torch.equal(one["summary.is_known"], other["live:summary.is_known"])
        assert {text.split(", ")[1] for text in other["live:summary.text"]} == {"25.0 fps", "None fps"}


def test_a_live_pin_has_the_selection_of_a_stored_one_and_names_what_computes_it(world: World) -> None:
    stored, live = pin(world, [CLIP, "captions.text"]), pin(world, [LIVE_CLIP, "captions.text"])
    assert stored.selection_id == live.selection_id
    assert stored.order == live.order
    assert live.columns == (LIVE_CLIP, "captions.text")
    assert set(live.tables) == {"frames", "captions"}
    assert len(live.tables["frames"].packs) == 2
    assert live.coverage[LIVE_CLIP] == 1.0
    described = live.live[LIVE_CLIP]
    assert (described.value.kind, described.value.dim, described.value.grain) == ("vector", 16, "frame")
    assert [one.column for one in described.inputs] == ["frames.image"]
    assert len(described.fingerprint) == 64
    assert Pins(world.store).get(live.name) == live


def test_a_stored_and_a_live_column_can_be_swapped_by_name(world: World) -> None:
    stored = pin(world, [CLIP, "frames.image"], where="frame_index > 0")
    live = FeatureStore(world.store).pin("swapped", columns=[LIVE_CLIP, "frames.image"], like=stored.name)
    again = FeatureStore(world.store).pin("again", like="swapped")
    assert again.live == live.live
    loaders = [Loader(world.store, one, batch_size=4, image_size=32) for one in (stored, live, again)]
    assert keys_of(loaders[0]) == keys_of(loaders[1]) == keys_of(loaders[2])


def test_what_is_read_for_live_columns_alone_is_not_in_the_batch(world: World) -> None:
    batch = next(iter(load(world, [LIVE_CLIP, "frames.time_s", "live:depth_maps.scale"])))
    assert list(batch) == [LIVE_CLIP, "frames.time_s", "live:depth_maps.scale", "_key", "_valid"]


def test_a_picture_that_is_asked_for_and_computed_from_is_fetched_once(world: World) -> None:
    size = sum(len(jpeg(key)) for keys in FRAMES.values() for key in keys)
    for columns in (["frames.image"], [LIVE_CLIP, LIVE_DEPTH], ["frames.image", LIVE_CLIP, LIVE_DEPTH]):
        loader = load(world, columns, batch_size=COUNT)
        (batch,) = list(loader)
        assert loader.stats().bytes_read == size
        assert (loader.stats().live_s > 0) == (len(columns) > 1)
    plain = next(iter(load(world, ["frames.image"], batch_size=COUNT)))
    assert torch.equal(plain["frames.image"], batch["frames.image"])


def test_windows_have_live_values_of_every_row(world: World) -> None:
    options = {"window": Window(frames=2)}
    stored = load(world, [CLIP, DEPTH, "summary.text"], options=options)
    live = load(world, [LIVE_CLIP, LIVE_DEPTH, "live:summary.text"], options=options)
    for one, other in zip(stored, live, strict=True):
        assert one["_key"] == other["_key"]
        assert other[LIVE_CLIP].shape == (5, 2, 16)
        assert torch.allclose(other[LIVE_CLIP], one[CLIP], atol=2e-3)
        assert other[LIVE_DEPTH].shape == (5, 2, 1, 32, 32)
        assert torch.allclose(other[LIVE_DEPTH], one[DEPTH], rtol=2e-3)
        assert other["live:summary.text"] == one["summary.text"]


@pytest.mark.parametrize("options", [{}, {"window": Window(frames=2, step=2)}, {"where": "frame_index <> 1"}])
def test_the_row_before_is_the_stored_one_before_selected_or_not(world: World, options: dict[str, Any]) -> None:
    columns = ["motion.change", "motion.step_s"]
    stored = load(world, columns, options=options)
    live = load(world, [f"live:{column}" for column in columns], options=options)
    for one, other in zip(stored, live, strict=True):
        assert one["_key"] == other["_key"]
        for column in columns:
            assert torch.allclose(one[column], other[f"live:{column}"], rtol=1e-4)
    steps = {key: value.flatten().tolist() for key, value in by_key(live, "live:motion.step_s").items()}
    assert {step[0] for key, step in steps.items() if key.endswith(":0")} == {0.0}
    assert {step[0] for key, step in steps.items() if key.endswith(":2")} <= {1.0}


def test_rows_before_cost_no_byte_where_a_window_has_them_already(world: World) -> None:
    loader = load(world, ["live:motion.change"], batch_size=6, options={"window": Window(frames=3)})
    list(loader)
    assert loader.stats().bytes_read == sum(len(jpeg(key)) for key in FRAMES["000000"])


def test_training_resumes_in_mid_epoch_on_another_topology(world: World) -> None:
    live = pin(world, [LIVE_CLIP])
    expected = by_key(load(world, [CLIP]), CLIP)

    def loader(batch_size: int, rank: int = 0, world_size: int = 1) -> Loader:
        return Loader(world.store, live, batch_size=batch_size, rank=rank, world_size=world_size, seed=3)

    whole = keys_of(loader(COUNT))
    first = loader(5)
    seen = [key for batch in islice(first, 2) for key in batch["_key"]]
    state = json.loads(json.dumps(first.state_dict()))
    ranks = [loader(4, rank, 2) for rank in range(2)]
    for rank in ranks:
        rank.load_state_dict(state)
    for step in zip(*ranks, strict=True):
        for place in range(4):
            seen += [batch["_key"][place] for batch in step if batch["_valid"][place]]
        for batch in step:
            for key, vector in zip(batch["_key"], batch[LIVE_CLIP], strict=True):
                assert torch.allclose(vector, expected[key], atol=2e-3)
    assert seen == whole


def test_other_weights_are_refused_with_both_fingerprints_and_the_mend(world: World, tmp_path: Path) -> None:
    live = pin(world, [LIVE_CLIP, LIVE_DEPTH])
    other = ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'other', seed=1)}")
    store = Store.open(world.store.url, settings=world.store.settings.model_copy(update={"clip": other}))
    with pytest.raises(LoaderError, match=r"clip_embeddings.vector was pinned with .* other weights .*pin again") as e:
        Loader(store, live, batch_size=4)
    again = FeatureStore(store).pin("otherwise", columns=[LIVE_CLIP])
    for fingerprint in (live.live[LIVE_CLIP].fingerprint, again.live[LIVE_CLIP].fingerprint):
        assert fingerprint[:12] in str(e.value)
    assert len(keys_of(Loader(store, again, batch_size=COUNT))) == COUNT


def test_weights_in_another_folder_are_the_same_weights(world: World, tmp_path: Path) -> None:
    moved = ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'moved')}")
    store = Store.open(world.store.url, settings=world.store.settings.model_copy(update={"clip": moved}))
    assert len(keys_of(Loader(store, pin(world, [LIVE_CLIP]), batch_size=COUNT))) == COUNT


def test_a_feature_that_is_not_here_is_named(world: World) -> None:
    live = pin(world, ["live:words.characters"])
    store = Store.open(world.store.url, settings=world.store.settings.model_copy(update={"features": ()}))
    with pytest.raises(LoaderError, match=r"live:words.characters needs the feature 'words'.* MMFS_FEATURES"):
        Loader(store, live, batch_size=4)


BRIGHTNESS = "live:picky.brightness"


def test_rows_that_cannot_be_computed_are_reported_and_their_places_filled(world: World) -> None:
    good = [name_of(key) for keys in FRAMES.values() for key in keys if key not in (RAISES, NOT_FINITE)]
    loader = load(world, [BRIGHTNESS, "frames.image"], image_size=40)
    seen = []
    for batch in loader:
        for place, key in enumerate(batch["_key"]):
            assert key in good
            if int(key.split(":")[0], 16) % 2 == 0:  # pictures of 40 x 40 are delivered whole
                mean = float(batch["frames.image"][place].float().mean())
                assert batch[BRIGHTNESS][place] == pytest.approx(mean, rel=1e-4)
        seen += [key for key, valid in zip(batch["_key"], batch["_valid"].tolist(), strict=True) if valid]
    assert sorted(seen) == good
    reasons = {bad.key: (bad.column, bad.reason) for bad in loader.stats().bad}
    assert reasons == {
        name_of(RAISES): (BRIGHTNESS, "ValueError: no brightness of this frame"),
        name_of(NOT_FINITE): (BRIGHTNESS, "brightness is not finite"),
    }


def test_ranks_stay_in_step_when_rows_cannot_be_computed(world: World) -> None:
    live = pin(world, [BRIGHTNESS])
    for batch_size in (1, 3):
        ranks = [list(Loader(world.store, live, batch_size=batch_size, rank=rank, world_size=2)) for rank in range(2)]
        assert [len(batches) for batches in ranks] == [COUNT // batch_size // 2] * 2
        assert sum(int(batch["_valid"].sum()) for batches in ranks for batch in batches) == COUNT - 2


def test_a_bad_row_spoils_its_windows_and_no_others(world: World) -> None:
    loader = load(world, [BRIGHTNESS], options={"window": Window(frames=2)})
    keys = [key for batch in loader for key, valid in zip(batch["_key"], batch["_valid"], strict=True) if valid]
    bad = {(3, 0), (3, 1), (4, 1)}
    windows = [(m, i) for keys in FRAMES.values() for m, i in keys if (m, i + 1) in keys]
    assert sorted(keys) == [name_of(key) for key in windows if key not in bad]


def test_a_feature_that_computes_nothing_is_an_error_at_the_next_batch(world: World) -> None:
    where = f"media_id = '{media_id(3)}' AND frame_index = 1"
    loader = load(world, [BRIGHTNESS], options={"where": where})
    with pytest.raises(LoaderError, match=r"substitutes tried are bad.*no brightness of this frame.*check its weights"):
        next(iter(loader))


def test_damaged_inputs_are_bad_samples(fresh: World) -> None:
    keys = FRAMES["000001"]
    fresh.add_frames("000001", keys, blob=lambda key: b"no jpeg" if key == (7, 1) else jpeg(key))
    loader = load(fresh, [LIVE_CLIP, "live:motion.change"], options={"where": "frame_index = 1"}, batch_size=9)
    (batch,) = list(loader)
    assert batch["_valid"].sum() == 8
    (bad,) = loader.stats().bad
    assert (bad.key, bad.column) == (f"{media_id(7)}:1", "frames.image")
    assert "not a JPEG" in bad.reason


def test_missing_means_the_inputs_of_live_columns(fresh: World) -> None:
    compute(fresh.store, "depth_maps", ["000000"])
    column = "live:nearness.near"
    with pytest.raises(PinError, match=r"6 of the 24 selected .* have no depth_maps.depth, from which live:nearness"):
        pin(fresh, [column])
    assert pin(fresh, [column], missing="skip").shard_rows == {"000000": 18, "000001": 0}
    kept = pin(fresh, [column, "frames.time_s"], missing="null")
    assert kept.coverage[column] == 0.75
    depth = by_key(load(fresh, [DEPTH], options={"missing": "skip"}, image_size=None), DEPTH)
    for batch in Loader(fresh.store, kept, batch_size=24):
        for place, key in enumerate(batch["_key"]):
            present = key in depth
            assert batch[f"{column}:present"][place] == present
            expected = [float(depth[key].min()), float(depth[key].mean())] if present else [0.0, 0.0]
            assert batch[column][place].tolist() == pytest.approx(expected, rel=1e-3)


def test_captions_have_live_columns_at_their_own_grain_and_at_finer_ones(world: World) -> None:
    column = "live:words.characters"
    own = load(world, [column, "captions.text"])
    frames = [
        load(world, [column, "captions.text", "frames.time_s"], captions=captions) for captions in ("first", "random")
    ]
    seen = set()
    for loader in (own, *frames):
        for batch in loader:
            assert batch[column].tolist() == [len(text) for text in batch["captions.text"]]
            seen |= set(batch["captions.text"])
    assert len(seen) == 27
    with pytest.raises(LoaderError, match=r"captions='all' gives lists, and live:words.characters"):
        load(world, [column, "frames.time_s"], captions="all")


def test_rows_that_need_not_belong_together_are_refused(world: World) -> None:
    assert pin(world, ["live:wordiness.ratio"]).samples == 27
    with pytest.raises(PinError, match=r"for each caption, from 2 tables of those, and a sample is one frame"):
        pin(world, ["live:wordiness.ratio", "frames.time_s"])


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("live:nothing.vector", r"names no output of a feature; write live:table.output; features are clip_embeddings"),
        ("live:clip_embeddings", r"names no output of a feature"),
        ("live:clip_embeddings.depth", r"feature clip_embeddings has no output 'depth'; it has vector"),
        ("live:frames.image", r"names no output of a feature"),
        ("live:nearness.near", r"computed from depth_maps.depth.*materialize depth_maps first"),
    ],
)
def test_an_unknown_live_column_names_what_there_is(fresh: World, column: str, said: str) -> None:
    with pytest.raises(PinError, match=said):
        pin(fresh, [column])


def test_live_columns_are_no_coarser_pins_columns(world: World) -> None:
    with pytest.raises(
        PinError, match=r"live:clip_embeddings.vector has a value for each frame, a sample is one media"
    ):
        pin(world, [LIVE_CLIP], grain="media")


def test_stored_bytes_of_what_is_not_stored_are_refused(world: World) -> None:
    with pytest.raises(LoaderError, match=r"decode=False hands out stored bytes, and live:depth_maps.depth"):
        load(world, [LIVE_DEPTH], decode=False)
    batch = next(iter(load(world, [LIVE_CLIP, "frames.image"], decode=False)))
    assert isinstance(batch["frames.image"][0], bytes)
    assert batch[LIVE_CLIP].shape == (5, 16)


def test_a_package_that_is_not_installed_is_named_when_the_loader_is_made(world: World) -> None:
    with pytest.raises(MissingExtraError, match=r"mmfs_no_such_package is not installed \[live:needy.value\]; pip"):
        load(world, ["live:needy.value"])


def test_transforms_take_live_columns(world: World) -> None:
    loader = load(world, [LIVE_CLIP], transforms={LIVE_CLIP: lambda vectors: vectors.sum(dim=1)})
    assert next(iter(loader))[LIVE_CLIP].shape == (5,)


def test_reading_touches_no_table_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = load(world, [LIVE_CLIP, "frames.image"])

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("the Delta log was read")

    monkeypatch.setattr(DeltaLog, "snapshot", refuse)
    monkeypatch.setattr(DeltaLog, "open", refuse)
    assert len(set(keys_of(loader))) == COUNT


def test_later_frames_do_not_change_what_is_computed(fresh: World) -> None:
    live = pin(fresh, [LIVE_CLIP])
    before = by_key(Loader(fresh.store, live, batch_size=6), LIVE_CLIP)
    for shard, keys in FRAMES.items():
        fresh.add_frames(shard, keys, blob=lambda key: jpeg((key[0] + 2, key[1])), fingerprint="f1")
    fresh.store.vacuum(keep_days=0)
    after = by_key(Loader(fresh.store, live, batch_size=6), LIVE_CLIP)
    assert all(np.array_equal(after[key], before[key]) for key in before)


def test_the_facade_pins_and_loads_in_one_call(world: World) -> None:
    loader = FeatureStore(world.store).loader(
        columns=["frames.image", LIVE_CLIP], run="live-1", batch_size=6, image_size=32
    )
    batch = next(iter(loader))
    loader.close()
    assert batch["frames.image"].shape == (6, 3, 32, 32)
    assert batch[LIVE_CLIP].shape == (6, 16)
    assert FeatureStore(world.store).keys_at("live-1", step=0) == batch["_key"]
