"""The facade that people use: ``mmfs.open_store()`` gives a FeatureStore."""

from mmfs.client.facade import FeatureStore, open_store

__all__ = ["FeatureStore", "open_store"]
