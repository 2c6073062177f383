"""The sound of a shard: decoded, resampled and cut into windows once, kept in packs as FLAC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.decoded import Decoding, Progress, Row, build_decoded
from mmfs.ingest.fingerprints import audio_fingerprint
from mmfs.ingest.report import StepReport
from mmfs.media import Failure, Guard, Reason, SoundJob, Windowed
from mmfs.settings import AudioConfig
from mmfs.store import Store

STAGE = "audio_windows"


def build_audio_windows(
    store: Store, shard: str, *, progress: Progress | None = None, now_us: int | None = None
) -> StepReport:
    """Bring ``audio_windows`` of a shard in line with its sounds and with the settings; see `build_decoded`.

    Videos in which registration found no audio stream have no windows, and are not opened.

    Raises:
        StoreError: The store, or a bucket with media, cannot be reached.
    """
    return build_decoded(store, shard, _AudioWindows(store.settings.audio), progress=progress, now_us=now_us)


def sounding(media: pa.Table) -> pa.Table:
    """The rows of ``raw_media`` that have an audio stream."""
    return media.filter(pc.is_valid(media.column("audio_codec")))


class _AudioWindows(Decoding[Windowed]):
    table = STAGE
    nothing = (Reason.NO_SOUND, "not one window came out")

    def __init__(self, config: AudioConfig) -> None:
        self._config = config
        self.fingerprint = audio_fingerprint(config)

    def concerned(self, media: pa.Table) -> pa.Table:
        return sounding(media)

    def decode(self, guard: Guard, files: Iterable[tuple[Row, Path]]) -> Iterator[Windowed | Failure]:
        return guard.sound(
            SoundJob(row["media_id"], path, row["sha256"], row["duration_s"], self._config) for row, path in files
        )

    def rows(self, outcome: Windowed) -> Iterator[tuple[str, bytes, Row]]:
        for window in outcome.windows:
            columns = {
                "window_index": window.window_index,
                "start_s": window.start_s,
                "end_s": window.end_s,
                "sample_rate_hz": window.sample_rate_hz,
                "channels": window.channels,
            }
            yield f"{outcome.id}_{window.window_index:06d}.flac", window.flac, columns
