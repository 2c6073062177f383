"""Videos are measured and sampled by presentation time, whatever the container, codec, order or rotation."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mmfs.codecs import decode_jpeg
from mmfs.media.info import DecodedFrame, MediaInfo, Reason, RefusedError
from mmfs.media.probe import Caps, probe_file, sample_file
from mmfs.media.sampling import Sampling
from tests.media.makers import Rgb, corners, make_video, moving, number_of, patched, quadrants, turn

CAPS = Caps(image_pixels=178_956_970, video_side=8192)


def sampled(path: Path, mode: Any = "all", fps: float = 1.0, side: int = 256) -> tuple[list[DecodedFrame], int]:
    """The frames of a file, and how many packets and frames were lost."""
    info = probe_file(path, CAPS)
    frames: list[DecodedFrame] = []
    salvaged = sample_file(path, info.sha256, Sampling(mode, fps, side, 95), CAPS, frames.append)
    return frames, salvaged


def rgb_of(frame: DecodedFrame) -> Rgb:
    return decode_jpeg(frame.jpeg)


def refusal(path: Path, caps: Caps = CAPS) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        probe_file(path, caps)
    return refused.value


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {}),
        ("a.mp4", "libx264", {"pix_fmt": "yuv420p10le"}),
        ("a.mp4", "libx264", {"pix_fmt": "yuv444p", "size": (63, 47)}),
        ("a.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("a.mov", "libx264", {}),
        ("a.mkv", "libx264", {}),
        ("a.ts", "libx264", {}),
        ("a.avi", "libx264", {}),
        ("a.webm", "libvpx", {"options": {"auto-alt-ref": "1", "lag-in-frames": "12"}}),
        ("a.webm", "libvpx-vp9", {}),
        ("a.avi", "mjpeg", {"pix_fmt": "yuvj420p", "b_frames": 0}),
        ("a.flv", "flv", {"b_frames": 0}),
    ],
)
def test_every_container_gives_each_frame_its_ordinal_and_time(
    tmp_path: Path, name: str, codec: str, options: dict[str, Any]
) -> None:
    path = make_video(tmp_path / name, 24, codec=codec, **options)
    info = probe_file(path, CAPS)
    size = options.get("size", (64, 48))
    assert (info.kind, info.width, info.height, info.frame_count) == ("video", *size, 24)
    assert info.fps == pytest.approx(10)
    assert info.duration_s == pytest.approx(2.4, abs=0.11)
    frames, salvaged = sampled(path)
    assert salvaged == 0
    assert [frame.frame_index for frame in frames] == list(range(24))
    # Containers without edit lists show the encoder's delay as a late start.
    delay = frames[0].time_s
    assert 0 <= delay <= 0.21
    assert [frame.time_s - delay for frame in frames] == pytest.approx([n / 10 for n in range(24)], abs=0.002)
    assert [number_of(rgb_of(frame)) for frame in frames] == list(range(24))
    assert frames[0].is_keyframe


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.avi", "libx264"),
        ("a.ts", "mpeg2video"),
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
    ],
)
def test_a_frame_is_the_same_whatever_the_sampling(tmp_path: Path, name: str, codec: str) -> None:
    path = make_video(tmp_path / name, 40, gop=7, b_frames=3, codec=codec, fps=25)
    every = {frame.frame_index: frame for frame in sampled(path)[0]}
    keys = sampled(path, "keyframes")[0]
    assert keys == [frame for frame in every.values() if frame.is_keyframe]
    assert len(keys) >= 5
    for fps in (1.0, 3.0, 100.0):
        some = sampled(path, "fps", fps)[0]
        assert some == [every[frame.frame_index] for frame in some]
    assert len(some) == 40


def test_frames_come_by_time_where_the_rate_varies(tmp_path: Path) -> None:
    times = [0, 1, 2, 5, 6, 20, 21, 22, 23, 40]
    frames, _ = sampled(make_video(tmp_path / "a.mp4", 10, times=times), "fps")
    assert [frame.frame_index for frame in frames] == [0, 4, 5, 8, 9]
    assert [frame.pts_us for frame in frames] == [0, 600_000, 2_000_000, 2_300_000, 4_000_000]


def test_times_are_exact_at_rates_that_are_no_whole_numbers(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 61, fps=Fraction(30000, 1001))
    frames, _ = sampled(path, "fps")
    assert [(frame.frame_index, frame.pts_us) for frame in frames] == [(0, 0), (29, 967_633), (59, 1_968_633)]


def test_an_edit_list_cuts_away_what_players_do_not_show(tmp_path: Path) -> None:
    data = make_video(tmp_path / "a.mp4", 30, b_frames=0, gop=10).read_bytes()
    at = data.index(b"elst") + 12
    duration, media_time = struct.unpack_from(">Ii", data, at)
    step = duration // 30
    media_step = struct.unpack_from(">I", data, data.index(b"stts") + 16)[0]
    cut = data[:at] + struct.pack(">Ii", duration - 12 * step, media_time + 12 * media_step) + data[at + 8 :]
    (tmp_path / "cut.mp4").write_bytes(cut)
    assert probe_file(tmp_path / "cut.mp4", CAPS).frame_count == 18
    frames, salvaged = sampled(tmp_path / "cut.mp4")
    assert salvaged == 0
    assert [frame.frame_index for frame in frames] == list(range(18))
    assert frames[0].time_s == pytest.approx(0, abs=0.01)
    assert [number_of(rgb_of(frame)) for frame in frames] == list(range(12, 30))


@pytest.mark.parametrize(
    ("matrix", "rotation", "shown"),
    [
        ((1, 0, 0, 1), 0, ["red", "green", "blue", "white"]),
        ((0, 1, -1, 0), 90, ["blue", "red", "white", "green"]),
        ((-1, 0, 0, -1), 180, ["white", "blue", "green", "red"]),
        ((0, -1, 1, 0), 270, ["green", "white", "red", "blue"]),
        ((-1, 0, 0, 1), 0, ["green", "red", "white", "blue"]),
    ],
)
def test_a_display_matrix_turns_the_frames_and_the_size(
    tmp_path: Path, matrix: tuple[int, int, int, int], rotation: int, shown: list[str]
) -> None:
    upright = make_video(tmp_path / "a.mp4", 2, picture=lambda _: quadrants(64, 48)).read_bytes()
    (tmp_path / "b.mp4").write_bytes(turn(upright, matrix))
    info = probe_file(tmp_path / "b.mp4", CAPS)
    assert info.rotation_deg == rotation
    assert (info.width, info.height) == ((48, 64) if rotation % 180 else (64, 48))
    frame = sampled(tmp_path / "b.mp4")[0][0]
    assert (frame.width, frame.height) == (info.width, info.height)
    assert corners(rgb_of(frame)) == shown


@pytest.mark.parametrize("colorspace", [1, 5])
@pytest.mark.parametrize("full_range", [False, True])
def test_colours_follow_the_matrix_and_range_that_the_video_names(
    tmp_path: Path, colorspace: int, full_range: bool
) -> None:
    color_range = 2 if full_range else 1
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = colorspace, color_range
        rgb = av.VideoFrame.from_ndarray(np.full((48, 64, 3), (200, 30, 60), np.uint8))
        yuv = rgb.reformat(format="yuv420p", dst_colorspace=colorspace, dst_color_range=color_range)
        container.mux(stream.encode(yuv))
        container.mux(stream.encode())
    centre = rgb_of(sampled(tmp_path / "a.mp4")[0][0])[24, 32].astype(int)
    assert np.abs(centre - (200, 30, 60)).max() <= 6


def test_frames_are_scaled_to_the_short_side_and_never_up(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 2, size=(160, 90))
    frame = sampled(path, side=45)[0][0]
    assert (frame.width, frame.height) == (80, 45)
    assert rgb_of(frame).shape == (45, 80, 3)
    assert sampled(path)[0][0].width == 160


def test_scaling_averages_instead_of_picking_pixels(tmp_path: Path) -> None:
    stripes = np.repeat(np.indices((512, 512)).sum(axis=0)[:, :, None] % 2 * 255, 3, axis=2).astype(np.uint8)
    path = make_video(
        tmp_path / "a.mp4", 1, size=(512, 512), pix_fmt="yuv444p", options={"crf": "1"}, picture=lambda _: stripes
    )
    for side in (64, 200, 300):
        assert rgb_of(sampled(path, side=side)[0][0]).std() < 40, side


def test_sound_is_described_beside_the_picture(tmp_path: Path) -> None:
    info = probe_file(make_video(tmp_path / "a.mp4", 10, audio=True), CAPS)
    assert (info.video_codec, info.audio_codec, info.sample_rate_hz, info.channels) == ("h264", "aac", 44100, 2)


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for encoder, count, size in ((cover, 1, (32, 32)), (stream, 10, (64, 48))):
            for number in range(count):
                frame = av.VideoFrame.from_ndarray(moving(*size)(number))
                frame.pts = number
                container.mux(encoder.encode(frame))
            container.mux(encoder.encode())
    info = probe_file(tmp_path / "a.mp4", CAPS)
    assert (info.video_codec, info.width, info.frame_count) == ("h264", 64, 10)


def test_of_several_video_streams_the_default_one_is_taken(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = []
        for width, disposition in ((32, av.stream.Disposition(0)), (64, av.stream.Disposition.default)):
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt, stream.disposition = width, 48, "yuv420p", disposition
            streams.append(stream)
        for stream in streams:
            frame = av.VideoFrame.from_ndarray(moving(stream.width, 48)(0))
            frame.pts = 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    assert probe_file(tmp_path / "a.mkv", CAPS).width == 64


def test_a_video_without_frames_has_no_pictures(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert refusal(tmp_path / "a.mp4").reason is Reason.NO_PICTURES


def test_a_video_in_which_nothing_decodes_has_no_pictures(tmp_path: Path) -> None:
    data = make_video(tmp_path / "a.mkv", 6, codec="libvpx-vp9", b_frames=0).read_bytes()
    at = data.index(b"\xa3", data.index(b"\x1f\x43\xb6\x75"))
    (tmp_path / "b.mkv").write_bytes(data[: at + 12] + b"\xff" * (len(data) - at - 200) + data[-188:])
    assert refusal(tmp_path / "b.mkv").reason in (Reason.NO_PICTURES, Reason.CORRUPT)


def test_huge_pictures_are_refused_before_memory_is_reserved(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 2, size=(160, 90))
    assert refusal(path, Caps(image_pixels=1, video_side=159)).reason is Reason.TOO_LARGE
    assert probe_file(path, Caps(image_pixels=1, video_side=160)).width == 160
    small = make_video(tmp_path / "a.webm", 3, codec="libvpx", b_frames=0).read_bytes()
    bomb = patched(small, b"\x9d\x01\x2a", b"\x9d\x01\x2a\xff\x3f\xff\x3f")
    (tmp_path / "bomb.webm").write_bytes(bomb)
    assert refusal(tmp_path / "bomb.webm").reason is Reason.NO_PICTURES


def test_a_frame_larger_than_the_header_says_is_not_decoded(tmp_path: Path) -> None:
    first = make_video(tmp_path / "a.webm", 1, codec="libvpx", b_frames=0, gop=1)
    with av.open(str(tmp_path / "b.webm"), "w") as container:
        stream = container.add_stream_from_template(_stream_of(first))
        for path, number in ((first, 0), (make_video(tmp_path / "c.webm", 1, codec="libvpx", size=(320, 240)), 1)):
            packet = next(iter(_packets_of(path)))
            packet.stream, packet.pts, packet.dts = stream, number * 100, number * 100
            container.mux(packet)
    caps = Caps(image_pixels=1, video_side=200)
    info = probe_file(tmp_path / "b.webm", caps)
    frames: list[DecodedFrame] = []
    lost = sample_file(tmp_path / "b.webm", info.sha256, Sampling("all", 1.0, 256, 90), caps, frames.append)
    assert (info.width, len(frames), lost) == (64, 1, 1)


def test_an_index_at_the_end_that_is_missing_means_truncated(tmp_path: Path) -> None:
    data = make_video(tmp_path / "a.mp4", 30).read_bytes()
    for share in (0.2, 0.5, 0.9):
        (tmp_path / "b.mp4").write_bytes(data[: int(share * len(data))])
        assert refusal(tmp_path / "b.mp4").reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.mp4", {"container_options": {"movflags": "faststart"}}), ("a.mkv", {}), ("a.ts", {}), ("a.avi", {})],
)
def test_what_came_through_of_a_cut_video_is_kept(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    data = make_video(tmp_path / name, 30, **options).read_bytes()
    (tmp_path / f"b{name}").write_bytes(data[: int(0.6 * len(data))])
    info = probe_file(tmp_path / f"b{name}", CAPS)
    frames, _ = sampled(tmp_path / f"b{name}")
    numbers = [number_of(rgb_of(frame)) for frame in frames]
    assert 5 <= len(frames) < 30
    assert numbers[:-3] == list(range(len(frames)))[:-3]
    assert info.duration_s is not None
    assert info.duration_s < 3.0 or name == "a.mkv"


def test_damaged_packets_cost_their_frames_and_are_counted(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", 30, codec="mjpeg", pix_fmt="yuvj420p", b_frames=0)
    data = path.read_bytes()
    third = data.index(b"\xff\xd8", data.index(b"\xff\xd8", data.index(b"\xff\xd8") + 2) + 2)
    (tmp_path / "b.mkv").write_bytes(data[:third] + b"\0" * 400 + data[third + 400 :])
    frames, salvaged = sampled(tmp_path / "b.mkv")
    assert salvaged >= 1
    assert [frame.frame_index for frame in frames] == [n for n in range(30) if n != 2]
    by_rate, _ = sampled(tmp_path / "b.mkv", "fps", 5.0)
    assert [frame.frame_index for frame in by_rate][:3] == [0, 3, 4]


def test_a_header_that_lies_about_its_length_is_not_believed(tmp_path: Path) -> None:
    data = make_video(tmp_path / "a.mkv", 10, b_frames=0).read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    (tmp_path / "b.mkv").write_bytes(data[:at] + struct.pack(">d", 3.6e12) + data[at + 8 :])
    assert probe_file(tmp_path / "b.mkv", CAPS).duration_s == pytest.approx(1.0, abs=0.1)


def test_bytes_that_are_no_longer_those_registered_are_changed(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 3)
    with pytest.raises(RefusedError) as refused:
        sample_file(path, "0" * 64, Sampling("all", 1.0, 256, 90), CAPS, lambda _: None)
    assert refused.value.reason is Reason.CHANGED


def _packets_of(path: Path) -> list[av.Packet[Any]]:
    with av.open(io.BytesIO(path.read_bytes())) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def _stream_of(path: Path) -> Any:
    return av.open(str(path)).streams.video[0]


def test_info_holds_only_plain_finite_values(tmp_path: Path) -> None:
    info = probe_file(make_video(tmp_path / "a.mp4", 3, audio=True), CAPS)
    assert isinstance(info, MediaInfo)
    for value in vars(info).values():
        assert value is None or isinstance(value, str | int | float)
