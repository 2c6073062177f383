"""Videos: probing, and decoding the chosen frames to upright JPEGs."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from mmfs.media.audio import describe_audio, probe_audio
from mmfs.media.container import VIDEO_CODECS, choose_audio, choose_video, open_container
from mmfs.media.info import DecodedFrame, MediaInfo, Reason, RefusedError
from mmfs.media.picture import orientation_of, to_jpeg
from mmfs.media.sampling import Sampling, choose
from mmfs.media.timeline import PacketReader, Timeline, read_timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

#: Gives each decoded frame with its pts; returns how many packets and frames were lost.
_Frames = Generator[tuple["VideoFrame", int], None, int]


def probe_video(data: BinaryIO, info: MediaInfo, *, max_side: int) -> MediaInfo:
    """Measure a video: every packet is read, and frames are decoded until one succeeds.

    A container that turns out to hold sound only is probed as audio.

    Raises:
        RefusedError: CORRUPT, TRUNCATED, TOO_LARGE, UNSUPPORTED or NO_PICTURES.
    """
    with open_container(data, info, max_pixels=max_side * max_side) as container:
        stream = choose_video(container)
        if stream is None:
            return probe_audio(container, info)
        _prepare(stream, max_side)
        header_s = (container.duration or 0) / 1_000_000
        rate, codec = stream.average_rate, stream.codec_context.codec.canonical_name
        audio = choose_audio(container)
        measured = replace(info, **describe_audio(audio)) if audio else info
        timeline = read_timeline(container, stream)
    first = _first_frame(data, info, max_side)
    if first is None or not timeline.pts:
        raise RefusedError(Reason.NO_PICTURES, "not one frame of the video can be decoded")
    orientation = orientation_of(first)
    width, height = orientation.size(first.width, first.height)
    return replace(
        measured,
        video_codec=codec,
        width=width,
        height=height,
        rotation_deg=orientation.rotation_deg,
        fps=float(rate) if rate and math.isfinite(rate) else None,
        frame_count=len(timeline.pts),
        duration_s=_duration_s(header_s, timeline),
    )


def video_frames(
    data: BinaryIO, info: MediaInfo, sampling: Sampling, *, max_side: int, emit: Callable[[DecodedFrame], None]
) -> int:
    """Decode the frames that ``sampling`` chooses and hand them to ``emit`` in presentation order.

    Where a chosen frame is damaged, the next good one before the next chosen takes its place.

    Returns:
        How many packets and frames were too damaged to use.

    Raises:
        RefusedError: As `probe_video`; NO_PICTURES when frames were chosen and none could be decoded.
    """
    with open_container(data, info, max_pixels=max_side * max_side) as container:
        stream = choose_video(container)
        if stream is None:
            return 0
        _prepare(stream, max_side)
        timeline = read_timeline(container, stream)
    chosen = choose(sampling, timeline.pts, timeline.keys, end=timeline.end, time_base=timeline.time_base)
    decoded = _decode(data, info, max_side, timeline, chosen, only_keys=sampling.mode == "keyframes")
    position = kept = 0
    while True:
        try:
            frame, pts = next(decoded)
        except StopIteration as stop:
            salvaged: int = stop.value
            break
        ordinal = timeline.index_of(pts)
        if position == len(chosen) or ordinal < chosen[position]:
            continue
        while position < len(chosen) and chosen[position] <= ordinal:
            position += 1
        kept += 1
        jpeg, width, height = to_jpeg(frame, sampling)
        pts_us = timeline.pts_us(pts)
        emit(DecodedFrame(ordinal, pts_us, pts_us / 1_000_000, width, height, pts in timeline.keys, jpeg))
    if not kept:
        raise RefusedError(Reason.NO_PICTURES, "not one chosen frame of the video can be decoded")
    return salvaged


def _decode(
    data: BinaryIO, info: MediaInfo, max_side: int, timeline: Timeline, chosen: list[int], *, only_keys: bool
) -> _Frames:
    """Decode the chosen stream; frames come with strictly ascending pts, damaged ones are counted instead."""
    import av

    wanted = {timeline.pts[ordinal] for ordinal in chosen}
    # Frames of unstamped packets come in order of presentation, so they are told by counting.
    times = sorted(timeline.keys) if only_keys else timeline.pts
    last = -1
    salvaged = count = 0
    with open_container(data, info, max_pixels=max_side * max_side) as container:
        stream = choose_video(container)
        if stream is None:
            return 0
        context = _prepare(stream, max_side).codec_context
        reader = PacketReader(container, stream)
        for packet in reader:
            if only_keys and packet.size and not packet.is_keyframe:
                continue
            # Frames nobody asked for and nobody refers to need no decoding.
            is_wanted = not timeline.is_stamped or packet.size == 0 or packet.pts in wanted
            context.skip_frame = "DEFAULT" if is_wanted else "NONREF"
            salvaged += bool(packet.is_corrupt)
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                salvaged += 1
                continue
            for frame in frames:
                pts = frame.pts if timeline.is_stamped else _nth(times, count)
                count += 1
                if frame.is_corrupt or pts is None or timeline.index_of(pts) <= last or _is_beyond(frame, max_side):
                    salvaged += 1
                    continue
                last = timeline.index_of(pts)
                yield frame, pts
    return salvaged + reader.errors


def _first_frame(data: BinaryIO, info: MediaInfo, max_side: int) -> VideoFrame | None:
    import av

    with open_container(data, info, max_pixels=max_side * max_side) as container:
        stream = choose_video(container)
        if stream is None:
            return None
        _prepare(stream, max_side)
        for packet in PacketReader(container, stream):
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                continue
            if frames:
                return frames[0]
    return None


def _prepare(stream: VideoStream, max_side: int) -> VideoStream:
    """Check a stream by its header and set its decoder to one thread, before any picture buffer exists."""
    context = stream.codec_context
    if context is None or context.name not in VIDEO_CODECS:
        name = context.name if context else "unknown"
        raise RefusedError(Reason.UNSUPPORTED, f"video codec {name} is not decoded", mend="transcode it")
    if max(context.width, context.height) > max_side:
        raise RefusedError(
            Reason.TOO_LARGE,
            f"{context.width} x {context.height} pixels, over the limit of {max_side} a side",
            mend="scale it down, or raise MMFS_GUARD__VIDEO_SIDE",
        )
    context.thread_count = 1
    context.options = {"max_pixels": str(max_side * max_side)}
    return stream


def _is_beyond(frame: VideoFrame, max_side: int) -> bool:
    return max(frame.width, frame.height) > max_side or min(frame.width, frame.height) < 1


def _nth(times: list[int], count: int) -> int | None:
    return times[count] if count < len(times) else None


def _duration_s(header_s: float, timeline: Timeline) -> float:
    """The longer of what the header says and what the packets show; a header far beyond its packets lies."""
    measured = timeline.end_s
    return max(header_s, measured) if header_s <= 1.05 * measured + 1.0 else measured
