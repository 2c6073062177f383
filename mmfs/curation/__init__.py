"""Choosing what to train on: near duplicates, outliers, spread, clusters, leaks, balance, distributions."""

from mmfs.curation.answer import figures_of
from mmfs.curation.balanced import balanced
from mmfs.curation.clusters import clusters
from mmfs.curation.distribution import distribution
from mmfs.curation.diverse import diverse
from mmfs.curation.duplicates import DuplicateRule, duplicates
from mmfs.curation.leaks import leaks
from mmfs.curation.outliers import outliers

__all__ = [
    "DuplicateRule",
    "balanced",
    "clusters",
    "distribution",
    "diverse",
    "duplicates",
    "figures_of",
    "leaks",
    "outliers",
]
