"""The rows that a step of ingest will leave, and how they compare with those there are. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

import pyarrow as pa

from mmfs.ids import digest
from mmfs.ingest.locations import suffix_of
from mmfs.media.sniff import AUDIO_SUFFIXES, IMAGE_SUFFIXES, TEXT_SUFFIXES
from mmfs.schemas import BASE_TABLES, GRAIN_KEYS
from mmfs.settings import AudioConfig, FramesConfig
from mmfs.store.standing import FAILED, PredictedRows, ShardStatus

#: Media id, index and fingerprint of a row.
Mark = tuple[str, int, str]

#: Seconds between key frames where nothing better is known: encoders put them two to ten seconds apart.
_KEYFRAME_EVERY_S = 4.0
_ID_CHARACTERS = 32


def marks_of(rows: pa.Table, table: str) -> list[Mark]:
    """The marks of rows of a table whose key is a media id and an index."""
    names = (*key_columns(table), "fingerprint")
    return list(zip(*(rows.column(name).to_pylist() for name in names), strict=True))


def expected_rows(table: str, marks: Iterable[Mark], *, guessed: frozenset[str]) -> PredictedRows:
    """Rows with these marks.

    Args:
        guessed: Media whose rows are a guess.
    """
    schema = pa.schema([*((column.name, column.type) for column in _keys(table)), ("fingerprint", pa.string())])
    columns = list(zip(*sorted(marks), strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return PredictedRows(BASE_TABLES[table], pa.table(arrays, schema), guessed)


def standing(
    table: str,
    shard: str,
    have: Iterable[Mark],
    will: Iterable[Mark],
    *,
    cause: str,
    failed: int,
    guessed: frozenset[str],
) -> ShardStatus:
    """How a shard stands that holds some marks and will hold others.

    Args:
        cause: Why rows that are there have another fingerprint than they will have.
        failed: Media that failed and are not tried again.
        guessed: Media whose rows are a guess.
    """
    now = {mark[:2]: mark[2] for mark in have}
    then = {mark[:2]: mark[2] for mark in will}
    todo = [key for key, fingerprint in then.items() if now.get(key) != fingerprint]
    stale = sum(key in now for key in todo)
    causes = {"new": len(todo) - stale, cause: stale, FAILED: failed}
    return ShardStatus(
        table=table,
        shard=shard,
        rows=len(then),
        fresh=len(then) - len(todo),
        stale=stale,
        missing=len(todo) - stale,
        failed=failed,
        gone=len(now.keys() - then.keys()),
        causes={name: rows for name, rows in causes.items() if rows},
        estimated=sum(media_id in guessed for media_id, _ in todo),
    )


def frame_indices(media: Mapping[str, Any], config: FramesConfig) -> list[int]:
    """Which frames a media will probably give: one of a picture; of a video, as if its frames came at an even rate.

    >>> frame_indices({"kind": "video", "duration_s": 3.0, "fps": 10.0, "frame_count": 30}, FramesConfig(fps=1.0))
    [0, 10, 20]
    """
    if media["kind"] == "image":
        return [0]
    duration_s, fps = media["duration_s"] or 0.0, media["fps"] or 0.0
    frames = media["frame_count"] or ceil(duration_s * fps)
    if config.mode == "all":
        return list(range(max(1, frames)))
    rate = config.fps if config.mode == "fps" else 1 / _KEYFRAME_EVERY_S
    moments = range(max(1, ceil(duration_s * rate)))
    if not frames:
        return list(moments)
    return sorted({min(frames - 1, int(moment / rate * fps)) for moment in moments})


def window_indices(duration_s: float | None, config: AudioConfig) -> list[int]:
    """Which windows of sound a media will probably give: as many as its playing time has room for, at least one.

    >>> window_indices(21.5, AudioConfig(window_s=10.0, shortest_s=1.0)), window_indices(20.5, AudioConfig())
    ([0, 1, 2], [0, 1])
    """
    hop_s, length_s = config.hop_s or config.window_s, duration_s or 0.0
    found = [0]
    while (rest_s := length_s - len(found) * hop_s) > 0 and rest_s >= min(config.shortest_s, config.window_s):
        # After a window that reaches the end, what overlaps with it is no window of its own.
        if length_s <= (len(found) - 1) * hop_s + config.window_s:
            break
        found.append(len(found))
    return found


def key_columns(table: str) -> list[str]:
    """Names of a table's key columns."""
    return [column.name for column in _keys(table)]


def kind_by_name(uri: str) -> str:
    """What a file probably is, by its suffix."""
    suffix = suffix_of(uri)
    kinds = {"image": IMAGE_SUFFIXES, "audio": AUDIO_SUFFIXES, "text": TEXT_SUFFIXES}
    return next((kind for kind, suffixes in kinds.items() if suffix in suffixes), "video")


def placeholder(uri: str) -> str:
    """An id for a media whose bytes nobody has read."""
    return digest("unread", uri)[:_ID_CHARACTERS]


def _keys(table: str) -> tuple[Any, ...]:
    return GRAIN_KEYS[BASE_TABLES[table].grain or "media"]
