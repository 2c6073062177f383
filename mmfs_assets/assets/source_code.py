"""Where the code that computes an asset is, for people who look at its page."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

#: More than this is not read; `mmfs plan --why` lists all.
_NAMES = 40


def source_metadata(source: type | Callable[..., Any]) -> Mapping[str, Any]:
    """A link to the file of a function or class; nothing where there is no file."""
    path = inspect.getsourcefile(source)
    if path is None:
        return {}
    line = source.__code__.co_firstlineno if inspect.isfunction(source) else None
    label = f"{source.__module__}.{source.__qualname__}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        reference = dg.LocalFileCodeReference(file_path=str(Path(path).resolve()), line_number=line, label=label)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}


def reached_metadata(names: Sequence[str]) -> Mapping[str, Any]:
    """The code whose edit makes rows stale.

    Args:
        names: ``module:name``.
    """
    listed = [f"- `{name}`" for name in names[:_NAMES]]
    if len(names) > _NAMES:
        listed.append(f"- and {len(names) - _NAMES} more: `mmfs plan --why`")
    return {"reached_code": dg.MetadataValue.md("\n".join(listed))}
