"""Which features there are: those that ship, and those of the modules named in ``MMFS_FEATURES``."""

from __future__ import annotations

import typing
from importlib import import_module
from types import ModuleType

from pydantic import BaseModel

from mmfs.errors import FeatureError
from mmfs.features.feature import Feature, FeatureSpec
from mmfs.schemas import BASE_TABLES
from mmfs.settings import Settings

_SHIPPED = (
    "mmfs.features.clip",
    "mmfs.features.text",
    "mmfs.features.depth",
    "mmfs.features.quality",
    "mmfs.features.prompts",
    "mmfs.features.audio",
)


def registered(settings: Settings) -> dict[str, FeatureSpec]:
    """All features by table name: the shipped ones first, then the modules of ``settings.features`` in order.

    Raises:
        FeatureError: A module does not import or holds no feature, two features share a table, or an input names none.
    """
    found: dict[str, FeatureSpec] = {}
    for name in (*_SHIPPED, *settings.features):
        specs = _declared_in(_import(name))
        if not specs:
            raise FeatureError(
                f"module {name!r} holds no feature",
                where="MMFS_FEATURES",
                mend="decorate a class in it with @mmfs.feature, or take it off the list",
            )
        for spec in specs:
            other = found.setdefault(spec.table, spec)
            if other.cls is not spec.cls or spec.table in BASE_TABLES:
                taken = f"{other.cls.__module__}.{other.cls.__name__}" if other is not spec else "a table of the store"
                raise FeatureError(
                    f"table {spec.table!r} of {spec.cls.__module__}.{spec.cls.__name__} is taken by {taken}",
                    mend="give the feature another table name",
                )
    for spec in found.values():
        _require_known_inputs(spec, found)
    return found


def instantiate(spec: FeatureSpec, settings: Settings) -> Feature:
    """A feature with its config: the class's own value, else its section of the settings, else the defaults.

    Raises:
        FeatureError: The class names a section that does not exist, or its config needs arguments.
    """
    made = _configured(spec.cls, settings)
    made.take_settings(settings)
    return made


def _configured(cls: type[Feature], settings: Settings) -> Feature:
    if cls.config is not None:
        return cls()
    if cls.section is not None:
        if cls.section not in type(settings).model_fields:
            raise FeatureError(
                f"{cls.__name__}.section is {cls.section!r}, which is no setting",
                mend="name one of " + ", ".join(type(settings).model_fields),
            )
        return cls(getattr(settings, cls.section))
    kind = typing.get_type_hints(cls).get("config")
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return cls()
    try:
        return cls(kind())
    except Exception as error:
        raise FeatureError(
            f"{kind.__name__} cannot be made without arguments: {error}",
            where=cls.__name__,
            mend="give every field a default, or set config = ... in the class",
        ) from error


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except FeatureError:
        raise
    except Exception as error:
        raise FeatureError(
            f"module {name!r} does not import: {type(error).__name__}: {error}",
            where="MMFS_FEATURES",
            mend="mend the module, put its folder on PYTHONPATH, or take it off the list",
        ) from error


def _require_known_inputs(spec: FeatureSpec, features: dict[str, FeatureSpec]) -> None:
    known = {*features, *(name for name, table in BASE_TABLES.items() if table.grain)}
    for column in spec.inputs:
        if column.table not in known:
            raise FeatureError(
                f"input {column.name!r} names neither a table of media nor a feature",
                where=f"{spec.cls.__module__}.{spec.cls.__name__}",
                mend="tables: " + ", ".join(sorted(known)),
            )


def _declared_in(module: ModuleType) -> list[FeatureSpec]:
    """Specs of the decorated classes in a module's namespace, in the order they were written."""
    classes = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Feature))
    return [cls.spec for cls in classes if "spec" in vars(cls)]
