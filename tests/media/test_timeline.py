"""When frames are shown is read from packets alone, and the headers of an mp4 suffice for it."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.media.container import open_container
from mmfs.media.info import MediaInfo
from mmfs.media.sniff import sniff
from mmfs.media.streams import video_stream
from mmfs.media.timeline import Timeline, most_held_back, read_timeline
from tests.media.makers import make_video


def timeline_of(path: Path, *, headers_suffice: bool, with_ends: bool = False) -> Timeline:
    with path.open("rb") as file:
        sniffed = sniff(file.read(4096))
        info = MediaInfo("0" * 64, path.stat().st_size, sniffed.kind, sniffed.container)
        with open_container(file, info, max_side=8192, headers_suffice=headers_suffice) as container:
            stream = video_stream(container, max_side=8192)
            assert stream is not None
            return read_timeline(container, stream, with_ends=with_ends)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {}),
        ("a.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("a.mov", {"codec": "mpeg4"}),
        ("a.mkv", {}),
        ("a.ts", {}),
    ],
)
def test_no_picture_need_be_decoded_to_know_when_frames_are_shown(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    path = make_video(tmp_path / name, 30, b_frames=3, gop=12, audio=name.endswith("mp4"), **options)
    quick = timeline_of(path, headers_suffice=True)
    assert quick == timeline_of(path, headers_suffice=False)
    assert len(quick.pts) == 30
    assert len(quick.keys) >= 3
    assert quick.held_back >= 1


def test_the_end_is_that_of_the_longest_stream_where_all_are_read(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", 10, b_frames=0, audio=True)
    alone = timeline_of(path, headers_suffice=False)
    together = timeline_of(path, headers_suffice=False, with_ends=True)
    assert alone.end_s == pytest.approx(1.0, abs=0.01)
    assert alone.end_s <= together.end_s
    assert (alone.pts, alone.keys) == (together.pts, together.keys)


@given(st.lists(st.integers(0, 1000), unique=True, max_size=17))
def test_holding_back_as_many_frames_as_told_puts_them_in_order(arrived: list[int]) -> None:
    held_back = most_held_back(arrived)
    waiting: list[int] = []
    shown: list[int] = []
    for time in arrived:
        heapq.heappush(waiting, time)
        if len(waiting) > held_back:
            shown.append(heapq.heappop(waiting))
    while waiting:
        shown.append(heapq.heappop(waiting))
    assert shown == sorted(arrived)
