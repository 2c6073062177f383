"""When every frame of a video is shown, read from its packets without decoding one."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

S = TypeVar("S", bound="Stream")

#: A damaged container may report errors without end; after this many the rest is given up.
_MAX_ERRORS = 1000
#: Times beyond three centuries are damage; up to here microseconds are exact in a float64 and fit an int64.
_MAX_SECONDS = Fraction(1 << 53, 1_000_000)


@dataclass(frozen=True)
class Timeline:
    """The presentation order of one video stream, in its own time base.

    Attributes:
        pts: Times of all frames shown, strictly ascending; a frame's position here is its ``frame_index``.
        keys: Times of the frames that start a group of pictures; unknown here where packets are not stamped.
        end: When the last frame ceases to be shown.
        start: When the presentation begins; frame times are told from here.
        time_base: Seconds a unit.
        is_stamped: Whether packets carry presentation times; where not (some AVI), frames are matched by count.
        end_s: When the last packet of any audio, video or subtitle stream ends, in seconds since the beginning.
    """

    pts: list[int]
    keys: frozenset[int]
    end: int
    start: Fraction
    time_base: Fraction
    is_stamped: bool
    end_s: float

    def index_of(self, pts: int) -> int:
        """The frame_index of the frame shown at or first after ``pts``; their number when there is none."""
        return bisect_left(self.pts, pts)

    def pts_us(self, pts: int) -> int:
        """Microseconds since the presentation began."""
        return round((pts * self.time_base - self.start) * 1_000_000)


def read_timeline(container: InputContainer, stream: VideoStream) -> Timeline:
    """Read all packets of a container and note the times of one video stream."""
    stamped: list[int] = []
    decode_times: list[int] = []
    keys: set[int] = set()
    ends: dict[int, Fraction] = {}
    duration = 0
    timed = [s for s in container.streams if s.type in ("video", "audio", "subtitle") and s.time_base]
    for packet in PacketReader(container, *timed):
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and abs(time * packet.time_base) > _MAX_SECONDS:
            continue
        if time is not None:
            last = (time + max(packet.duration or 0, 0)) * packet.time_base
            ends[packet.stream_index] = max(ends.get(packet.stream_index, last), last)
        if packet.stream_index != stream.index or not is_shown(packet, stream.codec_context.name):
            continue
        decode_times.append(packet.dts if packet.dts is not None else len(decode_times))
        duration = max(packet.duration or 0, 0) or duration
        if packet.pts is not None:
            stamped.append(packet.pts)
            if packet.is_keyframe:
                keys.add(packet.pts)
    # AVI stores no presentation times, so those that some of its packets have are guesses.
    is_stamped = len(stamped) == len(decode_times) or (bool(stamped) and container.format.name != "avi")
    pts = sorted(set(stamped if is_stamped else decode_times))
    time_base = stream.time_base or Fraction(1, 1000)
    start = _start(container)
    return Timeline(
        pts=pts,
        keys=frozenset(keys),
        end=pts[-1] + max(duration, 1) if pts else 0,
        start=start,
        time_base=time_base,
        is_stamped=is_stamped,
        end_s=max((float(end - start) for end in ends.values()), default=0.0),
    )


class PacketReader(Generic[S]):
    """The packets of these streams up to the end of what can be read, and the empty ones that flush decoders.

    Attributes:
        errors: How often the container was found damaged on the way.
    """

    def __init__(self, container: InputContainer, *streams: S) -> None:
        self.errors = 0
        self._container = container
        self._streams = streams

    def __iter__(self) -> Iterator[Packet[S]]:
        import av

        while self.errors < _MAX_ERRORS:
            try:
                # Begun again after an error, the demuxer goes on behind the damage.
                yield from cast("Iterator[Packet[S]]", self._container.demux(*self._streams))
                return
            except MemoryError:
                raise
            except av.FFmpegError:
                self.errors += 1


def is_shown(packet: Packet[Stream], codec: str) -> bool:
    """Whether a packet makes a frame that is shown: no flush, not cut away by an edit list, not invisible."""
    if packet.size == 0 or packet.is_discard:
        return False
    # VP8 keeps reference pictures in packets of their own; the fourth bit of the first byte says "shown".
    return codec != "vp8" or bool(memoryview(packet)[0] & 0x10)


def _start(container: InputContainer) -> Fraction:
    """Begin of the presentation in seconds. A negative one is only the warm-up of an audio codec."""
    return max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))
