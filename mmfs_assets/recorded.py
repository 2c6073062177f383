"""The settings that definitions are made with."""

from mmfs.errors import NoStoreError
from mmfs.settings import Settings, load_settings
from mmfs.store import Store


def recorded_settings(store: str | None = None) -> Settings:
    """The settings in force for a store, with what it recorded; for a store not made yet, those of the environment.

    Args:
        store: Directory or ``s3://bucket/prefix``; default: the setting ``store``.

    Raises:
        StoreError: There may be one, but it cannot be reached or read: with other models than its own, all it holds
            would look stale.
    """
    settings = load_settings(**({"store": store} if store else {}))
    try:
        return Store.open(settings=settings, create=False).settings
    except NoStoreError:
        return settings
