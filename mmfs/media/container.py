"""Opening audio and video containers with FFmpeg on a short leash, and choosing the streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from mmfs.media.info import MediaInfo, Reason, RefusedError
from mmfs.media.whole import boxes

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

#: The one FFmpeg demuxer of each container of ours.
_DEMUXERS = {
    "mp4": "mov",
    "mov": "mov",
    "webm": "matroska",
    "matroska": "matroska",
    "avi": "avi",
    "mpegts": "mpegts",
    "mpeg": "mpeg",
    "flv": "flv",
    "ogg": "ogg",
    "wav": "wav",
    "flac": "flac",
    "mp3": "mp3",
    "aac": "aac",
}
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
_IO_BUFFER_BYTES = 1 << 18
_MAX_STREAMS = 64


@contextmanager
def open_container(data: BinaryIO, info: MediaInfo, *, max_pixels: int) -> Iterator[InputContainer]:
    """Open a container from bytes, never by name, so that nothing but these bytes can be read.

    Raises:
        RefusedError: CORRUPT or TRUNCATED.
    """
    import av

    demuxer = _DEMUXERS[info.container]
    data.seek(0)
    try:
        container = av.open(
            data,
            mode="r",
            format=demuxer,
            metadata_errors="replace",
            buffer_size=_IO_BUFFER_BYTES,
            io_open=_refuse_second_file,
            options={"max_pixels": str(max_pixels)},
            container_options={
                "protocol_whitelist": "none",
                "format_whitelist": demuxer,
                "codec_whitelist": ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)),
                "max_streams": str(_MAX_STREAMS),
            },
        )
    except (MemoryError, RefusedError):
        raise
    except (av.FFmpegError, ValueError) as error:
        reason = Reason.TRUNCATED if _is_cut_off(data, info) else Reason.CORRUPT
        raise RefusedError(reason, f"{info.container}: {error}", mend="fetch the file again") from error
    with container:
        yield container


def choose_video(container: InputContainer) -> VideoStream | None:
    """The video stream that players show: by disposition, then by order; never cover art or thumbnails."""
    import av.stream

    flags = av.stream.Disposition
    stills = flags.attached_pic | flags.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & stills]
    return min(streams, key=lambda s: (not s.disposition & flags.default, s.index), default=None)


def choose_audio(container: InputContainer) -> AudioStream | None:
    """The audio stream that players play: by disposition, then by order."""
    import av.stream

    default = av.stream.Disposition.default
    return min(container.streams.audio, key=lambda s: (not s.disposition & default, s.index), default=None)


def _refuse_second_file(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise RefusedError(Reason.FORBIDDEN, "the file refers to another file, which is not opened")


def _is_cut_off(data: BinaryIO, info: MediaInfo) -> bool:
    """Whether an mp4 lacks its table of contents because the file ends before it."""
    if _DEMUXERS[info.container] != "mov":
        return False
    found = list(boxes(data, info.size_bytes))
    return bool(found) and found[-1][1] > info.size_bytes
