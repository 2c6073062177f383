"""``store.curate``: choosing what to train on. Every answer is a table that ``store.subset(name).save`` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mmfs.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from mmfs.schemas import Grain

_CLIP = "clip_embeddings"


class Curation:
    """Choosing samples by what the whole selection looks like.

    Each call looks at the samples of ``subset`` that meet the SQL condition ``where`` (default: all), leaves out media
    that were taken down, gives the same answer for the same ``seed``, and returns a table with key columns whose schema
    carries the call, the table versions read and the model: `Subset.save` stores them. `figures` gives the numbers
    about a whole answer. Vectors beyond 256 MB go to a scratch file (``TMPDIR``; 2 GB for a million of 512 numbers).

    All calls raise a CurationError when the space is unknown or has no vectors, the subset is of another grain, or more
    is asked for than there is; a StoreError for an unknown subset; a WhereError for a wrong condition.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def duplicates(
        self,
        *,
        threshold: float | None = 0.95,
        max_hamming: int | None = 4,
        keep: Literal["largest", "first"] = "largest",
        within_media: bool = False,
        space: str = _CLIP,
        subset: str | None = None,
        where: str | None = None,
    ) -> pa.Table:
        """Every frame with its group of near duplicates, and whether it is kept.

        Frames are duplicates when their perceptual hashes differ in few bits, or their vectors are nearly the same;
        what hangs together by pairs is one group. A group keeps its frames of one media.

        Args:
            threshold: Cosine from which on two vectors are duplicates; None: go by hashes alone.
            max_hamming: Bits of 64 in which two hashes may differ; None: go by vectors alone.
            keep: The media with the most pixels, or the one that was ingested first.
            within_media: Whether frames of one media can be duplicates of one another; a group then keeps one frame.

        Returns:
            ``group_key``, ``is_kept``, ``similarity`` and ``reason`` of every frame. To train on what is kept, save
            ``found.filter(pc.field("is_kept"))``. The asset ``duplicates`` keeps the same in a table of that name, so
            that ``where="is_kept"`` does it everywhere.
        """
        from mmfs.curation import DuplicateRule, duplicates

        rule = DuplicateRule(threshold, max_hamming, keep, within_media)
        return duplicates(self._store, rule, space=space, subset=subset, where=where)

    def outliers(
        self,
        top: int = 100,
        neighbours: int = 10,
        *,
        within_media: bool = False,
        space: str = _CLIP,
        subset: str | None = None,
        where: str | None = None,
        seed: int = 0,
    ) -> pa.Table:
        """Samples that are far even from their k-th nearest neighbour, farthest first: ``score``, ``nearest_key``.

        Args:
            top: How many.
            neighbours: k.
            within_media: Whether frames of one media count as neighbours of one another.
        """
        from mmfs.curation import outliers

        return outliers(
            self._store, top, neighbours, within_media=within_media, space=space, subset=subset, where=where, seed=seed
        )

    def diverse(
        self, n: int, *, space: str = _CLIP, subset: str | None = None, where: str | None = None, seed: int = 0
    ) -> pa.Table:
        """The n samples that differ most, by greedy k-center, in the order chosen: ``score``.

        Figures: ``radius`` and ``mean_distance`` of all samples to the nearest chosen one.
        """
        from mmfs.curation import diverse

        return diverse(self._store, n, space=space, subset=subset, where=where, seed=seed)

    def clusters(
        self, k: int, *, space: str = _CLIP, subset: str | None = None, where: str | None = None, seed: int = 0
    ) -> pa.Table:
        """Every sample with its ``cluster`` (0 is the largest) and ``distance``, by k-means. Figures: ``sizes``."""
        from mmfs.curation import clusters

        return clusters(self._store, k, space=space, subset=subset, where=where, seed=seed)

    def leaks(
        self, subset: str, other: str, *, threshold: float = 0.95, space: str = _CLIP, where: str | None = None
    ) -> pa.Table:
        """Samples of a subset that are too near to one of another: ``leaks("train", "eval")``.

        Args:
            subset: What samples could be taken out of.
            other: What they must not be near to.
            threshold: Cosine from which on they are.
            where: Only samples of ``subset`` that meet this condition.

        Returns:
            ``score`` (cosine), ``other_key`` and ``reason``: those of the same media first, then nearest first.
        """
        from mmfs.curation import leaks

        return leaks(self._store, subset, other, threshold=threshold, space=space, where=where)

    def balanced(
        self,
        by: str,
        *,
        n: int | None = None,
        each: int | None = None,
        bins: int | None = None,
        grain: Grain = "frame",
        subset: str | None = None,
        where: str | None = None,
        seed: int = 0,
    ) -> pa.Table:
        """Samples drawn evenly over the values of a column.

        Args:
            by: ``raw_media.kind``, or any other column.
            n: How many in all; rare values give all they have, and the others share the rest.
            each: Or: at most how many of each value.
            bins: Cut numbers into so many ranges of equal width, and balance these.
            grain: What a sample is.
        """
        from mmfs.curation import balanced

        return balanced(self._store, by, n=n, each=each, bins=bins, grain=grain, subset=subset, where=where, seed=seed)

    def distribution(
        self,
        by: str,
        *,
        bins: int | None = None,
        grain: Grain = "frame",
        subset: str | None = None,
        where: str | None = None,
    ) -> pa.Table:
        """How many samples have which value of a column: ``samples`` and ``share``. Figures: quantiles of numbers.

        Args:
            by: ``raw_media.width``, ``frame_quality.sharpness``, or any other column.
            bins: Ranges of equal width for numbers; default: 10 where there are more than 10 different ones.
            grain: What is counted; ``media`` counts a video once.
        """
        from mmfs.curation import distribution

        return distribution(self._store, by, bins=bins, grain=grain, subset=subset, where=where)

    @staticmethod
    def figures(answer: pa.Table) -> dict[str, Any]:
        """The numbers about a whole answer: coverage, sizes, quantiles, whether it is exact."""
        from mmfs.curation import figures_of

        return figures_of(answer)
