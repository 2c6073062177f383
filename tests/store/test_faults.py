"""Fault points: named, reached, and free of cost when nothing is armed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from mmfs.store import Store
from mmfs.store.faults import FAULT_POINTS, arm
from tests.conftest import add_frames


def test_every_named_fault_point_is_reached_by_one_ordinary_write(store: Store) -> None:
    ours = {name for name in FAULT_POINTS if name.split(".")[0] in {"objects", "packs", "tables"}}
    reached: set[str] = set()
    with ExitStack() as stack:
        for name in ours:
            stack.enter_context(arm(name, lambda name=name: reached.add(name)))
        add_frames(store, "000001", range(1))
    assert reached == ours


def test_every_fault_point_in_the_code_is_named() -> None:
    code = "".join(path.read_text() for path in (Path(__file__).parents[2] / "mmfs").rglob("*.py"))
    assert {name for name in FAULT_POINTS if f'fault_point("{name}"' in code} == FAULT_POINTS


def test_an_unknown_fault_point_cannot_be_armed() -> None:
    with pytest.raises(ValueError, match="no fault point 'nix'"), arm("nix", lambda: None):
        pass


def test_the_variable_that_arms_a_child_process_names_a_point_and_an_action() -> None:
    environment = {**os.environ, "_MMFS_FAULT": "nix:kill"}
    command = [sys.executable, "-c", "import mmfs.store.faults"]
    found = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert found.returncode == 1
    assert b"names no fault point and action" in found.stderr
