"""Batches of a pin for training: see README.md in this folder."""

from mmfs.loader.ledger import Sighting, keys_at, sightings, trace
from mmfs.loader.loader import Loader
from mmfs.loader.mixture import Mixture
from mmfs.loader.report import taken_down_samples
from mmfs.loader.stats import BadSample, LoaderStats

__all__ = [
    "BadSample",
    "Loader",
    "LoaderStats",
    "Mixture",
    "Sighting",
    "keys_at",
    "sightings",
    "taken_down_samples",
    "trace",
]
