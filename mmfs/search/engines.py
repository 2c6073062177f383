"""Which engine a store uses: a Qdrant server where ``MMFS_QDRANT_URL`` names one, else the embedded one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmfs.search.port import Engine

if TYPE_CHECKING:
    from mmfs.store import Store


def engine_of(store: Store) -> Engine:
    """The engine of a store.

    Raises:
        SearchError: The server does not answer.
        MissingExtraError: The engine's package is not installed.
    """
    if store.settings.qdrant_url:
        from mmfs.search.server import ServerEngine

        key = store.settings.qdrant_api_key
        return ServerEngine.connect(
            store.settings.qdrant_url,
            key.get_secret_value() if key else None,
            namespace=store.namespace.hex[:8],
            layout=store.settings.qdrant_layout,
        )
    from mmfs.store.objects_remote import RemoteObjects

    if isinstance(store.objects, RemoteObjects):
        from mmfs.search.bucket_engine import BucketEdgeEngine
        from mmfs.search.build_cache import index_folder

        return BucketEdgeEngine(store.objects, index_folder(store.settings))
    from mmfs.search.edge_engine import EdgeEngine

    return EdgeEngine(store.objects)
