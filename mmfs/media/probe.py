"""One file, in this process: what a decoding process does for each job.

Call these through `mmfs.media.guard.Guard`; run directly they have no limits but those on pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmfs.media.image import image_frame, probe_image
from mmfs.media.info import DecodedFrame, MediaInfo, Reason, RefusedError, SoundWindow
from mmfs.media.sampling import Sampling
from mmfs.media.sniff import TEXT, TEXT_SUFFIXES, Sniffed, sniff
from mmfs.media.sound import sound_windows
from mmfs.media.source import Source, open_source
from mmfs.media.text import check_text
from mmfs.media.video import probe_video, video_frames
from mmfs.media.windows import Windowing


@dataclass(frozen=True)
class Caps:
    """The largest pictures that are decoded, by their headers.

    Attributes:
        image_pixels: Width times height of an image.
        video_side: Width or height of a video.
    """

    image_pixels: int
    video_side: int


def probe_file(path: Path, caps: Caps) -> MediaInfo:
    """What a file is.

    Raises:
        RefusedError: With the reason for quarantine.
    """
    with open_source(path) as source:
        sniffed, info = _identify(source)
        if sniffed.kind == "image":
            return probe_image(source.data, info, max_pixels=caps.image_pixels)
        if sniffed.kind == "text":
            check_text(source.data, source.size_bytes)
            return info
        return probe_video(source.data, info, max_side=caps.video_side)


def sample_file(path: Path, sha256: str, sampling: Sampling, caps: Caps, emit: Callable[[DecodedFrame], None]) -> int:
    """Hand the sampled frames of a file to ``emit``, in presentation order.

    Returns:
        How many packets and frames were too damaged to use.

    Raises:
        RefusedError: With the reason for quarantine; frames emitted before are void.
    """
    with _open_registered(path, sha256) as source:
        sniffed, info = _identify(source)
        if sniffed.kind == "image":
            emit(image_frame(source.data, info, sampling, max_pixels=caps.image_pixels))
        elif sniffed.kind == "video":
            return video_frames(source.data, info, sampling, max_side=caps.video_side, emit=emit)
        return 0


def window_file(path: Path, sha256: str, windowing: Windowing, caps: Caps, emit: Callable[[SoundWindow], None]) -> int:
    """Hand the windows of a file's sound to ``emit``, in order; as `sample_file`."""
    with _open_registered(path, sha256) as source:
        sniffed, info = _identify(source)
        if sniffed.kind in ("audio", "video"):
            return sound_windows(source.data, info, windowing, max_side=caps.video_side, emit=emit)
        return 0


@contextmanager
def _open_registered(path: Path, sha256: str) -> Iterator[Source]:
    with open_source(path) as source:
        if source.sha256 != sha256:
            raise RefusedError(Reason.CHANGED, "the bytes are no longer those registered", mend="ingest it again")
        yield source


def _identify(source: Source) -> tuple[Sniffed, MediaInfo]:
    try:
        sniffed = sniff(source.head)
    except RefusedError as error:
        if error.reason is not Reason.UNKNOWN_TYPE or source.suffix not in TEXT_SUFFIXES:
            raise
        sniffed = TEXT
    return sniffed, MediaInfo(source.sha256, source.size_bytes, sniffed.kind, sniffed.container)
