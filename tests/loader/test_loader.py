"""The loader on a real store: what a batch holds, and what a loader promises about it."""

from __future__ import annotations

import gc
import json
import re
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmfs.errors import IntegrityError, LoaderError, PinError
from mmfs.loader import Loader
from mmfs.store.delta import DeltaLog
from mmfs.store.pins import Pins, Window
from tests.loader.world import World, colour_of, depth_of, frames_of, jpeg_of, media_id, name_of, vector_of

ALL = [
    "frames.image",
    "clip_embeddings.vector",
    "depth_maps.depth",
    "captions.text",
    "raw_media.width",
    "frames.time_s",
]
VECTOR = "clip_embeddings.vector"


def loader_of(world: World, columns: list[str] | None = None, *, pin: str = "p", **options: object) -> Loader:
    pinned = world.pin(pin, columns or [VECTOR])
    arguments = {"batch_size": 16, "threads": 2, "image_size": 32} | options
    return Loader(world.store, pinned, **arguments)  # type: ignore[arg-type]


def key_of(name: str) -> tuple[int, int]:
    media, index = name.split(":")
    return int(media, 16), int(index)


def valid_keys(batches: Iterator[dict] | Loader) -> list[str]:
    return [
        key for batch in batches for key, valid in zip(batch["_key"], batch["_valid"].tolist(), strict=True) if valid
    ]


def flip_a_bit(world: World, table: str, name: str) -> None:
    """Damage the blob of one row."""
    rows = world.store.tables.read(table)
    media, index = name.split(":")
    (row,) = [row for row in rows.to_pylist() if row["media_id"] == media and row["frame_index"] == int(index)]
    path = world.store.objects.local_path(row["pack"])
    assert path is not None
    data = bytearray(path.read_bytes())
    data[row["offset"] + row["length"] // 2] ^= 16
    path.write_bytes(data)


def test_a_batch_holds_what_its_keys_say_in_every_column(world: World) -> None:
    loader = loader_of(world, ALL)
    seen = []
    for batch in loader:
        assert list(batch) == [*ALL, "_key", "_valid"]
        assert (batch["frames.image"].shape, batch["frames.image"].dtype) == ((16, 3, 32, 32), torch.uint8)
        assert (batch["depth_maps.depth"].shape, batch["depth_maps.depth"].dtype) == ((16, 1, 32, 32), torch.float32)
        assert (batch[VECTOR].shape, batch[VECTOR].dtype) == ((16, 8), torch.float32)
        assert batch["raw_media.width"].dtype == torch.int64
        assert batch["frames.time_s"].dtype == torch.float64
        for place, name in enumerate(batch["_key"]):
            key = key_of(name)
            colour = batch["frames.image"][place, :, 5, 7].tolist()
            assert np.allclose(colour, colour_of(key), atol=4)
            assert batch["depth_maps.depth"][place].unique().tolist() == [depth_of(key)]
            assert batch[VECTOR][place].tolist() == vector_of(key).tolist()
            assert batch["captions.text"][place] == f"caption 0 of {key[0]}"
            assert batch["raw_media.width"][place] == 100 + key[0]
            assert batch["frames.time_s"][place] == key[1]
        seen += valid_keys(iter([batch]))
    assert sorted(seen) == sorted(world.keys)
    assert len(set(seen)) == len(seen)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 9), st.integers(1, 30), st.integers(1, 5), st.booleans())
