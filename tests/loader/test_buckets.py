"""Shape buckets from the store to the batch: the right samples, cut right, exactly once."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from mmfs.client import FeatureStore
from mmfs.codecs import decode_depth16, decode_jpeg, encode_depth16, encode_jpeg
from mmfs.errors import LoaderError, PinError
from mmfs.loader import Loader
from mmfs.loader.inverse import MediaFinder
from mmfs.loader.mixture import Mixture
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.pins import Window
from tests.loader.world import DEPTH, Key, World, frames_of, media_id, name_of, vector_of

SQUARE, WIDE, TALL = (48, 48), (32, 48), (48, 32)
BUCKETS = [SQUARE, WIDE, TALL]
IMAGE, MAP = "frames.image", "depth_maps.depth"
#: Height and width of stored pictures by media: what covers a bucket is as high or as wide as it, so none is resampled.
STORED = {SQUARE: (48, 56), WIDE: (32, 60), TALL: (60, 32)}
FRAMES = {"000000": frames_of(range(7), 5), "000001": frames_of(range(7, 12), 4)}


def bucket_of(key: Key) -> tuple[int, int]:
    return BUCKETS[key[0] % 3]


def size_of(key: Key) -> tuple[int, int]:
    return STORED[bucket_of(key)]


def picture_of(key: Key) -> bytes:
    pixels = np.random.default_rng(key).integers(0, 256, (*size_of(key), 3), dtype=np.uint8)
    return encode_jpeg(pixels)


def map_of(key: Key) -> bytes:
    return encode_depth16(np.random.default_rng(key).random(size_of(key), np.float32))


def cut(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The centre of a picture [H, W, ...]."""
    top, left = (values.shape[0] - size[0]) // 2, (values.shape[1] - size[1]) // 2
    return values[top : top + size[0], left : left + size[1]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """12 videos, a third of each shape; pictures and depth maps are noise, so that a shift of one pixel shows."""
    world = World(Store.open(tmp_path_factory.mktemp("buckets") / "store", settings=Settings()))
    world.store.tables.ensure(DEPTH)
    for shard, keys in FRAMES.items():
        world.add_frames(shard, keys, picture_of, size_of=size_of)
        world.add_vectors(shard, keys)
        world.add_depth(shard, keys, map_of)
    world.pin("p", [IMAGE, MAP, "clip_embeddings.vector"], buckets=BUCKETS)
    world.pin("windows", [IMAGE, MAP], buckets=BUCKETS, window=Window(frames=2, stride=2))
    return world


def loader_of(world: World, pin: str = "p", **options: object) -> Loader:
    arguments = {"batch_size": 4, "threads": 2} | options
    return Loader(world.store, FeatureStore(world.store).pinned(pin), **arguments)  # type: ignore[arg-type]


def key_in(name: str) -> Key:
    media, _, index = name.partition(":")
    return int(media, 16), int(index)


def test_each_batch_is_of_one_bucket_and_every_picture_is_the_centre_of_its_own(world: World) -> None:
    seen: list[str] = []
    shapes = set()
    for batch in loader_of(world):
        size = tuple(batch[IMAGE].shape[-2:])
        shapes.add(size)
        assert batch[IMAGE].shape == (4, 3, *size)
        assert batch[IMAGE].dtype == torch.uint8
        assert batch[MAP].shape == (4, 1, *size)
        for place, name in enumerate(batch["_key"]):
            key = key_in(name)
            assert bucket_of(key) == size
            pixels = cut(decode_jpeg(picture_of(key)), size)
            assert np.array_equal(batch[IMAGE][place].permute(1, 2, 0).numpy(), pixels)
            assert np.array_equal(batch[MAP][place, 0].numpy(), cut(decode_depth16(map_of(key)), size))
            assert batch["clip_embeddings.vector"][place].tolist() == vector_of(key).tolist()
        seen += [name for name, valid in zip(batch["_key"], batch["_valid"].tolist(), strict=True) if valid]
    assert shapes == set(BUCKETS)
    assert sorted(seen) == world.keys


def test_windows_are_of_one_bucket(world: World) -> None:
    count = 0
    for batch in loader_of(world, "windows"):
        size = tuple(batch[IMAGE].shape[-2:])
        assert batch[IMAGE].shape == (4, 2, 3, *size)
        assert batch[MAP].shape == (4, 2, 1, *size)
        for place, name in enumerate(batch["_key"]):
            media, first = key_in(name)
            for row in range(2):
                key = (media, first + 2 * row)
                assert bucket_of(key) == size
                pixels = cut(decode_jpeg(picture_of(key)), size)
                assert np.array_equal(batch[IMAGE][place, row].permute(1, 2, 0).numpy(), pixels)
        count += int(batch["_valid"].sum())
    assert count == 7 * 3 + 5 * 2


def test_pictures_that_are_larger_are_scaled_until_they_cover_their_bucket(tmp_path: Path) -> None:
    world = World(Store.open(tmp_path / "store", settings=Settings()))

    def halves(key: Key) -> bytes:
        """Red above or left, blue below or right."""
        pixels = np.zeros((480, 720, 3) if key[0] else (720, 480, 3), np.uint8)
        pixels[..., 2] = 255
        edge = pixels[:, :360] if key[0] else pixels[:360]
        edge[:] = (255, 0, 0)
        return encode_jpeg(pixels)

    world.add_frames("000000", frames_of(range(2), 2), halves, size_of=lambda key: (480, 720) if key[0] else (720, 480))
    world.pin("p", [IMAGE], buckets=[(32, 64), (64, 32)])
    for batch in loader_of(world, batch_size=2):
        is_wide = key_in(batch["_key"][0])[0] == 1
        assert batch[IMAGE].shape[-2:] == ((32, 64) if is_wide else (64, 32))
        pictures = batch[IMAGE].float() if is_wide else batch[IMAGE].float().transpose(2, 3)
        red, blue = pictures[..., :30], pictures[..., 34:]
        for half, channel in ((red, 0), (blue, 2)):
            means = half.mean(dim=(0, 2, 3))
            assert means[channel] > 240
            assert means[1] < 20
            assert means[2 - channel] < 20


def test_a_restart_on_another_topology_goes_on_to_the_sample(world: World) -> None:
    seen: list[str] = []
    state = None
    for width, batch_size, steps in ((2, 3, 3), (1, 4, 4), (3, 2, 100)):
        loaders = [
            loader_of(world, batch_size=batch_size, rank=rank, world_size=width, seed=4) for rank in range(width)
        ]
        for loader in loaders:
            if state is not None:
                loader.load_state_dict(json.loads(state))
        for batches in zip(*(islice(loader, steps) for loader in loaders), strict=True):
            assert len({batch[IMAGE].shape for batch in batches}) == 1
            for batch in batches:
                seen += [name for name, valid in zip(batch["_key"], batch["_valid"].tolist(), strict=True) if valid]
        assert len({json.dumps(loader.state_dict()) for loader in loaders}) == 1
        state = json.dumps(loaders[0].state_dict())
    assert sorted(seen) == world.keys
    assert json.loads(state or "")["epoch"] == 1


def test_the_next_iteration_is_the_next_epoch_and_lengths_are_equal(world: World) -> None:
    loader = loader_of(world)
    # What is left of each bucket is a batch of its own.
    assert len(loader) == sum(-(-one.samples // 4) for one in loader.pin.buckets)  # type: ignore[union-attr]
    first, second = ([batch["_key"] for batch in loader] for _ in range(2))
    assert len(first) == len(second) == len(loader)
    assert first != second


def test_drop_last_counts_what_each_bucket_leaves(world: World) -> None:
    loader = loader_of(world, drop_last=True)
    assert all(batch["_valid"].all() for batch in loader)
    assert loader.stats().dropped == sum(one.samples % 4 for one in loader.pin.buckets)  # type: ignore[union-attr]
    with pytest.raises(PinError, match="with drop_last nothing would be delivered"):
        loader_of(world, drop_last=True, batch_size=20)


def test_a_stream_is_never_padded(world: World) -> None:
    loader = loader_of(world, batch_size=7)
    batches = list(islice(loader.stream(), 25))
    assert all(batch["_valid"].all() for batch in batches)
    assert {tuple(batch[IMAGE].shape[-2:]) for batch in batches} == set(BUCKETS)
    assert loader.state_dict()["epoch"] >= 2


def test_a_bad_sample_is_filled_by_one_of_its_bucket(world: World) -> None:
    bad = {name_of(key)[:32] for keys in FRAMES.values() for key in keys if key[0] % 3 == 1 and key[0] != 1}
    taken_down = np.array(sorted(name.encode() for name in bad), "S32")
    delivered = []
    for batch in loader_of(world, taken_down=taken_down):
        size = tuple(batch[IMAGE].shape[-2:])
        assert all(bucket_of(key_in(name)) == size for name in batch["_key"])
        delivered += [name for name, valid in zip(batch["_key"], batch["_valid"].tolist(), strict=True) if valid]
    assert sorted(delivered) == [name for name in world.keys if name[:32] not in bad]


def test_stored_sizes_come_as_lists_and_other_sizes_are_refused(world: World) -> None:
    for batch in loader_of(world, image_size=None):
        sizes = [tuple(picture.shape[1:]) for picture in batch[IMAGE]]
        assert sizes == [size_of(key_in(name)) for name in batch["_key"]]
        assert len(set(sizes)) == 1
    with pytest.raises(LoaderError, match="image_size=128, and pin 'p' has buckets"):
        loader_of(world, image_size=128)


def test_stored_bytes_are_in_bucket_order_too(world: World) -> None:
    for batch in loader_of(world, decode=False):
        assert batch[IMAGE] == [picture_of(key_in(name)) for name in batch["_key"]]
        assert len({bucket_of(key_in(name)) for name in batch["_key"]}) == 1


@pytest.mark.parametrize("pin", ["p", "windows"])
def test_the_samples_of_a_media_are_found_again(world: World, pin: str) -> None:
    loader = loader_of(world, pin, batch_size=64, shuffle=False)
    names = [name for batch in loader for name, valid in zip(batch["_key"], batch["_valid"], strict=True) if valid]
    pinned = FeatureStore(world.store).pinned(pin)
    for media in range(12):
        samples, found = MediaFinder(world.store.objects, [media_id(media)]).samples(pinned)
        assert len(samples) > 0
        assert [names[sample] for sample in samples] == found
        assert sorted(found) == sorted(name for name in names if key_in(name)[0] == media)


def test_the_columns_may_be_swapped_and_the_samples_stay(world: World) -> None:
    world.pin("other", [IMAGE], like="p")
    first = [batch["_key"] for batch in loader_of(world, seed=2)]
    assert [batch["_key"] for batch in loader_of(world, "other", seed=2)] == first


def test_a_run_goes_on_with_larger_pictures(world: World) -> None:
    world.pin("double", [IMAGE], buckets=[(2 * height, 2 * width) for height, width in BUCKETS])
    small, large = loader_of(world), loader_of(world, "double")
    for _ in zip(range(3), small, strict=False):
        pass
    large.load_state_dict(small.state_dict())
    rest = [(batch["_key"], batch[IMAGE].shape[-1]) for batch in small]
    assert [(batch["_key"], batch[IMAGE].shape[-1] // 2) for batch in large] == rest


def test_buffers_are_shared_by_buckets_of_about_one_size(world: World) -> None:
    places = set()
    for batch in islice(loader_of(world, batch_size=2).stream(), 60):
        if batch[IMAGE].shape[-2:] != SQUARE:
            places.add(batch[IMAGE].data_ptr())
        del batch
    assert len(places) < 8


def test_the_workers_of_a_data_loader_give_the_same_batches(world: World) -> None:
    from torch.utils.data import DataLoader

    loader = loader_of(world)
    alone = [(batch["_key"], batch[IMAGE].shape) for _ in range(2) for batch in loader]
    data = DataLoader(loader_of(world).as_dataset(), batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert [(batch["_key"], batch[IMAGE].shape) for _ in range(2) for batch in data] == alone


def test_a_picture_computed_while_loading_is_cut_like_a_stored_one(tmp_path: Path) -> None:
    settings = Settings(features=("tests.loader.lab",), device="cpu")
    world = World(Store.open(tmp_path / "store", settings=settings))
    world.add_frames("000000", frames_of(range(3), 2), picture_of, size_of=size_of)
    columns = ["live:mirrored.image", IMAGE]
    pin = FeatureStore(world.store).pin("live", columns=columns, buckets=BUCKETS)
    for batch in Loader(world.store, pin, batch_size=2):
        size = bucket_of(key_in(batch["_key"][0]))
        assert batch["live:mirrored.image"].shape == (2, 3, *size)
        assert torch.equal(batch["live:mirrored.image"].flip(-1), batch[IMAGE])


def test_pins_with_buckets_are_not_mixed(world: World) -> None:
    pin = FeatureStore(world.store).pinned("p")
    with pytest.raises(LoaderError, match="has shape buckets"):
        Mixture.of({"p": pin}, {"p": 1})


def test_the_facade_pins_buckets(world: World) -> None:
    store = FeatureStore(world.store)
    pin = store.pin("facade", columns=[IMAGE], buckets=[WIDE, TALL])
    assert [(one.height, one.width) for one in pin.buckets] == [WIDE, TALL]
    batch = next(iter(store.loader("facade", batch_size=3)))
    assert tuple(batch[IMAGE].shape[-2:]) in (WIDE, TALL)
