"""Opening audio and video containers with FFmpeg on a short leash."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from mmfs.media.info import MediaInfo, Reason, RefusedError
from mmfs.media.streams import AUDIO_CODECS, VIDEO_CODECS
from mmfs.media.whole import boxes

if TYPE_CHECKING:
    from av.container import InputContainer

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
_IO_BUFFER_BYTES = 1 << 18
_MAX_STREAMS = 64
_GENERATE_PTS = 0x0001  # AVFMT_FLAG_GENPTS


@contextmanager
def open_container(
    data: BinaryIO, info: MediaInfo, *, max_side: int, headers_suffice: bool = False
) -> Iterator[InputContainer]:
    """Open a container from bytes, never by name, so that nothing but these bytes can be read.

    Args:
        max_side: Longest side of a picture, in pixels. Decoders refuse pictures of more than its square before they
            reserve memory, already while FFmpeg looks into the streams.
        headers_suffice: Decode no picture on opening where the container's own tables say sizes and times. FFmpeg
            then knows neither the pixel format nor how far an H.264 encoder reordered its frames.

    Raises:
        RefusedError: CORRUPT, TRUNCATED, or FORBIDDEN when the bytes refer to another file.
    """
    import av

    demuxer = _DEMUXERS[info.container]
    options = {"max_pixels": str(max_side * max_side)}
    if headers_suffice and demuxer == "mov":
        options["skip_frame"] = "all"
    data.seek(0)
    try:
        container = av.open(
            data,
            mode="r",
            format=demuxer,
            metadata_errors="replace",
            buffer_size=_IO_BUFFER_BYTES,
            io_open=_refuse_second_file,
            options=options,
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
        if not container.streams.video and not container.streams.audio and _is_cut_off(data, info):
            raise RefusedError(Reason.TRUNCATED, f"{info.container}: its end is missing", mend="fetch the file again")
        if demuxer == "avi":
            # AVI stores no presentation times; those made up by FFmpeg are wrong where frames are reordered.
            container.flags &= ~_GENERATE_PTS
        yield container


def _refuse_second_file(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise RefusedError(Reason.FORBIDDEN, "the file refers to another file, which is not opened")


def _is_cut_off(data: BinaryIO, info: MediaInfo) -> bool:
    """Whether an mp4 lacks its table of contents because the file ends before it."""
    if _DEMUXERS[info.container] != "mov":
        return False
    found = list(boxes(data, info.size_bytes))
    return bool(found) and found[-1][1] > info.size_bytes