def test_every_topology_delivers_the_same_order_exactly_once_in_equal_steps(
    world: World, world_size: int, batch_size: int, threads: int, shuffle: bool
) -> None:
    alone = valid_keys(loader_of(world, batch_size=74, shuffle=shuffle))
    ranks = [
        list(
            loader_of(
                world,
                batch_size=batch_size,
                rank=rank,
                world_size=world_size,
                threads=threads,
                shuffle=shuffle,
            )
        )
        for rank in range(world_size)
    ]
    assert {len(batches) for batches in ranks} == {-(-74 // (world_size * batch_size))}
    together = []
    for step in zip(*ranks, strict=True):
        for place in range(batch_size):
            together += [batch["_key"][place] for batch in step if batch["_valid"][place]]
    assert together == alone
    assert sorted(together) == sorted(world.keys)
    if not shuffle:
        assert together == world.keys


def test_the_last_batch_is_padded_with_repeats_or_dropped_and_counted(world: World) -> None:
    padded = list(loader_of(world, batch_size=20))
    assert [int(batch["_valid"].sum()) for batch in padded] == [20, 20, 20, 14]
    assert padded[-1]["_key"][14:] == padded[0]["_key"][:6]
    dropping = loader_of(world, batch_size=20, drop_last=True)
    assert len(dropping) == len(list(dropping)) == 3
    assert dropping.stats().dropped == 14
    with pytest.raises(PinError, match="74 samples, a global batch 80"):
        loader_of(world, batch_size=20, world_size=4, rank=0, drop_last=True)


def test_iterating_again_gives_the_next_epoch(world: World) -> None:
    loader = loader_of(world)
    first, second = valid_keys(loader), valid_keys(loader)
    assert sorted(first) == sorted(second)
    assert first != second
    assert loader.state_dict()["epoch"] == 2


def test_set_epoch_keeps_the_position_of_the_current_epoch_only(world: World) -> None:
    loader = loader_of(world)
    next(iter(loader))
    loader.set_epoch(0)
    assert loader.state_dict()["position"] == 16
    loader.set_epoch(3)
    assert (loader.state_dict()["epoch"], loader.state_dict()["position"]) == (3, 0)
    assert valid_keys(loader) == valid_keys(loader_of(world, epoch=3))


def test_training_resumes_on_another_topology_with_nothing_replayed_or_skipped(world: World) -> None:
    whole = valid_keys(loader_of(world, batch_size=74))
    first = loader_of(world, batch_size=8)
    seen = valid_keys(islice(first, 3))
    state = json.loads(json.dumps(first.state_dict()))
    read_before = len(seen)
    for world_size, batch_size, steps in ((3, 5, 1), (2, 4, 2), (1, 10, 10)):
        ranks = [
            loader_of(world, batch_size=batch_size, rank=rank, world_size=world_size) for rank in range(world_size)
        ]
        for rank in ranks:
            rank.load_state_dict(state)
        made = [list(islice(rank, steps)) for rank in ranks]
        for step in zip(*made, strict=True):
            for place in range(batch_size):
                seen += [batch["_key"][place] for batch in step if batch["_valid"][place]]
        assert len({json.dumps(rank.state_dict()) for rank in ranks}) == 1
        state = ranks[0].state_dict()
    assert read_before == 24
    assert seen == whole


def test_resuming_reads_nothing_of_what_was_delivered(world: World) -> None:
    first = loader_of(world, ["frames.image"])
    for _ in islice(first, 3):
        pass
    state = first.state_dict()
    second = loader_of(world, ["frames.image"])
    second.load_state_dict(state)
    kept = valid_keys(second)
    sizes = {name_of(key): len(jpeg_of(key)) for shard in world.frames.values() for key in shard}
    padding = 3 * 16 + 32 - 74  # positions of the two last batches that are repeats
    repeats = valid_keys(loader_of(world, ["frames.image"]))[:padding]
    assert second.stats().bytes_read == sum(sizes[key] for key in (*kept, *repeats))


def test_prefetched_batches_do_not_count(world: World) -> None:
    loader = loader_of(world, batch_size=4)
    iterator = iter(loader)
    for number in range(1, 4):
        next(iterator)
        assert loader.state_dict()["position"] == 4 * number


def test_the_stream_goes_through_epochs(world: World) -> None:
    loader = loader_of(world, batch_size=20)
    keys = [key for batch in islice(loader.stream(), 11) for key in batch["_key"]]
    assert keys[:74] == valid_keys(loader_of(world))
    assert keys[74:148] == valid_keys(loader_of(world, epoch=1))
    assert loader.state_dict()["position"] == 220 - 148


def test_swapped_features_train_on_the_same_samples_in_the_same_order(world: World) -> None:
    for shard, keys in world.frames.items():
        world.add_vectors(shard, keys, table="other_embeddings", model=1)
    first = loader_of(world, [VECTOR, "frames.image"], pin="a")
    world.pin("b", ["other_embeddings.vector", "frames.image"], like="a")
    second = Loader(world.store, Pins(world.store).get("b"), batch_size=16, image_size=32)
    for one, other in zip(first, second, strict=True):
        assert one["_key"] == other["_key"]
        assert torch.equal(one["frames.image"], other["frames.image"])
        assert torch.equal(one[VECTOR] + 64, other["other_embeddings.vector"])


def test_rows_that_do_not_line_up_are_joined_by_key(world: World) -> None:
    """One shard lacks rows, one has as many rows but other ones, one lines up."""
    world.add_vectors("000000", [key for key in world.frames["000000"] if key[0] != 3])
    shifted = [key for key in world.frames["000001"] if key != (11, 1)] + [(90, 0)]
    world.add_vectors("000001", shifted)
    columns = [VECTOR, "frames.image"]
    pin = world.pin(columns=columns, missing="skip")
    assert pin.samples == 74 - 5 - 1
    seen = []
    for batch in Loader(world.store, pin, batch_size=16, image_size=32):
        for place, name in enumerate(batch["_key"]):
            assert batch[VECTOR][place].tolist() == vector_of(key_of(name)).tolist()
        seen += valid_keys(iter([batch]))
    assert sorted(seen) == sorted(name_of(k) for k in map(key_of, world.keys) if k[0] != 3 and k != (11, 1))


def test_missing_values_are_zeros_with_a_mask_when_pinned_so(world: World) -> None:
    world.add_depth("000001", [key for key in world.frames["000001"] if key[0] != 12])
    world.add_captions("000000", [m for m in range(10) if m != 4])
    columns = ["depth_maps.depth", "captions.text", "frames.image"]
    pin = world.pin(columns=columns, missing="null")
    for captions in ("first", "all"):
        seen = 0
        for batch in Loader(world.store, pin, batch_size=16, image_size=32, captions=captions):
            assert batch["frames.image:present"].all()
            for place, name in enumerate(batch["_key"]):
                media = key_of(name)[0]
                assert batch["depth_maps.depth:present"][place] == (media != 12)
                assert batch["captions.text:present"][place] == (media != 4)
                if media == 12:
                    assert not batch["depth_maps.depth"][place].any()
                if media == 4:
                    assert batch["captions.text"][place] in ("", [])
            seen += int(batch["_valid"].sum())
        assert seen == 74


def test_captions_can_be_the_first_a_random_one_or_all(world: World) -> None:
    def texts(captions: str, epoch: int = 0) -> dict[str, object]:
        loader = loader_of(world, ["captions.text", "frames.image"], captions=captions, epoch=epoch)
        return {key: text for batch in loader for key, text in zip(batch["_key"], batch["captions.text"], strict=True)}

    assert set(texts("first").values()) == {f"caption 0 of {m}" for m in range(20)}
    assert texts("all")[world.keys[0]] == ["caption 0 of 0", "caption 1 of 0"]
    random = texts("random")
    assert len(set(random.values())) > 30
    assert random == texts("random")
    assert random != texts("random", epoch=1)
    with pytest.raises(LoaderError, match="captions='none'"):
        loader_of(world, captions="none", pin="q")


def test_windows_are_frames_of_one_media_in_order_with_their_depth_and_vectors(world: World) -> None:
    pin = world.pin(columns=ALL, window=Window(frames=2, stride=2))
    batches = list(Loader(world.store, pin, batch_size=8, image_size=32))
    assert sum(int(batch["_valid"].sum()) for batch in batches) == pin.samples == 37
    for batch in batches:
        assert batch["frames.image"].shape == (8, 2, 3, 32, 32)
        assert batch["depth_maps.depth"].shape == (8, 2, 1, 32, 32)
        assert batch[VECTOR].shape == (8, 2, 8)
        assert batch["raw_media.width"].shape == (8,)
        for place, name in enumerate(batch["_key"]):
            media, index = key_of(name)
            for row, key in enumerate([(media, index), (media, index + 2)]):
                assert batch[VECTOR][place, row].tolist() == vector_of(key).tolist()
                assert batch["depth_maps.depth"][place, row, 0, 0, 0] == depth_of(key)
                assert np.allclose(batch["frames.image"][place, row, :, 5, 7].tolist(), colour_of(key), atol=4)
            assert batch["captions.text"][place] == f"caption 0 of {media}"


def test_stored_bytes_and_stored_sizes_can_be_had(world: World) -> None:
    world.add_frames("000002", frames_of(range(17, 20), 1), blob=lambda key: jpeg_of(key, 20, 30))
    columns = ["frames.image", "depth_maps.depth"]
    for batch in loader_of(world, columns, decode=False):
        for name, data in zip(batch["_key"], batch["frames.image"], strict=True):
            key = key_of(name)
            assert data == (jpeg_of(key, 20, 30) if key[0] >= 17 else jpeg_of(key))
    sizes = {
        tuple(picture.shape)
        for batch in loader_of(world, columns, image_size=None)
        for picture in batch["frames.image"]
    }
    assert sizes == {(3, 32, 32), (3, 20, 30)}
    batch = next(iter(loader_of(world, columns, image_size=None)))
    assert batch["depth_maps.depth"][3].shape == (1, 32, 32)


def test_a_flipped_bit_is_reported_and_its_place_filled(world: World) -> None:
    bad = name_of((3, 1))
    flip_a_bit(world, "frames", bad)
    loader = loader_of(world, ["frames.image", VECTOR])
    seen = []
    for batch in loader:
        for place, name in enumerate(batch["_key"]):
            assert batch[VECTOR][place].tolist() == vector_of(key_of(name)).tolist()
        seen += valid_keys(iter([batch]))
    assert sorted(seen) == sorted(set(world.keys) - {bad})
    stats = loader.stats()
    assert stats.quarantined == 1
    found = stats.bad[0]
    assert (found.key, found.column) == (bad, "frames.image")
    assert found.pack is not None
    assert found.pack.startswith("packs/frames/000000/")
    assert "checksum" in found.reason
    assert found.offset is not None


def test_a_flipped_bit_in_a_table_is_an_error_that_names_the_file(world: World) -> None:
    pin = world.pin("vectors", [VECTOR])
    path = Path(world.store.url) / pin.tables["clip_embeddings"].files[0].path
    whole = path.read_bytes()
    vector = np.array(vector_of((3, 2)), "<f2").tobytes()
    damaged = bytearray(whole)
    damaged[whole.index(vector) + 5] ^= 0x10
    path.write_bytes(damaged)
    with pytest.raises(
        IntegrityError, match=rf"{re.escape(pin.tables['clip_embeddings'].files[0].path)} cannot be read"
    ):
        list(Loader(world.store, pin, batch_size=8))


def test_a_bad_blob_shows_without_checksums_too_if_it_does_not_decode(world: World) -> None:
    world.add_frames(
        "000002", frames_of(range(17, 20), 1), blob=lambda key: b"no jpeg" if key[0] == 18 else jpeg_of(key)
    )
    loader = loader_of(world, ["frames.image"], verify=False)
    assert len(valid_keys(loader)) == 73
    assert "not a JPEG" in loader.stats().bad[0].reason


def test_bad_samples_can_end_the_iteration_and_taken_down_ones_do_not(world: World) -> None:
    flip_a_bit(world, "frames", name_of((3, 1)))
    vectors = loader_of(world, pin="v", bad_samples="error")
    with pytest.raises(LoaderError, match=rf"bad sample {name_of((3, 1))}: frames.image: .*checksum") as raised:
        list(loader_of(world, ["frames.image"], bad_samples="error"))
    assert "packs/frames/000000/" in str(raised.value)
    world.store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(5)]}))
    assert len(valid_keys(vectors)) == 74
    assert len(valid_keys(Loader(world.store, vectors.pin, batch_size=16, bad_samples="error"))) == 74 - 5
    with pytest.raises(LoaderError, match="choose repeat or error"):
        Loader(world.store, vectors.pin, batch_size=16, bad_samples="skip")  # type: ignore[arg-type]


