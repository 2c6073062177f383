"""The frames of a shard: sampled, resized and encoded once, kept in packs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.ingest.decoded import Decoding, Progress, Row, build_decoded
from mmfs.ingest.fingerprints import frames_fingerprint
from mmfs.ingest.report import StepReport
from mmfs.media import Failure, FrameJob, Guard, Reason, Sampled
from mmfs.settings import FramesConfig
from mmfs.store import Store

STAGE = "frames"


def build_frames(
    store: Store, shard: str, *, progress: Progress | None = None, now_us: int | None = None
) -> StepReport:
    """Bring ``frames`` of a shard in line with its images and videos and with the settings; see `build_decoded`.

    Raises:
        StoreError: The store, or a bucket with media, cannot be reached.
    """
    return build_decoded(store, shard, _Frames(store.settings.frames), progress=progress, now_us=now_us)


class _Frames(Decoding[Sampled]):
    table = STAGE
    nothing = (Reason.NO_PICTURES, "not one frame came out")

    def __init__(self, config: FramesConfig) -> None:
        self._config = config
        self.fingerprint = frames_fingerprint(config)

    def concerned(self, media: pa.Table) -> pa.Table:
        return media.filter(pc.is_in(media.column("kind"), pa.array(["image", "video"])))

    def decode(self, guard: Guard, files: Iterable[tuple[Row, Path]]) -> Iterator[Sampled | Failure]:
        return guard.frames(
            FrameJob(row["media_id"], path, row["sha256"], row["duration_s"], self._config) for row, path in files
        )

    def rows(self, outcome: Sampled) -> Iterator[tuple[str, bytes, Row]]:
        for frame in outcome.frames:
            columns = {
                "frame_index": frame.frame_index,
                "pts_us": frame.pts_us,
                "time_s": frame.time_s,
                "frame_width": frame.width,
                "frame_height": frame.height,
                "is_keyframe": frame.is_keyframe,
            }
            yield f"{outcome.id}_{frame.frame_index:06d}.jpg", frame.jpeg, columns
