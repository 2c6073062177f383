"""Choosing the streams of a container, and what may decode them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmfs.media.info import Reason, RefusedError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: Decoders that may run, by FFmpeg's names: what people really have, not the museum.
VIDEO_CODECS = frozenset({
    "h264", "hevc", "vp8", "vp9", "libdav1d", "av1", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v3", "h263", "flv",
    "mjpeg", "prores", "theora", "ffv1", "png", "rawvideo", "dvvideo", "vc1", "wmv3",
})  # fmt: skip
AUDIO_CODECS = frozenset({
    "aac", "aac_latm", "mp2", "mp2float", "mp3", "mp3float", "ac3", "eac3", "vorbis", "libvorbis", "opus", "libopus",
    "flac", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s32le", "pcm_u8", "pcm_f32le", "pcm_alaw",
    "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav", "wmav2", "amrnb", "amr_nb",
})  # fmt: skip


def video_stream(container: InputContainer, *, max_side: int) -> VideoStream | None:
    """The video stream that players show, ready to decode on one thread; never cover art or thumbnails.

    By disposition, then by order. Several files are decoded at once, so threads within one would only contend.

    Raises:
        RefusedError: UNSUPPORTED or TOO_LARGE, by the header.
    """
    import av.stream

    flags = av.stream.Disposition
    stills = flags.attached_pic | flags.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & stills]
    if not streams:
        return None
    stream = min(streams, key=lambda s: (not s.disposition & flags.default, s.index))
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


def audio_stream(container: InputContainer) -> AudioStream | None:
    """The audio stream that players play: by disposition, then by order."""
    import av.stream

    default = av.stream.Disposition.default
    return min(container.streams.audio, key=lambda s: (not s.disposition & default, s.index), default=None)


def require_decodable(stream: AudioStream) -> None:
    """Check that a stream's codec is one that may run.

    Raises:
        RefusedError: UNSUPPORTED.
    """
    context = stream.codec_context
    if context is None or context.name not in AUDIO_CODECS:
        name = context.codec.canonical_name if context else "unknown"
        raise RefusedError(Reason.UNSUPPORTED, f"audio codec {name} is not decoded", mend="transcode it")