def test_a_batch_of_bad_samples_alone_is_filled_by_the_next_good_one(world: World) -> None:
    flip_a_bit(world, "depth_maps", name_of((3, 1)))
    loader = loader_of(world, ["depth_maps.depth"], batch_size=1)
    batches = list(loader)
    assert len(batches) == 74
    (filled,) = [batch for batch in batches if not batch["_valid"][0]]
    assert filled["depth_maps.depth"][0, 0, 0, 0] == depth_of(key_of(filled["_key"][0]))
    assert key_of(filled["_key"][0]) != (3, 1)


def test_ranks_stay_in_step_when_samples_are_bad(world: World) -> None:
    for key in ((3, 1), (4, 4), (12, 0)):
        flip_a_bit(world, "frames", name_of(key))
    steps = {len(list(loader_of(world, ["frames.image"], batch_size=5, rank=rank, world_size=3))) for rank in range(3)}
    assert steps == {5}


def test_a_truncated_pack_costs_its_samples_and_a_missing_one_is_an_error(world: World) -> None:
    pin = world.pin(columns=["frames.image"])
    path = world.store.objects.local_path(pin.tables["frames"].packs[2])
    assert path is not None
    path.write_bytes(path.read_bytes()[:1500])
    loader = loader_of(world, ["frames.image"])
    assert 71 <= len(valid_keys(loader)) < 74
    path.unlink()
    with pytest.raises(LoaderError, match=r"pack .* of the pin is gone"):
        list(loader_of(world, ["frames.image"]))


