"""When every frame of a video is shown, read from its packets without decoding one."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
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
#: No codec lets more frames wait to be shown.
_MAX_HELD_BACK = 16


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
        held_back: How many frames, at most, come before one in the file and are shown after it; up to 16.
        end_s: When the last packet ends, in seconds since the beginning.
    """

    pts: list[int]
    keys: frozenset[int]
    end: int
    start: Fraction
    time_base: Fraction
    is_stamped: bool
    held_back: int
    end_s: float

    def index_of(self, pts: int) -> int:
        """The frame_index of the frame shown at or first after ``pts``; their number when there is none."""
        return bisect_left(self.pts, pts)

    def pts_us(self, pts: int) -> int:
        """Microseconds since the presentation began."""
        return round((pts * self.time_base - self.start) * 1_000_000)


def read_timeline(container: InputContainer, stream: VideoStream, *, with_ends: bool) -> Timeline:
    """Read the packets of a container and note the times of one video stream.

    Args:
        with_ends: Read those of the other streams, too; without, ``end_s`` is that of this stream alone.
    """
    arrived: list[int] = []
    stamped: list[int] = []
    decode_times: list[int] = []
    keys: set[int] = set()
    timed = [s for s in container.streams if s.type in ("video", "audio", "subtitle") and s.time_base]
    if not with_ends:
        timed = [s for s in timed if s.index == stream.index]
    # There are thousands of packets, so each is spared all fractions and looked at once.
    limits = {s.index: int(_MAX_SECONDS / s.time_base) for s in timed if s.time_base}
    ends: dict[int, int] = {}
    duration, index, codec = 0, stream.index, stream.codec_context.name
    for packet in PacketReader(container, *timed):
        pts, dts, owner = packet.pts, packet.dts, packet.stream_index
        time = dts if pts is None else pts
        if time is not None and abs(time) > limits[owner]:
            continue
        lasts = max(packet.duration or 0, 0)
        if time is not None and time + lasts > ends.get(owner, -limits[owner]):
            ends[owner] = time + lasts
        if owner != index:
            continue
        if pts is not None:
            arrived.append(pts)
        if not is_shown(packet, codec):
            continue
        decode_times.append(len(decode_times) if dts is None else dts)
        duration = lasts or duration
        if pts is not None:
            stamped.append(pts)
            if packet.is_keyframe:
                keys.add(pts)
    # AVI stores no presentation times, so those that some of its packets have are guesses.
    is_stamped = len(stamped) == len(decode_times) or (bool(stamped) and container.format.name != "avi")
    pts_shown = sorted(set(stamped if is_stamped else decode_times))
    time_base = stream.time_base or Fraction(1, 1000)
    start = presentation_start(container)
    ends_s = (ends[s.index] * s.time_base - start for s in timed if s.index in ends and s.time_base)
    return Timeline(
        pts=pts_shown,
        keys=frozenset(keys),
        end=pts_shown[-1] + max(duration, 1) if pts_shown else 0,
        start=start,
        time_base=time_base,
        is_stamped=is_stamped,
        held_back=most_held_back(arrived),
        end_s=max((float(end_s) for end_s in ends_s), default=0.0),
    )


def most_held_back(arrived: Iterable[int]) -> int:
    """How many frames a decoder must hold back, at most, to show those that arrive in this order in order of time.

    >>> most_held_back([0, 1, 2]), most_held_back([0, 3, 1, 2]), most_held_back([0, 4, 2, 1, 3])
    (0, 1, 2)
    """
    latest: list[int] = []
    most = 0
    for time in arrived:
        most = max(most, len(latest) - bisect_right(latest, time))
        insort(latest, time)
        del latest[:-_MAX_HELD_BACK]
    return most


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


def presentation_start(container: InputContainer) -> Fraction:
    """Begin of the presentation in seconds. A negative one is only the warm-up of an audio codec."""
    return max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))
