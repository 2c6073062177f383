"""mmfs: a multimodal feature store for generative-AI training.

**Media** go in, **features** are computed from them, a **subset** is chosen, a **pin** fixes it all for training::

    import mmfs

    store = mmfs.open_store()
    hits = store.search("a red ball", where="kind = 'video'")
    store.subset("red-balls").save(hits)
    store.pin("exp-1", columns=["frames.image", "captions.text"], subset="red-balls")
    for batch in store.loader("exp-1", batch_size=64):
        ...

Names are loaded on first use: importing mmfs imports no torch, dagster, PyAV, Qdrant or pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmfs.client import FeatureStore, open_store
    from mmfs.errors import MmfsError
    from mmfs.features.feature import Blob, Feature, Scalar, Text, Vector, feature
    from mmfs.settings import (
        AudioConfig,
        AudioFeaturesConfig,
        CacheConfig,
        ClipConfig,
        DepthConfig,
        DuplicatesConfig,
        FramesConfig,
        PromptScoresConfig,
        Settings,
    )
    from mmfs.store.pins import Pin, Window

__version__ = "0.1.0"

_HOMES = {
    "FeatureStore": "mmfs.client",
    "open_store": "mmfs.client",
    "MmfsError": "mmfs.errors",
    "Blob": "mmfs.features.feature",
    "Feature": "mmfs.features.feature",
    "Scalar": "mmfs.features.feature",
    "Text": "mmfs.features.feature",
    "Vector": "mmfs.features.feature",
    "feature": "mmfs.features.feature",
    "AudioConfig": "mmfs.settings",
    "AudioFeaturesConfig": "mmfs.settings",
    "CacheConfig": "mmfs.settings",
    "ClipConfig": "mmfs.settings",
    "DepthConfig": "mmfs.settings",
    "DuplicatesConfig": "mmfs.settings",
    "FramesConfig": "mmfs.settings",
    "PromptScoresConfig": "mmfs.settings",
    "Settings": "mmfs.settings",
    "Pin": "mmfs.store.pins",
    "Window": "mmfs.store.pins",
}

__all__ = [
    "AudioConfig",
    "AudioFeaturesConfig",
    "Blob",
    "CacheConfig",
    "ClipConfig",
    "DepthConfig",
    "DuplicatesConfig",
    "Feature",
    "FeatureStore",
    "FramesConfig",
    "MmfsError",
    "Pin",
    "PromptScoresConfig",
    "Scalar",
    "Settings",
    "Text",
    "Vector",
    "Window",
    "feature",
    "open_store",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mmfs' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
