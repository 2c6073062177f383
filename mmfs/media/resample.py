"""Sound of any format, rate and channels as float32 at the rate and channels that are wanted."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mmfs.media.downmix import downmix
from mmfs.media.windows import Samples

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

Interleaved = npt.NDArray[np.float32]  # [n, channels of the source]

#: Silence that pushes the last samples through the resampler's filter; short sounds would not come out without.
_FLUSH_S = 0.1
#: Frames wait until they are so many samples: a call costs as much for few as for many.
_BATCH = 1 << 14
#: Sounds of other rates are damage, and would grow without bounds.
_RATES_HZ = range(1_000, 1_000_000)


def is_plausible(frame: AudioFrame) -> bool:
    """Whether a decoded frame can be resampled."""
    return frame.samples > 0 and frame.sample_rate in _RATES_HZ


class Resampler:
    """Takes frames that follow one another without a gap, in the format of the first.

    Gives as many samples as the playing time of its frames asks for, the first at the time of the first.

    Args:
        position: Where its first sample lies.

    Attributes:
        position: Where the next sample lies that it gives.
    """

    def __init__(self, first: AudioFrame, position: int, *, sample_rate_hz: int, channels: int) -> None:
        import av

        self.position = position
        self._begin = position
        self._format = _format_of(first)
        self._rate, self._wanted_rate = first.sample_rate, sample_rate_hz
        self._channels = channels
        self._matrix = downmix([channel.name for channel in first.layout.channels], channels)
        self._layout = "mono" if channels == 1 else "stereo"
        self._to_float = av.AudioResampler("flt")
        self._to_rate = (
            None if self._rate == sample_rate_hz else av.AudioResampler("fltp", self._layout, sample_rate_hz)
        )
        self._taken = 0
        self._waiting: list[Interleaved] = []
        self._waiting_samples = 0

    def fits(self, frame: AudioFrame) -> bool:
        """Whether a frame has the format of the first."""
        return _format_of(frame) == self._format

    def add(self, frame: AudioFrame) -> tuple[int, Samples]:
        """Take a frame; what is ready: float32 ``[channels, n]``, and where it lies."""
        for packed in self._to_float.resample(frame):
            self._waiting.append(np.asarray(packed.to_ndarray(), np.float32).reshape(packed.samples, -1))
        self._taken += frame.samples
        self._waiting_samples += frame.samples
        return self._given(self._resampled(self._mixed()) if self._waiting_samples >= _BATCH else self._no_samples)

    def finish(self) -> tuple[int, Samples]:
        """The rest."""
        silence = np.zeros((self._channels, round(_FLUSH_S * self._rate)), np.float32)
        rest = self._resampled(np.concatenate([self._mixed(), silence], axis=1))
        end = self._begin + max(1, round(Fraction(self._taken * self._wanted_rate, self._rate)))
        return self._given(rest[:, : max(0, end - self.position)])

    @property
    def _no_samples(self) -> Samples:
        return np.empty((self._channels, 0), np.float32)

    def _given(self, samples: Samples) -> tuple[int, Samples]:
        position = self.position
        self.position += samples.shape[1]
        return position, samples

    def _mixed(self) -> Samples:
        """The wanted channels of what waits; what is no number is silence."""
        if not self._waiting:
            return self._no_samples
        interleaved = np.concatenate(self._waiting)
        self._waiting, self._waiting_samples = [], 0
        finite = np.nan_to_num(interleaved, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
        return np.ascontiguousarray(self._matrix @ finite.T)

    def _resampled(self, samples: Samples) -> Samples:
        import av

        if self._to_rate is None or not samples.shape[1]:
            return samples
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=self._layout)
        frame.sample_rate = self._rate
        parts = [np.asarray(one.to_ndarray(), np.float32) for one in self._to_rate.resample(frame)]
        return np.concatenate([self._no_samples, *parts], axis=1)


def _format_of(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate
