"""Which feature computes a live column: described when a pin is made, found again and compared when it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from mmfs.errors import LoaderError, MissingExtraError, PinError
from mmfs.settings import Settings
from mmfs.store.pin import LIVE, LiveColumn, LiveInput, Pin
from mmfs.store.pinned_columns import column_of

if TYPE_CHECKING:
    from mmfs.features.feature import Feature, FeatureSpec

_SHOWN = 12


def live_columns(settings: Settings, names: Iterable[str]) -> dict[str, LiveColumn]:
    """What a pin records of the live ones among column names, for `mmfs.store.pins.Pins.create`.

    Weights that are not on this machine are fetched, because their digest is part of what is recorded.

    Raises:
        PinError: A name is no output of a feature.
        FeatureError: The feature is declared wrongly.
        ModelError: Its weights cannot be reached.
        MissingExtraError: A package that it needs is not installed.
    """
    wanted = [name for name in names if name.startswith(LIVE)]
    if not wanted:
        return {}
    from mmfs.features.fingerprint import fingerprint_parts
    from mmfs.features.registry import registered
    from mmfs.features.tablespec import table_of

    specs, found = registered(settings), {}
    for name in wanted:
        table, _, output = name.removeprefix(LIVE).partition(".")
        if table not in specs or not output:
            raise PinError(
                f"{name!r} names no output of a feature",
                mend=f"write {LIVE}table.output; features are " + ", ".join(specs),
            )
        feature = _ready(specs[table], settings, name)
        if output not in feature.outputs:
            raise PinError(f"feature {table} has no output {output!r}", mend="it has " + ", ".join(feature.outputs))
        parts = fingerprint_parts(feature)
        found[name] = LiveColumn(
            value=column_of(table_of(feature), output),
            inputs=tuple(
                LiveInput(name=one.name, column=f"{one.table}.{one.column}", is_previous=one.is_previous)
                for one in feature.spec.inputs
            ),
            fingerprint=parts.digest,
            parts=asdict(parts),
        )
    return found


def pinned_features(settings: Settings, pin: Pin) -> dict[str, Feature]:
    """The features that compute a pin's live columns, by table, not loaded yet.

    Raises:
        LoaderError: A feature is not registered here, or would compute other values than the pinned one.
        ModelError: Its weights cannot be reached.
        MissingExtraError: A package that it needs is not installed.
    """
    from mmfs.features.fingerprint import fingerprint_parts
    from mmfs.features.registry import registered

    specs = registered(settings)
    found: dict[str, Feature] = {}
    for name, live in pin.live.items():
        table = live.value.table
        if table not in specs:
            raise LoaderError(
                f"{name} needs the feature {table!r}, which is not here",
                where=f"pin {pin.name!r}",
                mend="name its module in MMFS_FEATURES; features here are " + ", ".join(specs),
            )
        if table not in found:
            found[table] = _ready(specs[table], settings, name)
        parts = fingerprint_parts(found[table])
        if parts.digest != live.fingerprint:
            differs = [part for part, value in asdict(parts).items() if live.parts.get(part) != value]
            raise LoaderError(
                f"{name} was pinned with the feature of fingerprint {live.fingerprint[:_SHOWN]}, here it is "
                f"{parts.digest[:_SHOWN]}: other {' and '.join(differs)}",
                where=f"pin {pin.name!r}",
                mend="set the model and the code that it was pinned with, or pin again",
            )
    return found


@contextmanager
def needing_packages(feature: Feature | type[Feature], column: str) -> Iterator[None]:
    """Where a feature's packages are imported: says what to install when one is absent.

    Raises:
        MissingExtraError: A package is not installed.
    """
    try:
        yield
    except ImportError as error:
        cls = feature if isinstance(feature, type) else type(feature)
        package = "'mmfs[compute]'" if cls.__module__.startswith("mmfs.") else error.name or "what it imports"
        raise MissingExtraError(
            f"{error.name or error} is not installed", where=column, mend=f"pip install {package}"
        ) from error


def _ready(spec: FeatureSpec, settings: Settings, column: str) -> Feature:
    """A feature whose weights are on this machine."""
    from mmfs.features.registry import instantiate

    with needing_packages(spec.cls, column):
        feature = instantiate(spec, settings)
        feature.fetch_weights()
    return feature
