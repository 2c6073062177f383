"""The models that compute features."""

from __future__ import annotations

from functools import lru_cache

import dagster as dg
from pydantic import Field

from mmfs.features.feature import Feature
from mmfs.features.registry import instantiate, registered
from mmfs.settings import Settings
from mmfs.store import Store


class ModelResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Keeps each feature once a process, so that its model is loaded once for all shards of all runs in it."""

    device: str | None = Field(None, description="auto, cpu, cuda or cuda:N; default: MMFS_DEVICE.")

    def feature(self, store: Store, table: str) -> Feature:
        """The feature that fills a table. Its model is loaded when there is something to compute.

        Raises:
            FeatureError: No feature fills the table, or it is declared wrongly.
        """
        return _feature(store.settings, table)

    def wanted_device(self, settings: Settings) -> str:
        """The device that was asked for."""
        return self.device or settings.device


@lru_cache(maxsize=16)
def _feature(settings: Settings, table: str) -> Feature:
    return instantiate(registered(settings)[table], settings)
