"""Batches of a pin for training: see README.md in this folder."""

from mmfs.loader.ledger import Sighting, keys_at, sightings, trace
from mmfs.loader.loader import Loader
from mmfs.loader.stats import BadSample, LoaderStats

__all__ = ["BadSample", "Loader", "LoaderStats", "Sighting", "keys_at", "sightings", "trace"]