def test_data_that_are_bad_throughout_are_an_error(world: World) -> None:
    pin = world.pin(columns=["frames.image"], where="frame_index > 3")
    for name in world.keys:
        if name.endswith(":4"):
            flip_a_bit(world, "frames", name)
    with pytest.raises(LoaderError, match="all substitutes tried are bad"):
        list(Loader(world.store, pin, batch_size=4, image_size=32))


def test_a_media_that_was_taken_down_is_a_hole(world: World) -> None:
    pin = world.pin(columns=[VECTOR])
    world.store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(3)]}))
    loader = Loader(world.store, pin, batch_size=16)
    seen = []
    for batch in loader:
        assert all(key_of(name)[0] != 3 for name in batch["_key"])
        seen += valid_keys(iter([batch]))
    assert len(seen) == 69
    assert loader.stats().quarantined == 5


def test_later_commits_and_vacuum_do_not_touch_a_loader(world: World) -> None:
    pin = world.pin(columns=ALL)
    before = [batch["clip_embeddings.vector"].clone() for batch in Loader(world.store, pin, batch_size=16)]
    loader = Loader(world.store, pin, batch_size=16, image_size=32)
    iterator = iter(loader)
    seen = [next(iterator)[VECTOR].clone()]
    for shard, keys in list(world.frames.items()):
        world.add_frames(shard, keys[:1], blob=lambda key: jpeg_of((200, 3)), fingerprint="f1")
        world.add_vectors(shard, keys, model=3)
        world.add_depth(shard, keys[:1])
    world.store.vacuum(keep_days=0)
    seen += [batch[VECTOR].clone() for batch in iterator]
    assert all(torch.equal(one, other) for one, other in zip(before, seen, strict=True))


