"""Files that were away when they were wanted, and are there again: nothing in their listing says so."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow.compute as pc

from mmfs.errors import IngestError, NoAnswerError, StoreError, UnreachableError
from mmfs.ingest.folders import Files, bucket_of
from mmfs.ingest.locations import is_local, location_of, scheme_of
from mmfs.media.info import Reason
from mmfs.store import Store

_LOOKING = 16
#: Longest time to wait for a bucket: a plan would rather leave its files out than wait.
_BUCKET_S = 10.0
#: A bucket that gave no answer is left alone for so long: each of several plans in a row would wait for it.
_SILENCE_S = 60.0
#: By bucket, until which moment of `time.monotonic` it is left alone.
_silent: dict[str, float] = {}


def returned_files(store: Store) -> dict[tuple[str, str], list[str]]:
    """URIs by step and shard whose quarantine says that they were missing, and that exist now.

    Opens no media. A bucket that cannot be asked has nothing returned, and neither have web addresses; one that gives
    no answer is not asked again for a minute.
    """
    if "quarantine" not in store.tables:
        return {}
    rows = store.tables.read("quarantine", columns=["stage", "shard", "uri", "reason"])
    away = rows.filter(pc.equal(rows.column("reason"), Reason.MISSING.value)).to_pylist()
    there = _existing(sorted({row["uri"] for row in away}))
    found: dict[tuple[str, str], list[str]] = {}
    for row in away:
        if row["uri"] in there:
            found.setdefault((row["stage"], row["shard"]), []).append(row["uri"])
    return found


def _existing(uris: Sequence[str]) -> set[str]:
    """Those of the URIs that exist. Of each bucket one is asked for first, and the others only if it answers."""
    places = {uri: location for uri in uris if (location := _place(uri)) is not None}
    buckets = {uri: "" if is_local(location) else bucket_of(location) for uri, location in places.items()}
    left_alone = {bucket for bucket, until in list(_silent.items()) if time.monotonic() < until}
    first = {bucket: uri for uri, bucket in reversed(buckets.items()) if bucket not in left_alone}
    with ThreadPoolExecutor(_LOOKING) as pool:
        exists = partial(_exists, Files(_BUCKET_S))
        answers = dict(zip(first.values(), pool.map(exists, (places[uri] for uri in first.values())), strict=True))
        heard = {bucket for bucket, uri in first.items() if answers[uri] is not None}
        rest = [uri for uri, bucket in buckets.items() if uri not in answers and bucket in heard]
        answers |= zip(rest, pool.map(exists, (places[uri] for uri in rest)), strict=True)
    return {uri for uri, there in answers.items() if there}


def _place(uri: str) -> str | None:
    """Where a URI points, if one can see there whether it exists."""
    try:
        return None if scheme_of(uri) in {"http", "https"} else location_of(uri)
    except IngestError:
        return None


def _exists(files: Files, location: str) -> bool | None:
    """Whether there is such a file or object; None: its bucket cannot be asked."""
    try:
        return os.path.isfile(location) if is_local(location) else files.object_exists(location)
    except UnreachableError as error:
        if isinstance(error, NoAnswerError):
            _silent[bucket_of(location)] = time.monotonic() + _SILENCE_S
        return None
    except (IngestError, StoreError, OSError):
        return False
