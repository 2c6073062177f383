"""What is written down of the shipped models: digests and measured numbers, for people and for tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).parent / "manifest.json"
README = Path(__file__).parent / "README.md"
_START, _STOP = "<!-- measured: written by `python -m mmfs.models` -->", "<!-- end of measured -->"


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of each file of a model, by name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def read_manifest() -> dict[str, Any]:
    """By model: `files` (name to SHA-256), `training` (how it was made) and `measured` (name to number)."""
    content: dict[str, Any] = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    return content


def write_record(name: str, directory: Path, *, training: dict[str, Any], measured: dict[str, float]) -> None:
    """Records a model in `manifest.json` and in the README's table.

    Args: name: the model's folder. training: JSON-able facts. measured: numbers by name, rounded to 3 places here.
    """
    numbers = {key: round(value, 3) for key, value in measured.items()}
    manifest = {**read_manifest(), name: {"files": digests(directory), "training": training, "measured": numbers}}
    MANIFEST.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    before, _, rest = README.read_text().partition(_START)
    _, _, after = rest.partition(_STOP)
    README.write_text(before + _START + "\n\n" + _table(manifest) + "\n" + _STOP + after)


def _table(manifest: dict[str, Any]) -> str:
    lines = []
    for name, record in sorted(manifest.items()):
        weights = next(file for file in record["files"] if file.endswith(".safetensors"))
        facts = ", ".join(f"{key} {value}" for key, value in sorted(record["training"].items()))
        lines += [f"**{name}** ({facts}), sha256 of `{weights}`:", "", f"    {record['files'][weights]}", ""]
        lines += ["| measured on scenes never trained on | |", "| --- | --- |"]
        lines += [f"| {key.replace('_', ' ')} | {value:.3f} |" for key, value in record["measured"].items()] + [""]
    return "\n".join(lines)
