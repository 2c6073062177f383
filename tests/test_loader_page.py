"""The page that teaches training from a store is followed block by block, on a small store."""

from __future__ import annotations

import re
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from mmfs.client import open_store
from mmfs.settings import load_settings
from tests.loader.world import build_world

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "loader.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each block left behind, by its first line: all names after it, and batches that it trained on."""
    folder = tmp_path_factory.mktemp("page")
    world = build_world(folder / "data" / "store")
    for shard, frames in list(world.frames.items()):
        world.add_frames(shard, frames, size_of=lambda key: ((32, 32), (28, 36), (36, 28))[key[0] % 3])
    trained: list[dict[str, Any]] = []
    names: dict[str, Any] = {"__name__": "page", "train": trained.append}
    seen: dict[str, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        ranks = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        for name, value in ranks.items():
            patch.setenv(name, str(value))
        for number, block in enumerate(BLOCKS):
            trained.clear()
            code = block.replace("/scratch/mmfs", str(folder / "scratch"))
            exec(compile(code, f"docs/loader.md, block {number}", "exec"), names)
            seen[heading_of(block)] = {**names, "trained": list(trained)}
    return seen


def heading_of(block: str) -> str:
    """The heading that a block stands under."""
    return re.findall(r"^#+ (.*)$", PAGE[: PAGE.index(block)], re.MULTILINE)[-1]


def test_the_first_loop_is_an_epoch(followed: dict[str, dict[str, Any]]) -> None:
    trained = followed["Train from the store"]["trained"]
    assert [int(batch["_valid"].sum()) for batch in trained] == [32, 32, 10]
    assert trained[0]["frames.image"].shape == (32, 3, 64, 64)
    assert trained[0]["frames.image"].is_contiguous(memory_format=torch.channels_last)
    assert trained[0]["clip_embeddings.vector"].shape == (32, 8)


def test_what_the_comments_say_of_shapes_is_so(followed: dict[str, dict[str, Any]]) -> None:
    windows = followed["Windows of frames"]["batch"]
    assert windows["frames.image"].shape == (8, 2, 3, 64, 64)
    assert windows["depth_maps.depth"].shape == (8, 2, 1, 64, 64)
    assert len(windows["captions.text"]) == 8
    assert followed["Missing values"]["batch"]["depth_maps.depth:present"].dtype == torch.bool
    assert "74 samples" in followed["Missing values"]["pin"].report()
    assert followed["Live columns"]["batch"]["live:frame_quality.brightness"].dtype == torch.float32
    assert set(followed["Mixtures"]["batch"]["_source"].tolist()) == {0, 1}
    assert tuple(followed["Shape buckets"]["batch"]["frames.image"].shape[-2:]) in {(64, 64), (56, 72), (72, 56)}


def test_what_goes_on_goes_on_behind_the_last_batch(followed: dict[str, dict[str, Any]]) -> None:
    stream, resumed = (followed[name]["trained"] for name in ("Exactly once, in equal steps", "Resume to the sample"))
    assert len(stream) == 10
    loader = open_store(followed["Resume to the sample"]["store"].url).loader("exp-42", batch_size=74, image_size=64)
    order = [key for _, batch in zip(range(7), loader.stream(), strict=False) for key in batch["_key"]]
    assert [key for batch in stream for key in batch["_key"]] == order[74:394]
    assert resumed[0]["_key"] == order[394:442]


def test_every_recipe_passes_over_the_whole_pin(followed: dict[str, dict[str, Any]]) -> None:
    for heading in ("DDP", "FSDP", "Accelerate"):
        state = followed[heading]["loader"].state_dict()
        assert (state["epoch"], state["step"]) == (1, 10)
    assert followed["Lightning"]["trainer"].global_step == 10
    workers = followed["DataLoader workers"]
    assert sum(int(batch["_valid"].sum()) for batch in workers["trained"]) == 74
    assert workers["loader"].state_dict() == workers["state"]


def test_the_ledger_says_what_the_steps_held(followed: dict[str, dict[str, Any]]) -> None:
    names = followed["What did the run see?"]
    assert names["store"].keys_at("run-7", step=2, rank=0) == names["batches"][2]["_key"]
    traced = names["store"].trace(names["batches"][0]["_key"][0].partition(":")[0])
    assert "run-7" in str(traced)


def test_the_settings_of_the_page_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    [exported] = SHELL
    for name, value in (pair.split("=", 1) for pair in exported.removeprefix("export ").split()):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.cache.dir, settings.cache.quota_gb) == ("/scratch/mmfs", 500)


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"\]\(((?!http)[\w./-]+)\)", PAGE)
    assert len(named) >= 5
    root = Path(__file__).resolve().parents[1]
    assert [name for name in named if not (root / "docs" / name).exists()] == []
