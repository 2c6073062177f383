"""The benchmarks of search run, on small data: their figures mean nothing here, that they can be taken does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(name: str, folder: Path) -> dict[str, Any]:
    result = folder / "result.json"
    command = [sys.executable, str(BENCHMARKS / f"search_{name}.py"), "--quick", "--json", str(result)]
    done = subprocess.run(
        command, env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def test_every_index_finds_what_an_exact_comparison_finds_under_every_filter(tmp_path: Path) -> None:
    found = run("engines", tmp_path)
    assert {"port", "whole search", "raw_edge", "qdrant_local"} <= set(found["filters"]["none"])
    for name, sides in found["filters"].items():
        for side, figures in sides.items():
            assert figures["recall"] > (0.5 if side == "faiss_hnsw" else 0.95), (name, side)


def test_a_refresh_writes_what_changed_and_is_timed_beside_a_build(tmp_path: Path) -> None:
    found = run("build", tmp_path)
    assert {"build", "bare build", "refresh, in one shard", "refresh, in all shards"} <= set(found["seconds"])
    assert found["goals"][0]["claim"].startswith("refresh after 1 %")
    assert found["bytes_a_row_on_disk"]["vector_storage"] >= 2 * found["dim"]


def test_planted_events_are_found(tmp_path: Path) -> None:
    found = run("segments", tmp_path)
    assert [goal["hit"] for goal in found["goals"]] == [True, True]


def test_hits_are_saved_pinned_and_trained_on_in_a_new_process(tmp_path: Path) -> None:
    found = run("to_training", tmp_path)
    assert found["hits"] == 200
    assert {"search", "save", "pin", "first batch"} <= set(found["seconds"])
    assert len(found["goals"]) == 2


@pytest.mark.parametrize("script", sorted(path.name for path in BENCHMARKS.glob("search_*.py")))
def test_every_benchmark_says_how_it_is_run(script: str) -> None:
    assert f"python benchmarks/{script} [--json FILE]" in (BENCHMARKS / script).read_text()
