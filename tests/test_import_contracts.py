"""What importing mmfs costs, and that imports flow one way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _imported_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_mmfs_and_declaring_a_feature_loads_nothing_heavy() -> None:
    loaded = _imported_by("import mmfs; mmfs.open_store; mmfs.feature; mmfs.Vector; mmfs.Settings; mmfs.Window")
    assert not loaded & {
        "torch",
        "dagster",
        "av",
        "qdrant_client",
        "qdrant_edge",
        "pandas",
        "transformers",
        "open_clip",
    }


def test_importing_the_dagster_definitions_loads_no_model_library() -> None:
    loaded = _imported_by("import mmfs_assets.definitions")
    assert not loaded & {"torch", "av", "qdrant_edge", "transformers", "open_clip"}


def test_imports_flow_one_way() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_no_file_is_longer_than_400_lines_or_a_catch_all() -> None:
    for package in ("mmfs", "mmfs_resources", "mmfs_assets"):
        for path in (ROOT / package).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, f"{path} holds more than one idea"
            assert path.stem not in {"utils", "util", "helpers", "common", "misc"}, path
