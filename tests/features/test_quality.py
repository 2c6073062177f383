"""Numbers of a frame that need no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from mmfs.codecs import decode_jpeg, encode_jpeg
from mmfs.features.live import compute_rows, picture_tensor
from mmfs.features.quality import FrameQuality
from mmfs.features.runner import run_feature
from mmfs.media.scenes import render, scene
from mmfs.store import Store
from tests.features.tiny import SHARD, add_frames, picture

Picture = npt.NDArray[np.uint8]
SIDES = (256, 256)
SCENES = [render(scene("test", number), 0.0)[0] for number in range(12)]


def measure(pictures: Sequence[Picture], before: Sequence[Picture] | None = None) -> dict[str, npt.NDArray]:  # type: ignore[type-arg]
    feature = FrameQuality()
    feature.load("cpu")
    tensors = [[picture_tensor(one) for one in each] for each in (pictures, before or pictures)]
    rows = [{"frames.image": now, "frames.image@previous": earlier} for now, earlier in zip(*tensors, strict=True)]
    return compute_rows(feature, rows)  # type: ignore[return-value]


def even(red: int, green: int, blue: int, size: tuple[int, int] = (60, 80)) -> Picture:
    return np.full((*size, 3), (red, green, blue), np.uint8)


def bits_apart(one: int, other: int) -> int:
    return int.bit_count((int(one) ^ int(other)) & (2**64 - 1))


def grey_levels(rgb: Picture) -> npt.NDArray[np.float64]:
    return rgb @ np.array([0.299, 0.587, 0.114])


def test_light_and_colour_are_what_their_formulas_say() -> None:
    found = measure(SCENES)
    for number, rgb in enumerate(SCENES):
        # The same size as is measured at, so that only the formulas are compared.
        at_size = np.array(Image.fromarray(rgb).resize((256, 256), Image.Resampling.BILINEAR)).astype(float)
        grey = grey_levels(at_size)  # type: ignore[arg-type]
        red, green, blue = np.moveaxis(at_size, 2, 0)
        axes = [red - green, (red + green) / 2 - blue]
        spread, mean = np.hypot(*(axis.std() for axis in axes)), np.hypot(*(axis.mean() for axis in axes))
        edges = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
        assert found["brightness"][number] == pytest.approx(grey.mean(), abs=0.2)
        assert found["contrast"][number] == pytest.approx(grey.std(), abs=0.2)
        assert found["colourfulness"][number] == pytest.approx(spread + 0.3 * mean, abs=0.3)
        assert found["sharpness"][number] == pytest.approx(edges.var(), rel=0.05)


def test_known_pictures_have_known_numbers() -> None:
    halves = np.concatenate([even(0, 0, 0), even(255, 255, 255)], axis=1)
    found = measure([even(0, 0, 0), even(255, 255, 255), even(255, 0, 0), halves])
    assert found["brightness"] == pytest.approx([0, 255, 0.299 * 255, 127.5], abs=0.01)
    assert found["contrast"] == pytest.approx([0, 0, 0, 127.5], abs=0.5)
    assert found["colourfulness"] == pytest.approx([0, 0, 0.3 * np.hypot(255, 127.5), 0], abs=0.01)
    assert found["is_blank"].tolist() == [True, True, True, False]
    assert found["phash"][:3].tolist() == [0, 0, 0]


def test_blank_is_even_but_for_noise_and_jpeg_and_not_of_one_brightness() -> None:
    noise = np.random.default_rng(0).normal(0, 2, (200, 300, 3))
    dark = np.clip(12 + noise, 0, 255).astype(np.uint8)
    page = even(250, 250, 250, (200, 300))
    page[90:100, 40:260] = 20  # a line of text
    same_luma = np.concatenate([even(200, 60, 60), even(60, 131, 60)], axis=1)
    assert abs(np.ptp(grey_levels(same_luma)[0])) < 1
    found = measure([dark, decode_jpeg(encode_jpeg(dark, 60)), page, same_luma])
    assert found["is_blank"].tolist() == [True, True, False, False]


def test_blur_lowers_sharpness() -> None:
    blurred = [np.array(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(3))) for rgb in SCENES]
    assert (measure(blurred)["sharpness"] < measure(SCENES)["sharpness"] / 4).all()


@pytest.mark.parametrize("side", [300, 512, 700])
def test_the_size_at_which_a_picture_is_stored_hardly_changes_its_sharpness(side: int) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    large = noise.resize((1024, 1024), Image.Resampling.BICUBIC)
    smaller = large.resize((side, side), Image.Resampling.BILINEAR)
    one, other = measure([np.array(large), np.array(smaller)])["sharpness"]
    assert other == pytest.approx(one, rel=0.15)


def hash_by_the_book(rgb: Picture) -> int:
    """pHash from its definition, term by term, in float64."""
    grey = grey_levels(np.array(Image.fromarray(rgb).resize((32, 32), Image.Resampling.BILINEAR)))
    low = [
        sum(
            grey[y, x] * np.cos(np.pi * v * (2 * y + 1) / 64) * np.cos(np.pi * u * (2 * x + 1) / 64)
            for y in range(32)
            for x in range(32)
        )
        for v in range(1, 9)
        for u in range(1, 9)
    ]
    middle = sorted(low)[31]
    return sum(1 << place for place, value in enumerate(low) if value > middle)


def test_the_hash_is_that_of_its_definition() -> None:
    found = measure(SCENES[:4])["phash"]
    assert found.dtype == np.int64
    # Pillow rounds between its two passes, so a frequency that lies at the median may fall on either side.
    assert max(bits_apart(mine, hash_by_the_book(rgb)) for mine, rgb in zip(found, SCENES, strict=False)) <= 2


def test_half_of_the_bits_are_set_and_the_sign_bit_is_one_of_them() -> None:
    found = measure([picture(number) for number in range(32)])["phash"]
    assert {int.bit_count(int(one) & (2**64 - 1)) for one in found} <= {31, 32}
    assert len({int(one) < 0 for one in found}) == 2


@settings(max_examples=25, deadline=None)
@given(
    number=st.integers(0, len(SCENES) - 1),
    quality=st.integers(40, 95),
    gain=st.floats(0.85, 1.1),
    lift=st.integers(-12, 12),
    width=st.integers(160, 640),
)
def test_copies_of_a_picture_stay_within_few_bits(
    number: int, quality: int, gain: float, lift: int, width: int
) -> None:
    rgb = np.clip(SCENES[number] * gain + lift, 0, 255).astype(np.uint8)
    smaller = np.array(Image.fromarray(rgb).resize((width, width * 4 // 5), Image.Resampling.BICUBIC))
    original, copy = measure([SCENES[number], decode_jpeg(encode_jpeg(smaller, quality))])["phash"]
    assert bits_apart(original, copy) <= 8


def test_other_pictures_are_far_away() -> None:
    found = measure(SCENES)["phash"]
    apart = [bits_apart(found[one], found[other]) for one in range(len(found)) for other in range(one)]
    assert min(apart) >= 12
    assert np.median(apart) >= 24


def test_motion_is_the_difference_to_the_frame_before() -> None:
    moved = np.roll(SCENES[0], 40, axis=1)
    found = measure(
        [SCENES[0], SCENES[0], moved, even(140, 140, 140)], [SCENES[0], moved, SCENES[0], even(100, 100, 100)]
    )
    assert found["motion"][0] == 0
    assert found["motion"][1] == found["motion"][2] > 5
    assert found["motion"][3] == pytest.approx(40, abs=0.01)


def test_motion_of_stored_frames_is_zero_at_the_first_of_each_media(store: Store) -> None:
    add_frames(store, [0, 1, 2])
    run_feature(store, FrameQuality(), SHARD)
    assert store.tables.read("frame_quality")["motion"].to_pylist() == [0, 0, 0]
    found = store.select("frame", where="NOT is_blank AND brightness > 1 AND frame_quality.motion = 0")
    assert found.num_rows == 3


@pytest.fixture
def four_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("four_threads")
def test_rows_do_not_depend_on_the_rows_computed_with_them() -> None:
    mixed = [picture(number, (40 + 7 * number, 60)) for number in range(20)]
    noise = np.random.default_rng(0)
    mixed += [
        even(*noise.integers(1, 255, 3), size=SIDES) + noise.integers(0, 2, (*SIDES, 3), np.uint8) for _ in range(12)
    ]
    together = measure(mixed)
    for number in (0, 7, *range(19, 32)):
        alone = measure([mixed[number]])
        assert {name: alone[name][0] for name in alone} == {name: together[name][number] for name in together}
