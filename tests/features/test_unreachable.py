"""What people get when weights are neither here nor reachable. Each case runs in a process of its own, because
huggingface_hub reads its settings once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmfs.store import Store
from tests.features.tiny import SHARD

_NO_NETWORK = [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}]
_LOAD = """
from mmfs.errors import ModelError
from mmfs.features.registry import instantiate, registered
from mmfs.settings import Settings
for spec in registered(Settings()).values():
    try:
        instantiate(spec, Settings()).load("cpu")
    except ModelError as error:
        print(error)
"""
_PLAN = """
import sys
from mmfs.features.registry import instantiate, registered
from mmfs.features.status import plan
from mmfs.settings import Settings
from mmfs.store import Store
store = Store.open(sys.argv[1])
for settings in (store.settings, Settings()):
    for spec in registered(settings).values():
        print(plan(store, instantiate(spec, settings)).missing)
print("torch" in sys.modules)
"""


def run(code: str, environment: dict[str, str], home: Path, *arguments: str) -> str:
    env = {**os.environ, "HF_HOME": str(home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("environment", _NO_NETWORK)
def test_the_message_names_setting_and_offline_way_within_seconds(tmp_path: Path, environment: dict[str, str]) -> None:
    began = time.monotonic()
    clip, depth = run(_LOAD, environment, tmp_path).strip().splitlines()
    assert time.monotonic() - began < 20
    assert "CLIP-ViT-B-32-laion2B-s34B-b79K are not on this machine" in clip
    assert "MMFS_CLIP__MODEL=local-dir:/path" in clip
    assert "the demo model is local-dir:" in clip
    assert "Depth-Anything-V2-Small-hf are not on this machine" in depth
    assert "MMFS_DEPTH__MODEL=/path" in depth


def test_planning_needs_no_weights_and_no_torch(tmp_path: Path, store: Store, frames: Callable[..., None]) -> None:
    frames(range(3), shard=SHARD)
    assert run(_PLAN, _NO_NETWORK[0], tmp_path / "home", store.url).split() == ["3", "3", "3", "3", "False"]
