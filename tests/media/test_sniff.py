"""Types are told by bytes alone, and what names other files is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.media import MEDIA_SUFFIXES, Reason, RefusedError, sniff
from tests.media.makers import image_bytes, make_video, quadrants


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_every_image_format_is_known_by_its_bytes(form: str) -> None:
    sniffed = sniff(image_bytes(quadrants(8, 8), form)[:4096])
    assert (sniffed.kind, sniffed.container) == ("image", form.lower())


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        ("mp4", "libx264", "mp4"),
        ("mov", "libx264", "mov"),
        ("mkv", "libx264", "matroska"),
        ("webm", "libvpx", "webm"),
        ("avi", "mpeg4", "avi"),
        ("ts", "libx264", "mpegts"),
        ("mpg", "mpeg2video", "mpeg"),
        ("flv", "flv", "flv"),
    ],
)
def test_every_video_container_is_known_by_its_bytes(tmp_path: Path, suffix: str, codec: str, container: str) -> None:
    path = make_video(tmp_path / f"clip.{suffix}", 3, codec=codec, b_frames=0, fps=25)
    sniffed = sniff(path.read_bytes()[:4096])
    assert (sniffed.kind, sniffed.container) == ("video", container)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        "\ufeff\n  #extm3u\n",
        "[playlist]\nFile1=/etc/passwd\n",
        "<?xml version='1.0'?><svg/>",
        "<SVG xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></SVG>",
        "<!DOCTYPE html><script>",
        "<html>",
        "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>",
        "#!/bin/sh\n",
        "%!PS-Adobe-3.0\n",
    ],
)
def test_playlists_scripts_and_pages_are_forbidden_whatever_they_are_called(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        sniff(text.encode())
    assert refused.value.reason is Reason.FORBIDDEN


def test_an_empty_file_is_empty_and_noise_is_unknown() -> None:
    for head, reason in ((b"", Reason.EMPTY), (b"\x01\x02\x03\x04", Reason.UNKNOWN_TYPE)):
        with pytest.raises(RefusedError) as refused:
            sniff(head)
        assert refused.value.reason is reason


def test_a_sentence_is_not_taken_for_a_container() -> None:
    for text in (b"The wide river froze over.", b"We arefree to go there.", b"BMX bikes, mostly old ones, on a ramp"):
        with pytest.raises(RefusedError) as refused:
            sniff(text)
        assert refused.value.reason is Reason.UNKNOWN_TYPE


@given(st.binary(max_size=600))
def test_any_bytes_are_either_a_type_or_refused(head: bytes) -> None:
    with contextlib.suppress(RefusedError):
        assert sniff(head).mime


def test_listed_suffixes_are_lower_case_with_their_dot() -> None:
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in MEDIA_SUFFIXES)
