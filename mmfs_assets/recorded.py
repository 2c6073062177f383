"""The settings that definitions are made with."""

from mmfs.errors import StoreError
from mmfs.settings import Settings, load_settings
from mmfs.store import Store


def recorded_settings(store: str | None = None) -> Settings:
    """The settings in force for a store, with what it recorded; for a store not made yet, those of the environment.

    Args:
        store: Directory or ``s3://bucket/prefix``; default: the setting ``store``.
    """
    settings = load_settings(**({"store": store} if store else {}))
    try:
        return Store.open(settings=settings, create=False).settings
    except StoreError:
        return settings
