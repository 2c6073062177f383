"""Models of the hub: fetched once, as safetensors only; and what people get where it cannot be reached.

Each case runs in a process of its own, because huggingface_hub reads its settings once.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmfs.store import Store
from tests.features.loopback_hub import loopback_hub
from tests.features.tiny import SHARD, write_clip

_NO_NETWORK = [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}]
_LOAD = """
import time
from mmfs.errors import ModelError
from mmfs.features.registry import instantiate, registered
from mmfs.settings import Settings
for table in ("clip_embeddings", "depth_maps"):
    spec = registered(Settings())[table]
    began = time.monotonic()
    try:
        instantiate(spec, Settings()).load("cpu")
    except ModelError as error:
        print(error)
    assert time.monotonic() - began < 60
"""
_FETCH = """
import sys
from mmfs.errors import ModelError
from mmfs.features.clip_source import fetch_clip, find_clip
from mmfs.features.depth_source import fetch_depth, find_depth
from mmfs.settings import ClipConfig, DepthConfig
for name in sys.argv[1:]:
    config = ClipConfig(model=name) if ":" in name else ClipConfig(pretrained=name)
    before = find_clip(config)
    assert before.weights is None
    try:
        after = fetch_clip(config)
        print(after.weights.name, after.identity != before.identity, find_clip(config) == after)
    except ModelError as error:
        print(error)
print(find_depth(DepthConfig(model="lab/depth")).directory, fetch_depth(DepthConfig(model="lab/depth")).name)
"""
_PLAN = """
import sys
from mmfs.features.registry import instantiate, registered
from mmfs.features.plan import plan
from mmfs.settings import Settings
from mmfs.store import Store
store = Store.open(sys.argv[1])
for settings in (store.settings, Settings()):
    for table, spec in registered(settings).items():
        if spec.grain == "frame" and spec.tables == ("frames",):
            print(table, plan(store, instantiate(spec, settings)).missing)
print("torch" in sys.modules)
"""


def run(code: str, environment: dict[str, str], home: Path, *arguments: str) -> str:
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("environment", _NO_NETWORK)
def test_the_message_names_setting_and_offline_way_within_seconds(tmp_path: Path, environment: dict[str, str]) -> None:
    clip, depth = run(_LOAD, environment, tmp_path).strip().splitlines()
    assert "CLIP-ViT-B-32-laion2B-s34B-b79K are not on this machine" in clip
    assert "MMFS_CLIP__MODEL=local-dir:/path" in clip
    assert "the demo model is local-dir:" in clip
    assert "Depth-Anything-V2-Small-hf are not on this machine" in depth
    assert "MMFS_DEPTH__MODEL=/path" in depth


def test_planning_needs_no_weights_and_no_torch(tmp_path: Path, store: Store, frames: Callable[..., None]) -> None:
    frames(range(3), shard=SHARD)
    *plans, imported = run(_PLAN, _NO_NETWORK[0], tmp_path / "home", store.url).splitlines()
    assert plans == 2 * ["clip_embeddings 3", "depth_maps 3", "frame_quality 3"]
    assert imported == "False"


def test_models_are_fetched_from_the_hub_and_then_found_without_it(
    tmp_path: Path, clip_dir: Path, depth_dir: Path
) -> None:
    pickled = write_clip(tmp_path / "pickled")
    (pickled / "open_clip_model.safetensors").rename(pickled / "open_clip_pytorch_model.bin")
    repositories = {
        "lab/clip": clip_dir,
        "lab/depth": depth_dir,
        "lab/pickled": pickled,
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": clip_dir,
    }
    models = ("laion2b_s34b_b79k", "hf-hub:lab/clip", "hf-hub:lab/pickled", "hf-hub:lab/absent")
    with loopback_hub(repositories) as url:
        tag, hub, refused, absent, depth = run(_FETCH, {"HF_ENDPOINT": url}, tmp_path, *models).splitlines()
    assert tag == hub == "open_clip_model.safetensors True True"
    assert "lab/pickled offers is not safetensors" in refused
    assert "no public model 'lab/absent'" in absent
    assert depth.startswith("None 0123456789")


@pytest.mark.soak
def test_a_network_that_swallows_everything_is_given_up_within_seconds(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        clip, _ = run(_LOAD, {"HF_ENDPOINT": f"http://127.0.0.1:{server.getsockname()[1]}"}, tmp_path).splitlines()
    assert "timed out" in clip
