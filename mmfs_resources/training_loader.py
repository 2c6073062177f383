"""The training loader, as assets use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from mmfs.ids import digest
from mmfs.store import Store

if TYPE_CHECKING:
    from mmfs.loader import Loader
    from mmfs.store.pin import Pin


class TrainingLoaderResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Pins the versions that are materialized now, and loads batches from the pin."""

    batch_size: int = Field(default=16, ge=1, description="Samples a step.")
    image_size: int | None = Field(default=128, ge=16, description="Side of the pictures in pixels; None: as stored.")
    seed: int = Field(default=0, description="Chooses the order, together with the pin's selection.")

    def pin(self, store: Store, prefix: str, columns: Sequence[str]) -> Pin:
        """A pin of these columns at the newest versions, made unless there is one: equal versions, equal pin.

        Samples that lack one of the columns are skipped.

        Raises:
            PinError: A column is unknown.
            NoSampleError: No sample has all of the columns.
        """
        from mmfs.client import FeatureStore

        features = FeatureStore(store)
        name = self.pin_name(store, prefix, columns)
        if name in features.pins():
            return features.pinned(name)
        return features.pin(name, columns=columns, missing="skip")

    def pin_name(self, store: Store, prefix: str, columns: Sequence[str]) -> str:
        """The name that `pin` gives: it says the columns, the content of their tables, and what computes live ones."""
        from mmfs.loader.live_features import live_columns

        live = live_columns(store.settings, columns)
        stored = [column for column in columns if column not in live]
        stored += [part.column for one in live.values() for part in one.inputs]
        tables = sorted({column.partition(".")[0] for column in stored})
        contents = [store.tables.digest(table) for table in tables]
        computed = sorted(one.fingerprint for one in live.values())
        return f"{prefix}-{digest(*sorted(columns), *contents, *computed)[:12]}"

    def load(self, store: Store, pin: Pin, *, run: str | None = None) -> Loader:
        """A loader of the pin's batches.

        Args:
            run: Name under which the run is recorded in ``training_runs``.
        """
        from mmfs.loader import Loader

        return Loader(
            store, pin, run=run, batch_size=self.batch_size, image_size=self.image_size, seed=self.seed, shuffle=True
        )
