"""The store that assets read and write."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import dagster as dg
from pydantic import Field

from mmfs.settings import Settings, load_settings
from mmfs.store import Store


class StoreResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the store once a process.

    Example:
        .. code-block:: python

            @dg.asset
            def my_asset(store: StoreResource) -> dg.MaterializeResult:
                table = store.get().tables.read("frames", columns=["media_id"])
                return dg.MaterializeResult(metadata={"rows": table.num_rows})
    """

    url: str | None = Field(None, description="Directory or s3://bucket/prefix; default: MMFS_STORE or ./data/store.")
    given: dict[str, Any] = Field(
        default_factory=dict, description="Settings set by hand, as mmfs.settings names them; no secrets."
    )

    @classmethod
    def of(cls, settings: Settings) -> StoreResource:
        """The resource for these settings; what is secret in them is read from the environment again."""
        chosen = settings.model_fields_set - {"store"} - Settings.secrets()
        return cls(url=settings.store, given=settings.model_dump(mode="json", include=chosen))

    def get(self) -> Store:
        """The store. Its settings: given here or set by hand (``MMFS_*``), else what it recorded, else the defaults.

        Raises:
            StoreError: It cannot be reached.
            SettingsError: A setting is unknown or malformed.
        """
        return _open(load_settings(**self.given, **({"store": self.url} if self.url else {})))


@lru_cache(maxsize=4)
def _open(settings: Settings) -> Store:
    return Store.open(settings=settings)