def test_reading_touches_no_table_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = loader_of(world, ALL)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("the Delta log was read")

    monkeypatch.setattr(DeltaLog, "snapshot", refuse)
    monkeypatch.setattr(DeltaLog, "open", refuse)
    assert len(valid_keys(loader)) == 74


class Watched:
    """Objects that note what is read of them."""

    def __init__(self, objects: object) -> None:
        self._objects = objects
        self.paths: set[str] = set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._objects, name)

    def with_deadline(self, deadline_s: float) -> Watched:
        return self

    def local_path(self, path: str) -> object:
        self.paths.add(path)
        return self._objects.local_path(path)  # type: ignore[attr-defined]

    def get_ranges(self, path: str, ranges: list[tuple[int, int]], **options: int) -> object:
        self.paths.add(path)
        return self._objects.get_ranges(path, ranges, **options)  # type: ignore[attr-defined]


def test_columns_not_named_cost_no_byte_and_a_sparse_subset_costs_its_own(world: World) -> None:
    chosen = world.pin("sparse", ["frames.image"], where="frame_index = 1")
    watched = Watched(world.store.objects)
    world.store.objects = watched  # type: ignore[assignment]
    loader = Loader(world.store, chosen, batch_size=17, image_size=32)
    keys = valid_keys(loader)
    assert len(keys) == 17
    assert loader.stats().bytes_read == sum(len(jpeg_of(key_of(key))) for key in keys)
    assert {path.split("/")[0] for path in watched.paths} <= {"frames", "packs"}
    assert {path.split("/")[1] for path in watched.paths if path.startswith("packs")} == {"frames"}
    watched.paths.clear()
    list(loader_of(world, [VECTOR], pin="vectors"))
    assert not [path for path in watched.paths if path.startswith("packs")]


def test_pictures_and_depth_of_one_size_are_cut_alike(world: World) -> None:
    """A bright column of pixels must land in the same place of both."""
    from mmfs.codecs import encode_jpeg
    from mmfs.loader.decode import depth_into, jpeg_into

    for height, width, size in ((40, 64, 40), (40, 64, 20), (64, 40, 16), (40, 64, 80), (33, 57, 24)):
        ramp = np.add.outer(np.arange(height), np.arange(width)).astype(np.float32)
        picture = np.repeat(np.uint8(ramp * 2)[..., None], 3, axis=2)
        pixels, depth = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32)
        jpeg_into(encode_jpeg(picture, quality=100), pixels)
        depth_into(ramp, depth)
        assert np.abs(pixels[..., 0] / 2 - depth).mean() < 1.0


def test_transforms_are_applied_to_whole_columns(world: World) -> None:
    loader = loader_of(world, ["frames.image", VECTOR], transforms={"frames.image": lambda x: x.float() / 255})
    batch = next(iter(loader))
    assert batch["frames.image"].dtype == torch.float32
    assert float(batch["frames.image"].max()) <= 1
    with pytest.raises(LoaderError, match=r"transforms= names 'frames.picture'"):
        loader_of(world, transforms={"frames.picture": lambda x: x}, pin="q")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mmfs-")]


