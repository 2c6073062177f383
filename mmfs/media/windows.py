"""Cutting sound into windows of one length: arithmetic over sample positions, without a decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Windowing:
    """`mmfs.settings.AudioConfig` without Pydantic, so that decoding processes start fast."""

    window_s: float
    hop_s: float | None
    shortest_s: float
    sample_rate_hz: int
    channels: int

    def samples(self, seconds: float) -> int:
        """So many seconds as samples, at least one.

        >>> Windowing(10.0, None, 1.0, 16_000, 1).samples(10.0)
        160000
        """
        return max(1, round(seconds * self.sample_rate_hz))


class WindowCutter:
    """Takes sound piece by piece and hands out windows as soon as they are full; holds one window.

    Window k begins k hops after the beginning of the presentation, whatever is lost of the sound, so that windows of
    one index lie at one time in every media. Where there is no sound between two pieces there is silence; a window
    without any sound is left out. What follows the last full window is a shorter one; it is dropped where it is below
    `Windowing.shortest_s`, unless it is all there is.

    Args:
        emit: Called with the index of a window and its samples, float32 ``[channels, T]``, valid during the call.

    Attributes:
        count: Windows handed out.
    """

    def __init__(self, windowing: Windowing, emit: Callable[[int, Samples], None]) -> None:
        self.count = 0
        self._emit = emit
        self._size = windowing.samples(windowing.window_s)
        self._hop = windowing.samples(windowing.hop_s or windowing.window_s)
        self._shortest = windowing.samples(windowing.shortest_s)
        self._room: Samples = np.zeros((windowing.channels, self._size), np.float32)
        self._index = 0
        self._heard = 0  # position after the last sample of sound
        self._told = 0  # position after the last window that was handed out

    @property
    def _start(self) -> int:
        return self._index * self._hop

    def add(self, position: int, samples: Samples) -> None:
        """Take samples, float32 ``[channels, n]``, of which the first lies at ``position``.

        What lies before the end of what was taken already, or before 0, is passed over.
        """
        late = min(max(0, self._heard - position), samples.shape[1])
        position, samples = position + late, samples[:, late:]
        while samples.shape[1]:
            if position >= self._start + self._size:
                self._go_on(position)
                continue
            between = min(max(0, self._start - position), samples.shape[1])  # windows may be further apart than long
            place = position + between - self._start
            taken = min(samples.shape[1] - between, self._size - place)
            self._room[:, place : place + taken] = samples[:, between : between + taken]
            position, samples = position + between + taken, samples[:, between + taken :]
            self._heard = position
        if self._heard >= self._start + self._size:
            self._go_on(self._heard)

    def finish(self) -> None:
        """Hand out the last window."""
        length = self._heard - self._start
        if length > 0 and self._heard > self._told and (length >= self._shortest or not self.count):
            self._hand_out(length)

    def _go_on(self, position: int) -> None:
        """Leave the window, in which there is nothing more to come, for the next one that ``position`` may lie in."""
        if self._heard > self._start:
            self._hand_out(self._size)
            kept = max(0, self._size - self._hop)
            self._room[:, :kept] = self._room[:, self._size - kept :].copy()
            self._room[:, kept:] = 0
            self._index += 1
        if self._heard <= self._start:
            self._index = max(self._index, (position - self._size) // self._hop + 1)

    def _hand_out(self, length: int) -> None:
        self.count += 1
        self._told = self._start + length
        self._emit(self._index, self._room[:, :length])
