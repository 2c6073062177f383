"""Videos: measuring them, and their sampled frames as upright JPEGs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

from mmfs.media.audio import describe_audio, probe_audio
from mmfs.media.container import open_container
from mmfs.media.decode import FrameDecoder
from mmfs.media.info import DecodedFrame, MediaInfo, Reason, RefusedError
from mmfs.media.picture import orientation_of, to_jpeg
from mmfs.media.sampling import Sampling, choose
from mmfs.media.streams import audio_stream, video_stream
from mmfs.media.timeline import PacketReader, Timeline, read_timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def probe_video(data: BinaryIO, info: MediaInfo, *, max_side: int) -> MediaInfo:
    """Measure a video: every packet is read, and frames are decoded until one succeeds.

    A container that turns out to hold sound only is probed as audio.

    Raises:
        RefusedError: CORRUPT, TRUNCATED, TOO_LARGE, UNSUPPORTED or NO_PICTURES.
    """
    with open_container(data, info, max_side=max_side) as container:
        stream = video_stream(container, max_side=max_side)
        if stream is None:
            return probe_audio(container, info)
        header_s = (container.duration or 0) / 1_000_000
        rate, codec = stream.average_rate, stream.codec_context.codec.canonical_name
        audio = audio_stream(container)
        measured = replace(info, **describe_audio(audio)) if audio else info
        timeline = read_timeline(container, stream, with_ends=True)
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
        RefusedError: As `probe_video`; NO_PICTURES when not one chosen frame can be decoded.
    """
    with open_container(data, info, max_side=max_side, headers_suffice=True) as container:
        stream = video_stream(container, max_side=max_side)
        if stream is None:
            return 0
        timeline = read_timeline(container, stream, with_ends=False)
    only_keys = sampling.mode == "keyframes"
    if only_keys and not timeline.is_stamped:
        # Frames told by counting must all be decoded, and each says itself whether it is a key.
        chosen = list(range(len(timeline.pts)))
    else:
        chosen = choose(sampling, timeline.pts, timeline.keys, end=timeline.end, time_base=timeline.time_base)
    wanted = {timeline.pts[ordinal] for ordinal in chosen}
    decoder = FrameDecoder(data, info, timeline, wanted, max_side=max_side, only_keys=only_keys and timeline.is_stamped)
    position = kept = 0
    for frame, pts in decoder:
        ordinal = timeline.index_of(pts)
        if position == len(chosen) or ordinal < chosen[position]:
            continue
        while position < len(chosen) and chosen[position] <= ordinal:
            position += 1
        is_keyframe = pts in timeline.keys if timeline.is_stamped else frame.key_frame
        if only_keys and not is_keyframe:
            continue
        kept += 1
        jpeg, width, height = to_jpeg(frame, sampling)
        pts_us = timeline.pts_us(timeline.pts[ordinal])
        emit(DecodedFrame(ordinal, pts_us, pts_us / 1_000_000, width, height, is_keyframe, jpeg))
    if not kept:
        raise RefusedError(Reason.NO_PICTURES, "not one chosen frame of the video can be decoded")
    return decoder.salvaged


def _first_frame(data: BinaryIO, info: MediaInfo, max_side: int) -> VideoFrame | None:
    import av

    with open_container(data, info, max_side=max_side) as container:
        stream = video_stream(container, max_side=max_side)
        if stream is None:
            return None
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


def _duration_s(header_s: float, timeline: Timeline) -> float:
    """The longer of what the header says and what the packets show; a header far beyond its packets lies."""
    measured = timeline.end_s
    return max(header_s, measured) if header_s <= 1.05 * measured + 1.0 else measured
