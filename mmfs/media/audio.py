"""Sound: what a file's audio stream is, for audio files and for the sound of videos."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, TypedDict

from mmfs.media.info import MediaInfo, Reason, RefusedError
from mmfs.media.streams import audio_stream, require_decodable
from mmfs.media.timeline import PacketReader

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer


class Sound(TypedDict):
    """The columns of `MediaInfo` that an audio stream fills."""

    audio_codec: str
    sample_rate_hz: int | None
    channels: int | None


def describe_audio(stream: AudioStream) -> Sound:
    """Codec, sample rate and channels of a stream, by its header."""
    context = stream.codec_context
    if context is None:
        return Sound(audio_codec="unknown", sample_rate_hz=None, channels=None)
    return Sound(
        audio_codec=context.codec.canonical_name,
        sample_rate_hz=context.sample_rate or None,
        channels=context.channels or None,
    )


def probe_audio(container: InputContainer, info: MediaInfo) -> MediaInfo:
    """Measure a container that holds sound but no pictures: every packet is read, the first ones are decoded.

    Raises:
        RefusedError: NO_PICTURES (neither sound nor pictures), UNSUPPORTED, or CORRUPT.
    """
    import av

    stream = audio_stream(container)
    if stream is None:
        raise RefusedError(Reason.NO_PICTURES, "the file holds neither pictures nor sound")
    sound = describe_audio(stream)
    require_decodable(stream)
    header_s = (container.duration or 0) / 1_000_000
    is_decodable = False
    begin: Fraction | None = None
    end = Fraction(0)
    for packet in PacketReader(container, stream):
        if packet.pts is not None:
            begin = packet.pts * packet.time_base if begin is None else begin
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if not is_decodable:
            try:
                is_decodable = bool(packet.decode())
            except MemoryError:
                raise
            except (av.FFmpegError, ValueError):
                continue
    if not is_decodable:
        raise RefusedError(Reason.CORRUPT, "not one sample of the sound can be decoded")
    measured = float(end - max(begin or Fraction(0), Fraction(0)))
    plausible = header_s if 0 < header_s <= 1.05 * measured + 1.0 else measured
    return replace(info, kind="audio", duration_s=plausible, **sound)
