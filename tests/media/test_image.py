"""Still pictures come out upright, opaque, in 8-bit RGB, at the size asked for, or are refused with the reason."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational

from mmfs.codecs import decode_jpeg
from mmfs.media.info import DecodedFrame, MediaInfo, Reason, RefusedError
from mmfs.media.probe import Caps, probe_file, sample_file
from mmfs.media.sampling import Sampling
from tests.media.makers import Rgb, corners, image_bytes, noise, patched, quadrants

CAPS = Caps(image_pixels=178_956_970, video_side=8192)
SAMPLING = Sampling("fps", 1.0, 256, 90)


def frame_of(path: Path, data: bytes, short_side: int = 256) -> tuple[MediaInfo, DecodedFrame, Rgb]:
    """Probe and decode an image file of these bytes."""
    path.write_bytes(data)
    info = probe_file(path, CAPS)
    frames: list[DecodedFrame] = []
    assert sample_file(path, info.sha256, Sampling("fps", 1.0, short_side, 90), CAPS, frames.append) == 0
    return info, frames[0], decode_jpeg(frames[0].jpeg)


def refusal(path: Path, data: bytes, caps: Caps = CAPS) -> RefusedError:
    """How probing, or else decoding, refuses an image file of these bytes."""
    path.write_bytes(data)
    with pytest.raises(RefusedError) as refused:
        sample_file(path, probe_file(path, caps).sha256, SAMPLING, caps, lambda _: None)
    return refused.value


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 90}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
    ],
)
def test_every_format_gives_the_same_picture(tmp_path: Path, form: str, options: dict[str, Any]) -> None:
    info, frame, rgb = frame_of(tmp_path / "no-suffix", image_bytes(quadrants(80, 60), form, **options))
    assert (info.kind, info.container, info.width, info.height) == ("image", form.lower(), 80, 60)
    assert (info.rotation_deg, info.frame_count) == (0, 1)
    assert (frame.frame_index, frame.pts_us, frame.time_s, frame.is_keyframe) == (0, 0, 0.0, True)
    assert corners(rgb) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", [2, 3, 6, 7, 8])
def test_exif_orientation_is_applied_once(tmp_path: Path, form: str, value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    stored = Image.fromarray(quadrants(80, 60))
    info, _, rgb = frame_of(tmp_path / "a", image_bytes(stored, form, exif=exif))
    stored.getexif()[0x0112] = value
    upright = ImageOps.exif_transpose(stored)
    assert (info.width, info.height) == upright.size == (rgb.shape[1], rgb.shape[0])
    assert corners(rgb) == corners(np.asarray(upright))
    assert info.rotation_deg == {2: 0, 3: 180, 6: 90, 7: 90, 8: 270}[value]


def test_broken_exif_costs_nothing(tmp_path: Path) -> None:
    data = image_bytes(quadrants(80, 60), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f" + b"\xff" * 40)
    info, _, rgb = frame_of(tmp_path / "a", data)
    assert (info.width, info.rotation_deg) == (80, 0)
    assert corners(rgb) == ["red", "green", "blue", "white"]


def test_exif_with_impossible_gps_coordinates_is_read_past(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (IFDRational(4115, 2263),) * 3
    data = image_bytes(quadrants(80, 60), "JPEG", exif=exif)
    assert data.count(struct.pack(">II", 4115, 2263)) == 3
    info, _, _ = frame_of(tmp_path / "a", data.replace(struct.pack(">II", 4115, 2263), b"\0" * 8))
    assert (info.width, info.height, info.rotation_deg) == (60, 80, 90)


def test_sixteen_bit_grey_is_shifted_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    for form in ("PNG", "TIFF"):
        _, _, rgb = frame_of(tmp_path / "a", image_bytes(Image.fromarray(ramp), form))
        assert np.abs(rgb[:, :, 0].astype(int) - (ramp >> 8)).max() <= 4


def test_floating_point_samples_are_refused_rather_than_guessed(tmp_path: Path) -> None:
    data = image_bytes(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF")
    assert refusal(tmp_path / "a", data).reason is Reason.UNSUPPORTED


def test_cmyk_palette_grey_and_bilevel_pictures_become_rgb(tmp_path: Path) -> None:
    colours = Image.fromarray(quadrants(80, 60))
    for form, mode in (("JPEG", "CMYK"), ("TIFF", "CMYK"), ("PNG", "P"), ("GIF", "P"), ("TIFF", "LAB")):
        picture = colours.convert(mode) if mode != "LAB" else colours.convert("RGB")
        _, _, rgb = frame_of(tmp_path / "a", image_bytes(picture, form))
        assert corners(rgb) == ["red", "green", "blue", "white"], (form, mode)
    for form, mode in (("JPEG", "L"), ("PNG", "L"), ("PNG", "1"), ("PNG", "LA")):
        _, _, rgb = frame_of(tmp_path / "a", image_bytes(colours.convert(mode), form))
        assert rgb.shape == (60, 80, 3)
        assert corners(rgb)[3] == "white", (form, mode)


def test_transparency_is_shown_over_black(tmp_path: Path) -> None:
    rgba = np.full((60, 80, 4), 255, np.uint8)
    rgba[:, 40:, 3] = 0
    for form in ("PNG", "WEBP"):
        _, _, rgb = frame_of(tmp_path / "a", image_bytes(Image.fromarray(rgba), form))
        assert corners(rgb)[0] == "white"
        assert rgb[30, 60].max() < 8
    half = np.full((60, 80, 4), (200, 100, 50, 128), np.uint8)
    _, _, rgb = frame_of(tmp_path / "a", image_bytes(Image.fromarray(half), "PNG"))
    assert np.abs(rgb[30, 40].astype(int) - (100, 50, 25)).max() <= 4
    palette = Image.fromarray(quadrants(80, 60)).convert("P")
    clear = palette.getpixel((0, 0))
    _, _, rgb = frame_of(tmp_path / "a", image_bytes(palette, "PNG", transparency=clear))
    assert rgb[5, 5].max() < 8


def test_an_animation_is_its_first_frame_and_says_how_many_there_are(tmp_path: Path) -> None:
    frames = [Image.fromarray(quadrants(80, 60)), Image.new("RGB", (80, 60)), Image.new("RGB", (80, 60), "white")]
    for form in ("GIF", "WEBP", "PNG", "AVIF"):
        info, _, rgb = frame_of(
            tmp_path / "a", image_bytes(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
        )
        assert (info.kind, info.frame_count) == ("image", 3), form
        assert corners(rgb) == ["red", "green", "blue", "white"], form


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (301, 7), (257, 255), (33, 1025)])
def test_tiny_and_odd_sizes_keep_their_proportions(tmp_path: Path, size: tuple[int, int]) -> None:
    for form in ("JPEG", "PNG"):
        info, frame, rgb = frame_of(tmp_path / "a", image_bytes(quadrants(*size), form), short_side=16)
        assert (info.width, info.height) == size
        scale = min(1.0, 16 / min(size))
        assert (frame.width, frame.height) == (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        assert rgb.shape == (frame.height, frame.width, 3)


def test_pictures_longer_than_jpeg_allows_are_scaled_to_fit(tmp_path: Path) -> None:
    _, frame, _ = frame_of(tmp_path / "a", image_bytes(Image.new("RGB", (66_000, 16)), "PNG"), short_side=16)
    assert (frame.width, frame.height) == (65_500, 16)


def test_scaling_averages_instead_of_picking_pixels(tmp_path: Path) -> None:
    checks = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for form, options in (("PNG", {}), ("JPEG", {"quality": 100})):
        _, frame, rgb = frame_of(tmp_path / "a", image_bytes(Image.fromarray(checks), form, **options))
        assert (frame.width, frame.height) == (256, 256)
        assert np.abs(rgb.astype(int) - 127).max() < 20, form


def test_a_plain_jpeg_is_the_same_by_the_fast_way_as_by_pillow(tmp_path: Path) -> None:
    smooth = Image.fromarray(noise(20, 15)).resize((1600, 1200), Image.Resampling.BICUBIC)
    data = image_bytes(smooth, "JPEG", quality=95)
    _, _, rgb = frame_of(tmp_path / "a", data)
    reference = np.asarray(smooth.resize((341, 256), Image.Resampling.LANCZOS))
    assert np.abs(rgb.astype(int) - reference).mean() < 1.5


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = image_bytes(quadrants(8, 8), "PNG")
    bomb = bomb[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + bomb[33:]
    error = refusal(tmp_path / "a.png", bomb)
    assert error.reason is Reason.TOO_LARGE
    jpeg = image_bytes(quadrants(8, 8), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    assert refusal(tmp_path / "a.jpg", jpeg[:at] + b"\xff\x00\xff\x00" + jpeg[at + 4 :]).reason is Reason.TOO_LARGE
    small = Caps(image_pixels=99, video_side=8192)
    for form in ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"):
        error = refusal(tmp_path / "a", image_bytes(quadrants(10, 10), form), small)
        assert error.reason is Reason.TOO_LARGE, form
        assert "10 x 10" in error.what


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_a_truncated_picture_is_refused(tmp_path: Path, form: str) -> None:
    data = image_bytes(noise(90, 70), form)
    for kept in (len(data) - 5, len(data) * 3 // 4, len(data) // 2, len(data) // 4):
        assert refusal(tmp_path / "a", data[:kept]).reason is Reason.TRUNCATED, kept


def test_a_thumbnail_inside_does_not_hide_that_the_picture_is_cut(tmp_path: Path) -> None:
    thumbnail = image_bytes(noise(16, 16), "JPEG")
    data = image_bytes(noise(90, 70), "JPEG", exif=b"Exif\0\0" + thumbnail)
    assert data.count(b"\xff\xd9") >= 2
    assert refusal(tmp_path / "a", data[:-3]).reason is Reason.TRUNCATED


def test_what_cameras_append_behind_the_picture_is_ignored(tmp_path: Path) -> None:
    _, _, rgb = frame_of(tmp_path / "a", image_bytes(quadrants(80, 60), "JPEG") + b"\0" * 100)
    assert corners(rgb) == ["red", "green", "blue", "white"]


def test_every_flipped_bit_of_a_png_that_matters_is_noticed(tmp_path: Path) -> None:
    data = image_bytes(noise(30, 20), "PNG")
    for at in range(12, len(data) - 12, 97):
        flipped = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert refusal(tmp_path / "a", flipped).reason in (Reason.CORRUPT, Reason.TRUNCATED), at


def test_lost_pixels_of_a_jpeg_are_noticed_and_harmless_garbage_is_not_held_against_it(tmp_path: Path) -> None:
    data = image_bytes(noise(90, 70), "JPEG", restart_marker_blocks=2)
    cut = data.index(b"\xff\xd3") - 20
    assert refusal(tmp_path / "a", data[:cut] + data[cut + 15 :]).reason is Reason.CORRUPT
    padded = data[:-2] + b"\0\0\0\0" + data[-2:]
    assert frame_of(tmp_path / "a", padded)[0].width == 90


def test_apple_stills_are_named_as_unsupported(tmp_path: Path) -> None:
    avif = image_bytes(quadrants(16, 16), "AVIF")
    heic = patched(patched(avif, b"avif", b"heic"), b"avif", b"heic")
    assert refusal(tmp_path / "a.heic", heic).reason is Reason.UNSUPPORTED
