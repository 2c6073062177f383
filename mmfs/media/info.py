"""What is said about media: jobs, results and the closed set of reasons for refusing a file.

Plain data without heavy imports, because both sides of the process border load it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mmfs.errors import MediaError

if TYPE_CHECKING:
    from mmfs.settings import AudioConfig, FramesConfig

Kind = Literal["image", "video", "audio", "text"]


class Reason(StrEnum):
    """Why a file or a row is in quarantine."""

    EMPTY = "empty"  #: no bytes
    UNKNOWN_TYPE = "unknown_type"  #: the bytes are no media type that mmfs knows
    UNSUPPORTED = "unsupported"  #: a known type, but a codec or variant that is not decoded
    FORBIDDEN = "forbidden"  #: a playlist, script, page or device under a media name
    TRUNCATED = "truncated"  #: the end is missing
    CORRUPT = "corrupt"  #: the bytes contradict their format
    TOO_LARGE = "too_large"  #: more pixels than the limits allow, by its header
    NO_PICTURES = "no_pictures"  #: a video in which not one frame decodes
    NO_SOUND = "no_sound"  #: an audio stream in which not one sample decodes
    TIMEOUT = "timeout"  #: over its deadline, twice
    CRASHED = "crashed"  #: the decoding process died, twice
    OUT_OF_MEMORY = "out_of_memory"  #: over the memory limit, twice
    CHANGED = "changed"  #: the bytes changed while or since they were read
    MISSING = "missing"  #: vanished, or may not be read
    NOT_FINITE = "not_finite"  #: a feature computed a NaN or an infinity
    MODEL_FAILED = "model_failed"  #: a model raised on this row


class RefusedError(MediaError):
    """A file is refused, for one of the closed set of reasons."""

    def __init__(self, reason: Reason, what: str, *, mend: str = "replace or remove the file") -> None:
        self.reason = reason
        super().__init__(what, mend=mend)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.reason, self.what, self.mend))


def _rebuild(reason: Reason, what: str, mend: str) -> RefusedError:
    return RefusedError(reason, what, mend=mend)


@dataclass(frozen=True)
class MediaInfo:
    """What one file is, measured from its bytes.

    Attributes:
        sha256: SHA-256 of the bytes, 64 hex characters.
        container: File format by its bytes: jpeg, png, mp4, webm, ...
        width: Width in pixels as shown, after rotation.
        height: Height in pixels as shown, after rotation.
        rotation_deg: Clockwise rotation that shows the picture upright: 0, 90, 180 or 270.
        frame_count: Pictures; exact for a whole file, as far as its packets tell for a damaged one.
        duration_s: Playing time in seconds, from the first moment of the presentation to its last.
    """

    sha256: str
    size_bytes: int
    kind: Kind
    container: str
    video_codec: str | None = None
    audio_codec: str | None = None
    width: int | None = None
    height: int | None = None
    rotation_deg: int | None = None
    fps: float | None = None
    frame_count: int | None = None
    duration_s: float | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None


@dataclass(frozen=True)
class DecodedFrame:
    """One stored frame.

    Attributes:
        frame_index: Ordinal in the source's presentation order, whatever the sampling; 0 for images.
        pts_us: Presentation time in microseconds since the presentation began.
        time_s: The same in seconds.
        width: Width of the stored picture in pixels.
        height: Height of the stored picture in pixels.
        is_keyframe: Whether the source frame starts a group of pictures.
        jpeg: The picture, upright, as 4:2:0 JPEG.
    """

    frame_index: int
    pts_us: int
    time_s: float
    width: int
    height: int
    is_keyframe: bool
    jpeg: bytes


@dataclass(frozen=True)
class SoundWindow:
    """One stored window of sound.

    Attributes:
        window_index: The window begins so many hops after the presentation; windows without sound are left out.
        start_s: When it begins, in seconds since the presentation began.
        end_s: When it ends; the last one may be shorter than the others.
        flac: The sound, as FLAC of 16 bits.
    """

    window_index: int
    start_s: float
    end_s: float
    sample_rate_hz: int
    channels: int
    flac: bytes


@dataclass(frozen=True)
class ProbeJob:
    """Measure a file. ``id`` is the caller's own and comes back with the result."""

    id: str
    path: Path


@dataclass(frozen=True)
class FrameJob:
    """Sample the frames of a file whose bytes were measured before.

    Attributes:
        sha256: What the bytes must still be.
        duration_s: Playing time as probed, which decides the deadline; ``None`` for images.
    """

    id: str
    path: Path
    sha256: str
    duration_s: float | None
    sampling: FramesConfig


@dataclass(frozen=True)
class SoundJob:
    """Cut the sound of a file into windows; attributes as of `FrameJob`."""

    id: str
    path: Path
    sha256: str
    duration_s: float | None
    windowing: AudioConfig


@dataclass(frozen=True)
class Probed:
    """The outcome of a `ProbeJob`."""

    id: str
    info: MediaInfo


@dataclass(frozen=True)
class Sampled:
    """The outcome of a `FrameJob`: frames in presentation order (none for audio and text).

    Attributes:
        salvaged: Packets and frames that were too damaged to keep.
    """

    id: str
    frames: list[DecodedFrame]
    salvaged: int

    @property
    def blob_bytes(self) -> int:
        """Bytes of the pictures."""
        return sum(len(frame.jpeg) for frame in self.frames)


@dataclass(frozen=True)
class Windowed:
    """The outcome of a `SoundJob`: windows in order (none where there is no audio stream).

    Attributes:
        salvaged: Packets and frames that were too damaged to keep.
    """

    id: str
    windows: list[SoundWindow]
    salvaged: int

    @property
    def blob_bytes(self) -> int:
        """Bytes of the sound."""
        return sum(len(window.flac) for window in self.windows)


@dataclass(frozen=True)
class Failure:
    """The outcome of any job whose file was refused.

    Attributes:
        message: What the decoder said; may quote the file's own metadata, so data and not markup.
        attempts: How often it was tried.
        library_versions: Versions of the decoding libraries.
    """

    id: str
    reason: Reason
    message: str
    attempts: int
    library_versions: dict[str, str]
