"""The benchmarks of orchestration run, on few shards: their figures mean nothing here, that they can be taken does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(name: str, folder: Path) -> dict[str, Any]:
    result = folder / "result.json"
    command = [sys.executable, str(BENCHMARKS / f"orchestration_{name}.py"), "--quick", "--json", str(result)]
    done = subprocess.run(
        command, env=os.environ | {"TMPDIR": str(folder)}, capture_output=True, text=True, timeout=550, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(result.read_text())
    return found


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_a_backfill_makes_the_tables_that_plain_calls_make_and_its_cost_is_told(tmp_path: Path) -> None:
    found = run("overhead", tmp_path)
    assert found["backfill"]["runs"] == 2
    assert {"daemon", "code-server", "run workers"} == set(found["backfill"]["cpu_s_by_part"])
    wall_s = found["backfill"]["wall_s"] - found["plain"]["wall_s"]
    assert found["goals"][0]["value"] == pytest.approx(wall_s / found["shards"], abs=0.001)
    assert 0 < found["runs_s_a_shard"] < found["backfill"]["wall_s"] / found["shards"]


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_every_page_of_the_ui_is_asked_for_what_it_shows(tmp_path: Path) -> None:
    found = run("registered", tmp_path)
    assert set(found["queries_s"]) == {"asset page", "partitions tab", "lineage", "catalog"}
    assert len(found["goals"]) == 4
    assert found["stale_shards"] == 0  # the history is as runs would have left it
    assert min(found["sensor_tick_looked_at"]) >= 98, "all files that are watched"
    assert found["code_server_start_s"]["median_cpu"] is None


@pytest.mark.cluster
def test_writers_that_meet_lose_nothing_in_a_directory_and_in_a_bucket(tmp_path: Path) -> None:
    found = run("writers", tmp_path)
    assert [(goal["value"], goal["hit"]) for goal in found["goals"]] == [(0, True)] * 4


def test_a_year_of_files_fills_shards_as_assign_does(tmp_path: Path) -> None:
    found = run("growth", tmp_path)
    assert [goal["hit"] for goal in found["goals"]] == [True] * 4
    assert found["years"][0]["shards"] == 1
    assert found["years"][0]["mean_fill"] is None, "no shard is sealed"
    assert found["trickle"]["sound"]


@pytest.mark.parametrize("script", sorted(path.name for path in BENCHMARKS.glob("orchestration_*.py")))
def test_every_benchmark_says_how_it_is_run(script: str) -> None:
    assert f"python benchmarks/{script} [--json FILE]" in (BENCHMARKS / script).read_text()
