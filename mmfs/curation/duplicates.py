"""Near duplicates: frames whose hashes differ in few bits, or whose vectors are nearly the same; grouped, one kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.curation.answer import Call, answer
from mmfs.curation.hamming import MOST_BITS, near_pairs
from mmfs.curation.keep import Keep, media_order
from mmfs.curation.selection import Samples, key_texts, samples_of
from mmfs.curation.space import Space, embedding_table, vectors_of
from mmfs.curation.tiles import border_visits, clusters_for_pairs, tiles
from mmfs.curation.unions import Unions
from mmfs.errors import CurationError
from mmfs.store.arrays import as_bools, as_numpy
from mmfs.store.keys import Int64s, Keys

if TYPE_CHECKING:
    from mmfs.store import Store

Reason = Literal["phash", "vector", "phash and vector"]
Mask = npt.NDArray[np.bool_]

_QUALITY = "frame_quality"
_HASHES = ["media_id", "frame_index", "phash", "is_blank"]
#: Rows compared at once, and kept frames that the others of a group are compared with.
_COMPARED = 1024
_SEED = 0  # clusters decide how long it takes, not what is found


@dataclass(frozen=True)
class DuplicateRule:
    """When frames count as duplicates, and which of them is kept.

    Attributes:
        threshold: Cosine of two vectors from which on they are duplicates, 0.5 to 1; None: vectors are not looked at.
        max_hamming: Bits in which two perceptual hashes may differ; None: hashes are not looked at.
        keep: ``largest`` keeps the media with the most pixels, ``first`` the one that came first.
        within_media: Whether frames of one media can be duplicates of one another.
    """

    threshold: float | None = 0.95
    max_hamming: int | None = 4
    keep: Keep = "largest"
    within_media: bool = False

    def check(self) -> None:
        """Raise a CurationError unless this can be asked."""
        if self.threshold is None and self.max_hamming is None:
            raise CurationError("neither vectors nor hashes are looked at", mend="give threshold= or max_hamming=")
        if self.threshold is not None and not 0.5 <= self.threshold <= 1:
            raise CurationError(f"threshold = {self.threshold}", mend="a cosine from 0.5 to 1; 0.95 is a good begin")
        if self.max_hamming is not None and not 0 <= self.max_hamming <= MOST_BITS:
            raise CurationError(f"max_hamming = {self.max_hamming}", mend=f"0 to {MOST_BITS} bits of 64")
        if self.keep not in ("largest", "first"):
            raise CurationError(f"keep = {self.keep!r}", mend="use 'largest' or 'first'")


def duplicates(
    store: Store,
    rule: DuplicateRule | None = None,
    *,
    space: str = "clip_embeddings",
    subset: str | None = None,
    where: str | None = None,
) -> pa.Table:
    """Frames, each with the group of near duplicates that it belongs to. What hangs together by pairs is one group.

    Unless ``within_media``, a group keeps all its frames of one media and drops those of the others.

    Args:
        rule: When frames count as duplicates; default: `DuplicateRule()`.
        space: Embedding table at the grain of frames.
        subset: Look among the samples of this subset only.
        where: Look among samples of this SQL condition only.

    Returns:
        A row for every frame looked at, in canonical order: key columns, ``key``, ``group_key`` (the frame that stands
        for the group; its own where it has no duplicate), ``is_kept``, ``similarity`` (cosine to the most similar kept
        frame of the group; null where there is none but itself, or no vector) and ``reason`` (null where it has no
        duplicate). Its rows with ``is_kept`` are a selection without near duplicates.

    Raises:
        CurationError: The rule cannot be applied, or there are neither vectors nor hashes.
        StoreError, WhereError: The subset or the condition is wrong.
    """
    return find_duplicates(store, rule or DuplicateRule(), space=space, subset=subset, where=where)[0]


def find_duplicates(
    store: Store, rule: DuplicateRule, *, space: str, subset: str | None = None, where: str | None = None
) -> tuple[pa.Table, Samples]:
    """The answer of `duplicates`, and the samples that its rows are about."""
    rule.check()
    spec = embedding_table(store, space)
    if spec.grain != "frame":
        raise CurationError(
            f"{space} is about {spec.grain}s, and duplicates are looked for among frames",
            mend="name a space of frames, such as clip_embeddings",
        )
    samples = samples_of(store, "frame", subset=subset, where=where)
    opened = vectors_of(store, spec, samples) if rule.threshold is not None else None
    versions = {"raw_media": store.tables.version("raw_media"), **(opened.versions if opened else samples.versions)}
    finder = _Finder(samples, opened, rule)
    if rule.max_hamming is not None:
        rows, hashes, versions[_QUALITY] = read_hashes(store, samples)
        finder.by_hash(rows, hashes)
    if rule.threshold is not None:
        finder.by_vector(rule.threshold)
    ranks = media_order(store, samples, rule.keep, version=versions["raw_media"])
    arguments = {**vars(rule), "space": space, "subset": subset}
    call = Call("duplicates", arguments, where, opened.model if opened else None, versions)
    return answer(call, samples, np.arange(len(samples)), *finder.columns(ranks)), samples


def read_hashes(store: Store, samples: Samples) -> tuple[Int64s, npt.NDArray[np.uint64], int]:
    """Samples that have a perceptual hash, int64 [h]; the hashes, uint64 [h]; the version of the table they are from.

    Blank frames are left out: an even picture has no hash to speak of.

    Raises:
        CurationError: No sample has a hash.
    """
    rows, hashes, version = [], [], 0
    if _QUALITY in store.tables.names():
        version = store.tables.version(_QUALITY)
        there = store.tables.shards(_QUALITY, version)
        for shard, first, keys in samples.by_shard():
            if not there.get(shard):
                continue
            read = store.tables.read(_QUALITY, columns=_HASHES, shard=shard, version=version).combine_chunks()
            found = keys.locate_in(Keys.of(read, "frame"))
            blank = as_bools(read.column("is_blank").fill_null(True).combine_chunks())
            has = np.flatnonzero((found >= 0) & ~blank[found])
            rows.append(first + has)
            hashes.append(as_numpy(read.column("phash").combine_chunks())[found[has]].astype(np.int64).view(np.uint64))
    if not rows:
        raise CurationError(
            f"none of {len(samples):,} frames has a perceptual hash",
            where=_QUALITY,
            mend="materialize frame_quality, or give max_hamming=None to go by vectors alone",
        )
    return np.concatenate(rows), np.concatenate(hashes), version


class _Finder:
    """Finds groups among samples."""

    def __init__(self, samples: Samples, space: Space | None, rule: DuplicateRule) -> None:
        self._samples, self._space, self._rule = samples, space, rule
        self._media = samples.media_codes()
        self._groups = Unions(len(samples))
        self._hashed = np.zeros(len(samples), np.bool_)
        self._compared = np.zeros(len(samples), np.bool_)
        self._complete = True

    def by_hash(self, rows: Int64s, hashes: npt.NDArray[np.uint64]) -> None:
        """Link samples whose hashes differ in few bits.

        Samples of equal hash are one class, so that many even ones cost no more than a few. A class of one media has
        no duplicates in itself; any link to another class holds for each of its samples.
        """
        assert self._rule.max_hamming is not None
        distinct, of = np.unique(hashes, return_inverse=True)
        order = np.argsort(of, kind="stable")
        firsts = np.flatnonzero(np.diff(of[order], prepend=-1))
        media = self._media[rows[order]]
        low, high = np.minimum.reduceat(media, firsts), np.maximum.reduceat(media, firsts)
        only = np.where(low == high, low, -1)  # the one media of a class, or -1
        linked = np.diff(firsts, append=len(order)) > 1 if self._rule.within_media else only < 0
        first = rows[order][firsts]
        for left, right in near_pairs(distinct, self._rule.max_hamming):
            may = self._rule.within_media | (only[left] != only[right]) | (only[left] < 0)
            linked[left[may]] = linked[right[may]] = True
            self._groups.link(first[left[may]], first[right[may]])
        members = linked[of]
        self._groups.link(rows[members], first[of[members]])
        self._hashed[rows[members]] = True

    def by_vector(self, threshold: float) -> None:
        """Link samples whose vectors are near."""
        assert self._space is not None
        rows, vectors = self._space.rows, self._space.vectors
        clusters = clusters_for_pairs(vectors, _SEED)
        visits = border_visits(vectors, clusters, threshold)
        self._complete = visits.is_complete
        for tile in tiles(vectors, clusters, visits):
            near = tile.similarity >= threshold
            left, right = rows[tile.left], rows[tile.right]
            if tile.is_diagonal:
                np.fill_diagonal(near, False)
            if not self._rule.within_media:
                near &= self._media[left][:, None] != self._media[right]
            self._compared[left[near.any(axis=1)]] = True
            self._compared[right[near.any(axis=0)]] = True
            # Where thousands of frames are alike, most links would say what is known already.
            near &= self._groups.roots(left)[:, None] != self._groups.roots(right)
            one, other = np.nonzero(near)
            self._groups.link(left[one], right[other])

    def columns(self, ranks: Int64s) -> tuple[dict[str, pa.Array], dict[str, Any]]:
        """Columns of the answer, and its figures.

        Args:
            ranks: Rank of each sample's media, int64 [n]: of a group, the lowest is kept.
        """
        groups = self._groups.all()
        size = np.bincount(groups, minlength=len(groups))[groups]
        kept = self._kept(groups, ranks)
        stands = np.full(len(groups), len(groups))
        np.minimum.at(stands, groups[kept], np.flatnonzero(kept))
        names = key_texts(self._samples, stands[groups])
        similarity = self._similarity(groups, kept, size > 1)
        why = np.where(self._hashed & self._compared, 3, np.where(self._compared, 2, np.where(self._hashed, 1, 0)))
        texts = np.array([None, "phash", "vector", "phash and vector"], object)[why]
        columns = {
            "group_key": names,
            "is_kept": pa.array(kept.tolist(), pa.bool_()),
            "similarity": pa.array(np.where(np.isnan(similarity), 0, similarity), mask=np.isnan(similarity)),
            "reason": pa.array(texts.tolist(), pa.string()),
        }
        several = np.unique(groups[size > 1])
        figures = {
            "frames": len(groups),
            "groups": len(several),
            "in_groups": int((size > 1).sum()),
            "dropped": int((~kept).sum()),
            "largest_group": int(size.max()),
            "every_pair_compared": self._complete,
        }
        return columns, figures

    def _kept(self, groups: Int64s, ranks: Int64s) -> Mask:
        best = np.full(len(groups), np.iinfo(np.int64).max)
        np.minimum.at(best, groups, ranks)
        kept = ranks == best[groups]
        if self._rule.within_media:
            first = np.full(len(groups), len(groups))
            np.minimum.at(first, groups[kept], np.flatnonzero(kept))
            kept = first[groups] == np.arange(len(groups))
        return np.asarray(kept, np.bool_)

    def _similarity(self, groups: Int64s, kept: Mask, grouped: Mask) -> npt.NDArray[np.float32]:
        """Cosine of each sample of a group to the most similar kept one but itself, float32 [n]; NaN where none."""
        found = np.full(len(groups), np.nan, np.float32)
        if self._space is None:
            return found
        place = np.full(len(groups), -1)
        place[self._space.rows] = np.arange(len(self._space.rows))
        members = np.flatnonzero(grouped & (place >= 0))
        members = members[np.argsort(groups[members], kind="stable")]
        for group in np.split(members, np.flatnonzero(np.diff(groups[members])) + 1):
            stay = group[kept[group]]
            if not len(stay):
                continue
            theirs = self._space.vectors[place[stay[:_COMPARED]]]
            for begin in range(0, len(group), _COMPARED):
                part = group[begin : begin + _COMPARED]
                close = self._space.vectors[place[part]] @ theirs.T
                close[part[:, None] == stay[:_COMPARED]] = -np.inf
                best = close.max(axis=1)
                found[part] = np.where(np.isfinite(best), np.minimum(best, 1), np.nan)
        return found
