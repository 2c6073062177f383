"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mmfs.client import FeatureStore, open_store
from mmfs.settings import load_settings

StoreOption = Annotated[
    str | None, typer.Option("--store", help="Directory or s3://bucket/prefix; default: MMFS_STORE or ./data/store.")
]


def open_(store: str | None, *, create: bool = True, **overrides: Any) -> FeatureStore:
    """The store an invocation works on."""
    given = {name: value for name, value in {"store": store, **overrides}.items() if value is not None}
    return open_store(load_settings(**given), create=create)
