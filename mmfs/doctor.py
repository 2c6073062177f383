"""``mmfs doctor``: what works here, what does not, and the mend."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version

from mmfs.client import open_store
from mmfs.errors import MmfsError
from mmfs.settings import Settings

_EXTRAS = {
    "loader": ("torch", "simplejpeg", "soundfile", "zstandard"),
    "compute": ("av", "PIL", "open_clip", "transformers", "safetensors"),
    "search": ("qdrant_client", "qdrant_edge"),
    "orchestrate": ("dagster", "dagster_webserver", "dagster_aws", "pandas"),
    "cluster": ("ray", "dagster_ray", "dagster_k8s", "dagster_postgres"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``mend`` is set when it needs attention."""

    what: str
    found: str
    mend: str | None = None
    failed: bool = False

    @property
    def mark(self) -> str:
        """ok, note or FAIL."""
        return "FAIL" if self.failed else "note" if self.mend else "ok"


def diagnose(settings: Settings) -> list[Finding]:
    """Look at everything; one finding never hides another."""
    findings = [*_extras()]
    for what, look in (("store", _store), ("device", _device), ("models", _models), ("search engine", _engine)):
        try:
            findings.extend(look(settings))
        except MmfsError as error:
            findings.append(Finding(what, error.what, error.mend, failed=True))
        except ImportError as error:
            findings.append(Finding(what, f"not looked at: {error}", "install the extra named above"))
    return findings


def _extras() -> Iterator[Finding]:
    yield Finding("mmfs", version("mmfs"))
    for extra, modules in _EXTRAS.items():
        absent = [module for module in modules if importlib.util.find_spec(module) is None]
        found = f"without {', '.join(absent)}" if absent else "installed"
        yield Finding(f"extra {extra}", found, f"pip install 'mmfs[{extra}]'" if absent else None)


def _store(settings: Settings) -> Iterator[Finding]:
    store = open_store(settings, create=False)
    report = store.verify()
    yield Finding(
        "store", f"{store.url}: {report.summary()}", None if report.ok else "mmfs verify", failed=not report.ok
    )


def _device(settings: Settings) -> Iterator[Finding]:
    from mmfs.features.device import resolve_device

    yield Finding("device", resolve_device(settings.device))


def _models(settings: Settings) -> Iterator[Finding]:
    from mmfs.features.registry import instantiate, registered

    with suppress(MmfsError):  # Without a store the settings alone decide which models are used.
        settings = open_store(settings, create=False).settings
    kept = []  # so that a model which several features share is loaded once
    for name, spec in registered(settings).items():
        try:
            kept.append(instantiate(spec, settings))
            kept[-1].setup("cpu")
        except MmfsError as error:
            yield Finding(f"model of {name}", error.what, error.mend, failed=True)
        else:
            yield Finding(f"model of {name}", "loads")


def _engine(settings: Settings) -> Iterator[Finding]:
    if settings.qdrant_url is None:
        yield Finding("search engine", "embedded Qdrant, in the store")
        return
    from mmfs.search.server import ServerEngine

    key = settings.qdrant_api_key
    engine = ServerEngine.connect(settings.qdrant_url, key.get_secret_value() if key else None, namespace="doctor")
    engine.published("clip_embeddings")
    yield Finding("search engine", f"Qdrant server at {settings.qdrant_url} answers")
