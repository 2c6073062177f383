"""The sound of audio files and videos, decoded once, in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

from mmfs.codecs import encode_flac
from mmfs.media.container import open_container
from mmfs.media.info import MediaInfo, Reason, RefusedError, SoundWindow
from mmfs.media.resample import Resampler, is_plausible
from mmfs.media.streams import audio_stream, require_decodable
from mmfs.media.timeline import PacketReader, presentation_start
from mmfs.media.windows import Samples, WindowCutter, Windowing

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer

#: Frames whose times are further from those before than this leave a gap or an overlap; less is rounding of containers.
_TOLERANCE_S = 0.1
#: Times beyond three centuries are damage; up to here a float64 tells microseconds apart.
_MAX_S = float(1 << 53) / 1_000_000


def sound_windows(
    data: BinaryIO, info: MediaInfo, windowing: Windowing, *, max_side: int, emit: Callable[[SoundWindow], None]
) -> int:
    """Decode the sound and hand its windows to ``emit``, in order; none where there is no audio stream.

    Window times count from the beginning of the presentation, as those of frames do. Memory holds one window.

    Args:
        max_side: As for `mmfs.media.container.open_container`; pictures are not decoded.

    Returns:
        How many packets and frames were too damaged to use.

    Raises:
        RefusedError: CORRUPT, TRUNCATED, UNSUPPORTED, or NO_SOUND when not one sample can be decoded.
    """
    from av.stream import Discard

    rate = windowing.sample_rate_hz
    hop = windowing.samples(windowing.hop_s or windowing.window_s)

    def encode(index: int, samples: Samples) -> None:
        start_s = index * hop / rate
        end_s = start_s + samples.shape[1] / rate
        emit(SoundWindow(index, start_s, end_s, rate, windowing.channels, encode_flac(samples, rate)))

    cutter = WindowCutter(windowing, encode)
    with open_container(data, info, max_side=max_side) as container:
        stream = audio_stream(container)
        if stream is None:
            return 0
        require_decodable(stream)
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        decoder = SoundDecoder(container, stream, windowing)
        for position, samples in decoder:
            cutter.add(position, samples)
    cutter.finish()
    if not cutter.count:
        raise RefusedError(Reason.NO_SOUND, "not one sample of the sound can be decoded")
    return decoder.salvaged


class SoundDecoder:
    """The sound of one stream as samples of the wanted rate and channels, each piece with its position.

    Positions count samples from the beginning of the presentation; the first may be negative. Pieces follow one
    another without a gap while the times of the frames do; where they do not, the sound goes on where its times say.

    Attributes:
        salvaged: Packets and frames so far that were too damaged to use.
    """

    def __init__(self, container: InputContainer, stream: AudioStream, windowing: Windowing) -> None:
        self.salvaged = 0
        self._container = container
        self._stream = stream
        self._rate, self._channels = windowing.sample_rate_hz, windowing.channels
        self._begin_s = float(presentation_start(container))

    def __iter__(self) -> Iterator[tuple[int, Samples]]:
        import av

        run: Resampler | None = None
        position = 0
        for frame, start_s in self._placed():
            if run is not None and (start_s is not None or not run.fits(frame)):
                yield run.finish()
                position, run = run.position, None
            if run is None:
                position = position if start_s is None else round(start_s * self._rate)
                run = Resampler(frame, position, sample_rate_hz=self._rate, channels=self._channels)
            try:
                piece = run.add(frame)
            except (av.FFmpegError, ValueError):  # more channels than FFmpeg can handle
                self.salvaged += 1
                position, run = run.position, None
                continue
            if piece[1].shape[1]:
                yield piece
        if run is not None:
            yield run.finish()

    def _placed(self) -> Iterator[tuple[AudioFrame, float | None]]:
        """The good frames, with the time of those that begin anew: the first, and those behind a gap.

        A frame whose time leaps ahead is believed when the next one goes on from there, so that one wrong time costs
        nothing. Times that leap back are those of streams that were joined: their sound goes on where it is.
        """
        due: float | None = None
        leaping: tuple[AudioFrame, float] | None = None
        for frame in self._frames():
            start = self._time_of(frame)
            if leaping is not None and due is not None:
                before, leap = leaping
                is_gap = start is not None and abs(start - leap - _length_of(before)) <= _TOLERANCE_S
                yield before, leap if is_gap else None
                due = (leap if is_gap else due) + _length_of(before)
                leaping = None
            if due is None:
                due = start if start is not None else 0.0
                yield frame, due
            elif start is not None and start - due > _TOLERANCE_S:
                leaping = frame, start
                continue
            else:
                yield frame, None
            due += _length_of(frame)
        if leaping is not None:
            yield leaping[0], None

    def _frames(self) -> Iterator[AudioFrame]:
        """The good frames."""
        import av

        packets = PacketReader(self._container, self._stream)
        for packet in packets:
            self.salvaged += bool(packet.is_corrupt)
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                self.salvaged += 1
                continue
            for frame in frames:
                if frame.is_corrupt or not is_plausible(frame):
                    self.salvaged += 1
                else:
                    yield frame
        self.salvaged += packets.errors

    def _time_of(self, frame: AudioFrame) -> float | None:
        """When a frame begins, in seconds of the presentation; None where its container does not say."""
        if frame.pts is None or frame.time_base is None:
            return None
        time_s = frame.pts * frame.time_base.numerator / frame.time_base.denominator - self._begin_s
        return time_s if abs(time_s) <= _MAX_S else None


def _length_of(frame: AudioFrame) -> float:
    return frame.samples / frame.sample_rate
