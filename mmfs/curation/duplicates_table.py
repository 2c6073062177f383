"""The table ``duplicates``: near duplicates among all frames of the store, brought up to date as a whole.

A new frame may join the group of any other, so groups are found over all shards at once; rows lie in the shards of
their frames. Every row carries the fingerprint of all that determined the answer. A run that dies leaves shards of two
answers behind; as their fingerprints differ, the next run makes them one again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.curation.duplicates import DuplicateRule, find_duplicates
from mmfs.ids import digest
from mmfs.store.arrays import repeated_text
from mmfs.store.subsets import Provenance

if TYPE_CHECKING:
    from mmfs.store import Store

TABLE = "duplicates"
SPACE = "clip_embeddings"
#: What the rows are made from. Captions, runs and the like change nothing.
READS = ("raw_media", "frames", "frame_quality", SPACE, "tombstones")
#: Changes when the same inputs would give other groups.
CODE_VERSION = "1"


@dataclass(frozen=True)
class DuplicatesReport:
    """What bringing the table up to date did.

    Attributes:
        rows: Frames in the table.
        computed: Frames looked at by this call; 0 where the table was fresh.
        carried: Frames whose rows were fresh.
        groups: Groups of more than one frame.
        dropped: Frames that are not kept.
        seconds: Wall time.
        digest: Content digest of the table: its data version.
        version: Version of the table.
        changed: Whether anything was written.
        fingerprint: Of all that determined the rows.
    """

    rows: int
    computed: int
    carried: int
    groups: int
    dropped: int
    seconds: float
    digest: str
    version: int
    changed: bool
    fingerprint: str


def is_fresh(store: Store) -> bool:
    """Whether the table holds, in all its shards, what would be computed now. Reads footers, no rows."""
    wanted = fingerprint(store)
    if not any(store.tables.shards("frames").values()):
        return not any(store.tables.shards(TABLE).values())
    known = [store.tables.commit_info(TABLE, shard) for shard, rows in store.tables.shards(TABLE).items() if rows]
    # A run that died may have left shards out, so each says how many there are to be.
    return bool(known) and all(
        info.get("fingerprint") == wanted and info.get("shards") == str(len(known)) for info in known
    )


def fingerprint(store: Store) -> str:
    """Digest of code, rule and rows that determine the answer, 32 hex characters. Reads footers, no rows."""
    there = store.tables.names()
    inputs = [f"{table}={store.tables.digest(table)}" for table in READS if table in there]
    return digest("duplicates", CODE_VERSION, store.settings.duplicates.model_dump_json(), *inputs)[:32]


def update_duplicates(store: Store) -> DuplicatesReport:
    """Find near duplicates among all frames, by the settings, and record them; nothing where the table is fresh.

    Raises:
        CurationError: There are no frames, vectors or hashes yet, or vectors are of two models.
    """
    started = time.perf_counter()
    mark = fingerprint(store)
    if is_fresh(store):
        return _report(store, mark, computed=0, changed=False, started=started)
    config = store.settings.duplicates
    rule = DuplicateRule(config.threshold, config.max_hamming, config.keep)
    found, samples = find_duplicates(store, rule, space=SPACE)
    info = {"fingerprint": mark, "shards": str(len(samples.shards)), "provenance": Provenance.of(found).query or ""}
    found = found.drop_columns(["key"]).append_column("fingerprint", repeated_text(mark, found.num_rows))
    parts = {shard: found.slice(first, len(keys)) for shard, first, keys in samples.by_shard()}
    gone = [shard for shard, rows in store.tables.shards(TABLE).items() if rows and shard not in parts]
    changed = False
    for shard, rows in [*parts.items(), *((shard, found.slice(0, 0)) for shard in gone)]:
        changed |= store.tables.update(TABLE, shard, _always(rows), info=info).changed
    return _report(store, mark, computed=len(samples), changed=changed, started=started)


def _always(rows: pa.Table) -> Callable[[pa.Table], pa.Table]:
    return lambda _current: rows


def duplicates_differences(store: Store) -> list[str]:
    """What is wrong with the table, in words: rows of several answers, groups without a kept frame, unknown groups."""
    rows = store.tables.read(TABLE)
    if rows.num_rows == 0:
        return []
    problems = []
    answers = len(rows.column("fingerprint").unique())
    if answers > 1:
        problems.append(f"shards hold rows of {answers} answers: materialize duplicates again")
    names = pc.binary_join_element_wise(rows["media_id"], pc.cast(rows["frame_index"], pa.string()), ":")
    kept = names.filter(rows["is_kept"]).combine_chunks()
    lost = rows.filter(pc.invert(pc.is_in(rows["group_key"], value_set=kept)))
    if lost.num_rows:
        first = lost["group_key"][0].as_py()
        problems.append(
            f"{lost.num_rows} frames are of a group whose {first} is not kept: materialize duplicates again"
        )
    return problems


def _report(store: Store, mark: str, *, computed: int, changed: bool, started: float) -> DuplicatesReport:
    rows = store.tables.read(TABLE, columns=["group_key", "is_kept", "reason"])
    return DuplicatesReport(
        rows=rows.num_rows,
        computed=computed,
        carried=rows.num_rows - computed,
        groups=len(rows.filter(rows["reason"].is_valid())["group_key"].unique()),
        dropped=rows.num_rows - int(pc.sum(rows["is_kept"]).as_py() or 0),
        seconds=time.perf_counter() - started,
        digest=store.tables.digest(TABLE),
        version=store.tables.version(TABLE),
        changed=changed,
        fingerprint=mark,
    )
