"""Decoding the frames of one video stream, in order, keeping the good ones and counting the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, BinaryIO

from mmfs.media.container import open_container
from mmfs.media.info import MediaInfo
from mmfs.media.streams import video_stream
from mmfs.media.timeline import PacketReader, Timeline

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class FrameDecoder:
    """The good frames of a video with their presentation times, which strictly ascend.

    Args:
        timeline: The presentation order of the stream.
        wanted: Times of the frames that are asked for; others come too where decoding them was needed anyway.
        only_keys: Decode nothing but the packets that start a group of pictures.

    Attributes:
        salvaged: Packets and frames so far that were too damaged to use.
    """

    def __init__(
        self,
        data: BinaryIO,
        info: MediaInfo,
        timeline: Timeline,
        wanted: Collection[int],
        *,
        max_side: int,
        only_keys: bool,
    ) -> None:
        self.salvaged = 0
        self._data = data
        self._info = info
        self._timeline = timeline
        self._wanted = wanted
        self._max_side = max_side
        self._only_keys = only_keys

    def __iter__(self) -> Iterator[tuple[VideoFrame, int]]:
        last, times = -1, self._timeline.pts
        for count, frame in enumerate(self._decoded()):
            # Unstamped frames come in order of presentation, so they are told by counting.
            pts = frame.pts if self._timeline.is_stamped else (times[count] if count < len(times) else None)
            ordinal = len(times) if pts is None else self._timeline.index_of(pts)
            if pts is None or not last < ordinal < len(times) or frame.is_corrupt or not self._fits(frame):
                self.salvaged += 1
                continue
            last = ordinal
            yield frame, pts

    def _decoded(self) -> Iterator[VideoFrame]:
        import av

        with open_container(self._data, self._info, max_side=self._max_side, headers_suffice=True) as container:
            stream = video_stream(container, max_side=self._max_side)
            if stream is None:
                return
            context = stream.codec_context
            if context.name == "h264":
                # Frames held back too briefly come out of order, and not every stream says how long it must be.
                held_back = max(context.reorder_depth, self._timeline.held_back)
                context.options = {**context.options, "has_b_frames": str(held_back)}
            wanted = self._wanted if self._timeline.is_stamped else None
            skips = None
            packets = PacketReader(container, stream)
            for packet in packets:
                if self._only_keys and packet.size and not packet.is_keyframe:
                    continue
                # A frame that nobody asked for and no other frame refers to need not be decoded.
                is_skippable = wanted is not None and packet.size > 0 and packet.pts not in wanted
                if is_skippable is not skips:
                    context.skip_frame, skips = "NONREF" if is_skippable else "DEFAULT", is_skippable
                self.salvaged += packet.is_corrupt
                try:
                    frames = packet.decode()
                except MemoryError:
                    raise
                except (av.FFmpegError, ValueError):
                    self.salvaged += 1
                    continue
                yield from frames
            self.salvaged += packets.errors

    def _fits(self, frame: VideoFrame) -> bool:
        """Whether a frame, whose size may differ from the header's, is within the limit."""
        return min(frame.width, frame.height) > 0 and max(frame.width, frame.height) <= self._max_side
