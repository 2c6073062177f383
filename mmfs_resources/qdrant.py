"""The engine that holds search indexes."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from mmfs.search.port import Engine
from mmfs.store import Store


class QdrantResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A Qdrant server where a URL is given, else the engine embedded in the store.

    Give secrets as ``dg.EnvVar``, so that they appear in no run's configuration.
    """

    url: str | None = Field(None, description="Qdrant server; unset: the embedded engine.")
    api_key: str | None = Field(None, description="API key of the server.")

    def engine(self, store: Store) -> Engine:
        """The engine for this store.

        Raises:
            SearchError: The server does not answer.
        """
        if self.url:
            from mmfs.search.server import ServerEngine

            layout = store.settings.qdrant_layout
            return ServerEngine.connect(self.url, self.api_key, namespace=store.namespace.hex[:8], layout=layout)
        from mmfs.search.engines import engine_of

        return engine_of(store)