def test_an_exception_in_a_thread_surfaces_at_the_next_batch_and_ends_the_threads(world: World) -> None:
    def fail(value: object) -> object:
        raise ZeroDivisionError("in a transform")

    loader = loader_of(world, transforms={VECTOR: fail})
    with pytest.raises(ZeroDivisionError, match="in a transform"):
        next(iter(loader))
    gc.collect()
    assert not threads()


def test_leaving_a_loop_ends_the_threads_and_keeps_the_place(world: World) -> None:
    loader = loader_of(world)
    for _ in loader:
        break
    assert not threads()
    assert loader.state_dict()["position"] == 16
    assert len(valid_keys(loader)) == 74 - 16


def test_a_second_iteration_ends_the_first(world: World) -> None:
    loader = loader_of(world)
    first = iter(loader)
    next(first)
    second = iter(loader)
    next(second)
    with pytest.raises(LoaderError, match="one iteration at a time"):
        next(first)
    assert len(valid_keys(second)) == 74 - 32
    loader.close()
    assert not threads()


def test_a_kept_batch_is_not_written_over(world: World) -> None:
    loader = loader_of(world, ["frames.image"], batch_size=4)
    kept = [(batch["_key"], batch["frames.image"], batch["frames.image"].clone()) for batch in loader]
    assert all(torch.equal(given, copied) for _, given, copied in kept)


def test_buffers_are_used_again_once_a_batch_is_gone(world: World) -> None:
    loader = loader_of(world, ["frames.image"], batch_size=4)
    places = []
    for batch in loader:
        places.append(batch["frames.image"].data_ptr())
        del batch
    assert len(set(places)) < 8


def test_it_works_behind_a_torch_data_loader(world: World) -> None:
    from torch.utils.data import DataLoader

    loader = loader_of(world)
    assert valid_keys(iter(DataLoader(loader.as_dataset(), batch_size=None))) == valid_keys(loader_of(world))


def test_the_figures_add_up(world: World) -> None:
    loader = loader_of(world, ["frames.image"])
    list(loader)
    stats = loader.stats()
    assert (stats.batches, stats.samples, stats.quarantined) == (5, 74, 0)
    assert stats.bytes_read > 0
    assert stats.samples_per_s > 0
    assert 0 <= stats.stall_share <= 1
    assert stats.first_batch_s is not None


def test_captions_and_media_can_be_samples_themselves(world: World) -> None:
    captions = loader_of(world, ["captions.text", "raw_media.width"])
    assert len(valid_keys(captions)) == 40
    media = Loader(world.store, world.pin("m", ["raw_media.width"]), batch_size=20)
    assert next(iter(media))["_key"][0] in {media_id(m) for m in range(20)}


def test_bad_arguments_are_refused(world: World) -> None:
    with pytest.raises(LoaderError, match="image_size=0"):
        loader_of(world, image_size=0)
    with pytest.raises(LoaderError, match="threads=-1; give at least 1"):
        loader_of(world, threads=-1)
    with pytest.raises(LoaderError, match="epoch -1; epochs count from 0"):
        loader_of(world, epoch=-1)
    with pytest.raises(LoaderError, match="device='cuda:77'"):
        loader_of(world, device="cuda:77")
    with pytest.raises(LoaderError, match="belongs to selection"):
        loader_of(world).load_state_dict(
            Loader(world.store, world.pin("q", [VECTOR], where="frame_index = 0"), batch_size=2).state_dict()
        )


def test_rows_in_many_row_groups_are_found(world: World) -> None:
    keys = frames_of(range(100, 130), 90)
    world.add_frames("000003", keys, blob=lambda key: b"x%d:%d" % key)
    world.add_vectors("000003", keys)
    loader = loader_of(world, [VECTOR, "frames.image"], batch_size=256, decode=False)
    seen = 0
    for batch in loader:
        names = [key_of(name) for name in batch["_key"]]
        expected = np.array([vector_of(key) for key in names], np.float32)
        assert np.array_equal(batch[VECTOR].numpy(), expected)
        blobs = [b for key, b in zip(names, batch["frames.image"], strict=True) if key[0] >= 100]
        assert blobs == [b"x%d:%d" % key for key in names if key[0] >= 100]
        seen += int(batch["_valid"].sum())
    assert seen == 74 + 2700
