"""Versions of the libraries that compute: recorded with what they computed, and no part of any fingerprint."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

#: Those whose results end up in rows. An update of one moves results by rounding, if at all, and recomputing
#: everything for that is a decision for people; so the plan shows it.
_LIBRARIES = ("torch", "torchvision", "open_clip_torch", "transformers", "numpy", "simplejpeg", "soundfile")


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that are installed here, by name of the distribution. Imports none of them."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
