"""The loader's benchmarks run, on small samples: their figures mean nothing here, that they can be taken does."""

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
#: Claims that are measured against peers, which the locked packages do not have.
AGAINST_PEERS = {"raw", "vectors", "windows"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All claims, from one run of the script."""
    folder = tmp_path_factory.mktemp("benchmarks")
    result = folder / "loader.json"
    command = [sys.executable, str(BENCHMARKS / "loader.py"), "--quick", "--json", str(result)]
    done = subprocess.run(
        command, env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "MISSED" in done.stdout or "hit" in done.stdout
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def test_every_benchmark_against_goals_is_part_of_the_report(report: dict[str, Any]) -> None:
    scripts = {path.stem.removeprefix("loader_") for path in BENCHMARKS.glob("loader_*.py")}
    assert set(report["claims"]) == scripts - {"ledger"}  # which needs ten million rows, and has no peer


def test_every_goal_is_measured_unless_its_peer_is_not_installed(report: dict[str, Any]) -> None:
    for claim, found in report["claims"].items():
        assert found["goals"], claim
        for goal in found["goals"]:
            if goal["value"] is None:
                assert claim in AGAINST_PEERS or "Lance" in goal["claim"], goal


def test_no_side_fails(report: dict[str, Any]) -> None:
    for found in report["claims"].values():
        assert not [side for side in found.get("sides", {}).values() if "failed" in side]


def test_shuffling_mixes_videos_even_in_small_samples(report: dict[str, Any]) -> None:
    assert all(goal["hit"] for goal in report["claims"]["mixing"]["goals"])
