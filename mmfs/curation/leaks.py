"""What of one subset is in another as well, or nearly so: training samples that the evaluation would test on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmfs.curation.answer import Call, answer
from mmfs.curation.kmeans import BLOCK
from mmfs.curation.selection import Samples, among, key_texts, samples_of
from mmfs.curation.space import Floats, embedding_table, vectors_of
from mmfs.errors import CurationError
from mmfs.store.arrays import as_arrow
from mmfs.store.keys import Int64s, Keys

if TYPE_CHECKING:
    from mmfs.store import Store

_SIDE = 2048


def leaks(
    store: Store,
    subset: str,
    other: str,
    *,
    threshold: float = 0.95,
    space: str = "clip_embeddings",
    where: str | None = None,
) -> pa.Table:
    """Samples of a subset that are too near to one of another subset.

    Args:
        subset: The subset that samples could be taken out of, such as what is trained on.
        other: The subset they must not be near to, such as what is evaluated on.
        threshold: Cosine from which on two samples are too near.
        space: Embedding table.
        where: Look at samples of ``subset`` that meet this condition only.

    Returns:
        Key columns, ``key``, ``score`` (cosine to the nearest sample of the other subset; 1 for the same media),
        ``other_key`` (that sample) and ``reason``: ``same media`` first, then ``vector``, nearest first.

    Raises:
        CurationError: A subset is of another grain, the threshold is no cosine, or there are no vectors.
        StoreError, WhereError: There is no such subset, or the condition is wrong.
    """
    if not -1 <= threshold <= 1:
        raise CurationError(f"threshold = {threshold}", mend="give a cosine; 0.95 is a good begin")
    spec = embedding_table(store, space)
    assert spec.grain is not None  # embedding_table has checked it
    mine, theirs = (
        samples_of(store, spec.grain, subset=subset, where=where),
        samples_of(store, spec.grain, subset=other),
    )
    score = np.full(len(mine), -np.inf, np.float32)
    partner = np.zeros(len(mine), np.int64)
    one, two = vectors_of(store, spec, mine), vectors_of(store, spec, theirs)
    if one.model != two.model:
        raise CurationError(
            f"vectors of {subset!r} are of {one.model}, those of {other!r} of {two.model}",
            mend=f"materialize {space}, so that all shards are of one model",
        )
    close, nearest = _nearest(one.vectors, two.vectors)
    score[one.rows], partner[one.rows] = np.minimum(close, 1), two.rows[nearest]
    same, partners = _same_media(mine, theirs)
    score[same], partner[same] = 1.0, partners[same]
    found = np.flatnonzero(same | (score >= threshold))
    found = found[np.lexsort((found, -score[found], ~same[found]))]
    columns = {
        "score": as_arrow(score[found].astype(np.float64)),
        "other_key": key_texts(theirs, partner[found]),
        "reason": pa.array(np.where(same[found], "same media", "vector").tolist(), pa.string()),
    }
    arguments = {"subset": subset, "other": other, "threshold": threshold, "space": space}
    versions = {**two.versions, **one.versions}
    figures = {
        "samples": len(mine),
        "others": len(theirs),
        "same_media": int(same.sum()),
        "near": len(found) - int(same.sum()),
    }
    return answer(Call("leaks", arguments, where, one.model, versions), mine, found, columns, figures)


def _nearest(mine: Floats, theirs: Floats) -> tuple[Floats, Int64s]:
    """Of each of my vectors: the largest cosine to one of theirs, float32 [n], and that one, int64 [n]."""
    best = np.full(len(mine), -np.inf, np.float32)
    which = np.zeros(len(mine), np.int64)
    for first in range(0, len(theirs), _SIDE):
        block = np.ascontiguousarray(theirs[first : first + _SIDE].T)
        step = BLOCK // _SIDE
        for start in range(0, len(mine), step):
            close = mine[start : start + step] @ block
            top = close.argmax(axis=1)
            value = close[np.arange(len(close)), top]
            better = np.flatnonzero(value > best[start : start + step])
            best[start + better], which[start + better] = value[better], first + top[better]
    return best, which


def _same_media(mine: Samples, theirs: Samples) -> tuple[npt.NDArray[np.bool_], Int64s]:
    """Which of my samples are of a media that theirs are of too; and the very sample there, else the media's first."""
    order = (
        np.lexsort((theirs.keys.index, theirs.keys.media))
        if theirs.keys.index is not None
        else np.argsort(theirs.keys.media, kind="stable")
    )
    sorted_ = theirs.keys.at(order)
    same = among(mine.keys, Keys(np.unique(sorted_.media), None))
    exact = mine.keys.locate_in(sorted_)
    first = mine.keys.media_rows_in(sorted_.media)[0]
    place = np.where(exact >= 0, exact, np.minimum(first, len(order) - 1))
    return same, order[place].astype(np.int64)
