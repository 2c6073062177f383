"""A store on S3 gives the batches that a directory gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmfs.errors import LoaderError
from mmfs.loader import Loader
from mmfs.store.pin import Window
from mmfs.store.pins import Pin, Pins
from tests.loader.world import World
from tests.s3 import S3Server

COLUMNS = ["frames.image", "clip_embeddings.vector", "depth_maps.depth", "captions.text", "raw_media.width"]


def pin_of(world: World, name: str, columns: list[str] = COLUMNS, **options: object) -> Pin:
    """The pin, made once a session."""
    pins, name = Pins(world.store), f"remote-{name}"
    return pins.get(name) if name in pins.names() else world.pin(name, columns, **options)


def loader_of(world: World, pin: Pin, **options: Any) -> Loader:
    return Loader(world.store, pin, **{"batch_size": 16, "image_size": 32, **options})


def assert_equal(found: Iterator[dict[str, Any]] | Loader, wanted: Iterator[dict[str, Any]] | Loader) -> None:
    """Both give the same batches."""
    count = 0
    for one, other in zip(found, wanted, strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            same = torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
            assert same, name
        count += 1
    assert count


@pytest.mark.parametrize("has_cache", [False, True])
def test_batches_of_all_kinds_of_columns_are_those_of_a_directory(
    s3_world: World, built_world: World, tmp_path: Path, has_cache: bool
) -> None:
    cache = tmp_path / "cache" if has_cache else None
    loader = loader_of(s3_world, pin_of(s3_world, "all"), cache=cache)
    assert_equal(loader, loader_of(built_world, pin_of(built_world, "all")))
    stats = loader.stats()
    assert stats.quarantined == 0
    assert stats.bytes_fetched > 0
    if has_cache:
        again = loader_of(s3_world, pin_of(s3_world, "all"), cache=cache)
        assert_equal(again, loader_of(built_world, pin_of(built_world, "all")))
        assert again.stats().bytes_cached == again.stats().bytes_read > 0
        assert again.stats().bytes_fetched == 0


def test_windows_and_a_resumed_epoch_are_those_of_a_directory(
    s3_world: World, built_world: World, tmp_path: Path
) -> None:
    window = Window(frames=2, step=1)
    near, far = (pin_of(world, "windows", COLUMNS, window=window) for world in (built_world, s3_world))
    whole = list(loader_of(built_world, near, batch_size=8))
    loader = loader_of(s3_world, far, batch_size=8, cache=tmp_path)
    begun = iter(loader)
    next(begun), next(begun)
    state = loader.state_dict()
    loader.close()
    resumed = loader_of(s3_world, far, batch_size=8, cache=tmp_path)
    resumed.load_state_dict(state)
    assert_equal(resumed, iter(whole[2:]))


def test_a_rank_without_a_cache_reads_its_own_samples(s3: S3Server, s3_world: World) -> None:
    pin = pin_of(s3_world, "few", ["frames.image"], where="frame_index = 0")
    s3.count_anew()
    loader = loader_of(s3_world, pin, decode=False)
    blobs = [data for batch in loader for data in batch["frames.image"]]
    counts = s3.counts()
    assert sum(map(len, blobs[: pin.samples])) <= counts.bytes_of("/packs/")
    assert counts.bytes_of("/packs/depth_maps") == counts.bytes_of("clip_embeddings") == 0
    assert loader.stats().bytes_fetched == counts.bytes_of("/packs/") + counts.bytes_of("/frames/shard")


def test_eight_ranks_with_a_cache_fetch_each_byte_once(s3: S3Server, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    world = World.at(s3.make_bucket("eight-ranks"))
    keys = [(media, index) for media in range(8) for index in range(25)]
    world.add_frames("000000", keys, blob=lambda _: draws.bytes(18_432))
    world.add_vectors("000000", keys)
    world.add_captions("000000", range(8))
    pin = world.pin("p", ["frames.image", "clip_embeddings.vector", "captions.text"])
    s3.count_anew()
    ranks = [
        Loader(world.store, pin, batch_size=5, decode=False, rank=rank, world_size=8, cache=tmp_path, threads=2, seed=1)
        for rank in range(8)
    ]
    used, seen = 0, set()
    for batches in zip(*ranks, strict=True):
        for batch in batches:
            parts = zip(batch["_key"], batch["frames.image"], batch["captions.text"], strict=True)
            for key, data, text in parts:
                used += len(data) + len(text) + batch["clip_embeddings.vector"].shape[1] * 2
                seen.add(key)
    assert len(seen) == len(keys)
    assert s3.counts().bytes_of() <= 1.05 * used
    assert sum(rank.stats().bytes_fetched for rank in ranks) == pytest.approx(s3.counts().bytes_of(), rel=0.01)


def test_another_feature_of_the_same_samples_fetches_nothing_else(s3: S3Server, tmp_path: Path) -> None:
    world = World.at(s3.make_bucket("swap"))
    keys = [(media, index) for media in range(3) for index in range(4)]
    world.add_frames("000000", keys)
    world.add_vectors("000000", keys)
    world.add_vectors("000000", keys, table="other_embeddings", model=1)
    first = world.pin("a", ["frames.image", "clip_embeddings.vector"])
    second = Pins(world.store).create("b", like="a", columns=["frames.image", "other_embeddings.vector"], now_us=2)
    list(loader_of(world, first, cache=tmp_path))
    s3.count_anew()
    list(loader_of(world, second, cache=tmp_path))
    read = {path.split("/")[2] for path in s3.counts().bytes_sent if path.endswith((".parquet", ".tar"))}
    assert read == {"other_embeddings"}


def test_small_brings_everything_before_the_first_batch(
    s3: S3Server, s3_world: World, built_world: World, tmp_path: Path
) -> None:
    pin = pin_of(s3_world, "all")
    s3.count_anew()
    ranks = [
        loader_of(s3_world, pin, batch_size=8, rank=rank, world_size=2, cache=tmp_path, small=True) for rank in (0, 1)
    ]
    iterators = [iter(rank) for rank in ranks]
    begun = [next(iterator) for iterator in iterators]
    s3.count_anew()
    rest = [list(iterator) for iterator in iterators]
    assert s3.counts().bytes_of() == 0
    keys = [key for batch in (*begun, *rest[0], *rest[1]) for key in batch["_key"]]
    assert sorted(set(keys)) == sorted(built_world.keys)


def test_small_needs_a_folder_where_the_store_is_far_and_does_nothing_where_it_is_near(
    s3_world: World, built_world: World
) -> None:
    with pytest.raises(LoaderError, match=r"small=True, but no cache folder.*MMFS_CACHE__DIR"):
        loader_of(s3_world, pin_of(s3_world, "all"), small=True)
    loader = loader_of(built_world, pin_of(built_world, "all"), small=True)
    assert_equal(loader, loader_of(built_world, pin_of(built_world, "all")))


def test_a_pin_whose_pack_or_table_file_is_gone_is_an_error_that_names_it(s3: S3Server, tmp_path: Path) -> None:
    world = World.at(s3.make_bucket("gone"))
    world.add_frames("000000", [(1, 0), (2, 0)])
    pin = world.pin("p", ["frames.image"])
    [pack] = pin.tables["frames"].packs
    [file] = pin.tables["frames"].files
    world.store.objects.delete(pack)
    for cache in (None, tmp_path / "packs"):
        with pytest.raises(LoaderError, match=rf"pack {pack} of the pin is gone"):
            list(loader_of(world, pin, cache=cache))
    world.store.objects.delete(file.path)
    for cache in (None, tmp_path / "rows"):
        with pytest.raises(LoaderError, match=rf"{file.path} is gone"):
            list(loader_of(world, pin, cache=cache))


def test_a_bad_blob_on_s3_is_a_bad_sample(s3: S3Server, tmp_path: Path) -> None:
    world = World.at(s3.make_bucket("flipped"))
    world.add_frames("000000", [(1, 0), (2, 0), (3, 0)])
    pin = world.pin("p", ["frames.image"])
    [pack] = pin.tables["frames"].packs
    data = bytearray(world.store.objects.get(pack))
    data[700] ^= 1
    world.store.objects.put(pack, bytes(data))
    for cache in (None, tmp_path):
        loader = loader_of(world, pin, batch_size=3, cache=cache)
        [batch] = loader
        assert batch["_valid"].sum() == 2
        [bad] = loader.stats().bad
        assert (bad.pack, bad.key) == (pack, f"{1:032x}:0")


def test_a_store_with_empty_blobs_reads_them_through_the_cache(s3: S3Server, tmp_path: Path) -> None:
    world = World.at(s3.make_bucket("empty"))
    blobs = {(1, 0): b"", (2, 0): bytes(5000), (3, 0): b"x"}
    world.add_frames("000000", list(blobs), blob=lambda key: blobs[key])
    pin = world.pin("p", ["frames.image"])
    for _ in range(2):
        [batch] = loader_of(world, pin, batch_size=3, decode=False, shuffle=False, cache=tmp_path)
        assert batch["frames.image"] == list(blobs.values())
        assert batch["_valid"].all()
