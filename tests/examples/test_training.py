"""The training examples run, stop, and go on to the sample."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import examples
from mmfs.client import open_store
from tests.loader.world import World, build_world

FOLDER = Path(examples.__file__).parent
NAMES = ("train_clip", "train_ddp")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return build_world(tmp_path / "store")


@pytest.fixture
def train_clip(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("train_clip")


def loader_state(checkpoint: Path) -> dict[str, Any]:
    with safe_open(checkpoint, framework="pt") as file:
        state: dict[str, Any] = json.loads(file.metadata()["loader"])
    return state


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_says_how_it_is_run(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text()
    assert len(text.splitlines()) < 120
    assert f"examples/{name}.py" in text.split('"""')[1]


def test_a_contrastive_run_that_was_stopped_ends_as_one_that_was_not(
    world: World, tmp_path: Path, train_clip: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(steps: int, checkpoint: str) -> Path:
        path = tmp_path / checkpoint
        always = ["--store", world.store.url, "--batch-size", "16", "--checkpoint", str(path)]
        train_clip.main([*always, "--steps", str(steps)])
        return path

    whole = run(7, "whole.safetensors")  # an epoch is four steps and a half
    run(3, "stopped.safetensors")
    stopped = run(7, "stopped.safetensors")
    assert open_store(world.store.url).pinned("train-clip").samples == 74
    assert loader_state(stopped) == loader_state(whole)
    assert loader_state(stopped)["step"] == 7
    one, other = load_file(whole), load_file(stopped)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert capsys.readouterr().out.count("step 7  loss ") == 2


def run_ranks(world_size: int, world: World, folder: Path, notes: str, *, die: str = "-") -> None:
    """Run the distributed example; it fails when a rank was told to die."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world_size}"]
    command += ["--monitor-interval=0.1", str(Path(__file__).with_name("recording.py")), str(folder / notes), die]
    command += [str(FOLDER / "train_ddp.py"), "--store", world.store.url, "--epochs=1", "--batch-size=6", "--name=r"]
    done = subprocess.run(
        [*command, "--save-every=2", "--checkpoint", str(folder / "ddp.safetensors")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    said = "exitcode  : -9" if die != "-" else ""
    assert (done.returncode == 0) == (not said), done.stderr[-4000:]
    assert said in done.stderr


def noted(folder: Path, notes: str) -> list[list[dict[str, Any]]]:
    """What each rank was given, batch by batch."""
    files = sorted(folder.glob(f"{notes}.?"))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


@pytest.mark.cluster
def test_a_killed_run_goes_on_with_more_ranks_and_reads_each_sample_once(world: World, tmp_path: Path) -> None:
    run_ranks(2, world, tmp_path, "killed", die="1:4")
    saved = loader_state(tmp_path / "ddp.safetensors")["step"]
    assert saved == 2
    first = [key for rank in noted(tmp_path, "killed") for note in rank[:saved] for key in note["keys"]]
    assert len(first) == saved * 2 * 6
    run_ranks(3, world, tmp_path, "more")
    ranks = noted(tmp_path, "more")
    second = [key for rank in ranks for note in rank for key in note["keys"]]
    assert sorted(first + second) == world.keys
    assert [note["step"] for note in ranks[0]] == [3, 4, 5]
    assert loader_state(tmp_path / "ddp.safetensors")["epoch"] == 1
    store = open_store(world.store.url)
    assert [store.keys_at("r", step=saved, rank=rank) for rank in range(3)] == [rank[0]["keys"] for rank in ranks]
