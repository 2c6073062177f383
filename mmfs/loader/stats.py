"""What a loader has done so far, in figures."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

_KEPT = 100


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be delivered.

    Attributes:
        key: Its key.
        column: The column that is bad.
        reason: Why.
        pack, offset: Where its bytes lie, if it has any.
    """

    key: str
    column: str
    reason: str
    pack: str | None
    offset: int | None


@dataclass(frozen=True)
class Traffic:
    """Bytes of blobs handed out; bytes read from the store for that, of tables as well; bytes from the cache."""

    read: int = 0
    fetched: int = 0
    cached: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.read + other.read, self.fetched + other.fetched, self.cached + other.cached)


@dataclass(frozen=True)
class LoaderStats:
    """Figures since the loader was made.

    Attributes:
        batches, samples: Delivered to this rank; samples counts valid ones only.
        elapsed_s: From the first request to the last delivery.
        samples_per_s: Over that time.
        bytes_read: Bytes of blobs read (frames, depth maps, sound); table columns are not counted.
        bytes_fetched: Bytes read from a store on another machine, of packs and tables; of tables alone on this one.
        bytes_cached: Bytes of blobs that came from the node's cache instead.
        stall_share: Share of that time in which the training loop waited for a batch.
        first_batch_s: From the first request to the first batch.
        quarantined: Bad samples, each replaced by a repeat that is not valid.
        live_s: Seconds in which live columns were computed, on the loader's threads.
        dropped: Samples that ``drop_last`` left out, on all ranks together.
        bad: The first hundred bad samples.
    """

    batches: int
    samples: int
    elapsed_s: float
    samples_per_s: float
    bytes_read: int
    bytes_fetched: int
    bytes_cached: int
    stall_share: float
    first_batch_s: float | None
    quarantined: int
    live_s: float
    dropped: int
    bad: tuple[BadSample, ...]


class Meter:
    """Counts for `LoaderStats`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None
        self._last: float | None = None
        self._first_batch_s: float | None = None
        self._batches = self._samples = self._quarantined = self._dropped = 0
        self._waited_s = self._live_s = 0.0
        self._bad: list[BadSample] = []

    def begin(self) -> None:
        """The training loop asks for its first batch."""
        if self._began is None:
            self._began = time.perf_counter()

    def add_batch(self, samples: int, waited_s: float) -> None:
        """A batch was delivered after the loop had waited this long for it."""
        self._last = time.perf_counter()
        if self._first_batch_s is None and self._began is not None:
            self._first_batch_s = self._last - self._began
        self._batches += 1
        self._samples += samples
        self._waited_s += waited_s

    def add_bad(self, sample: BadSample) -> None:
        """A sample was bad; any thread may say so."""
        with self._lock:
            self._quarantined += 1
            if len(self._bad) < _KEPT:
                self._bad.append(sample)

    def add_live(self, seconds: float) -> None:
        """Live columns of a batch were computed; any thread may say so."""
        with self._lock:
            self._live_s += seconds

    def add_dropped(self, samples: int) -> None:
        """Samples at the end of an epoch were left out."""
        self._dropped += samples

    def stats(self, traffic: Traffic) -> LoaderStats:
        """The figures so far."""
        elapsed = (self._last - self._began) if self._last is not None and self._began is not None else 0.0
        with self._lock:
            quarantined, bad, live_s = self._quarantined, tuple(self._bad), self._live_s
        return LoaderStats(
            batches=self._batches,
            samples=self._samples,
            elapsed_s=elapsed,
            samples_per_s=self._samples / elapsed if elapsed else 0.0,
            bytes_read=traffic.read,
            bytes_fetched=traffic.fetched,
            bytes_cached=traffic.cached,
            stall_share=min(1.0, self._waited_s / elapsed) if elapsed else 0.0,
            first_batch_s=self._first_batch_s,
            quarantined=quarantined,
            live_s=live_s,
            dropped=self._dropped,
            bad=bad,
        )
