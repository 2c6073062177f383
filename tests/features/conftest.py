"""Stores whose models are tiny, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mmfs.settings import ClipConfig, DepthConfig, Settings
from mmfs.store import Store
from tests.features.tiny import add_frames, write_clip, write_depth


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tiny models gain nothing from more, and lose much where the machine is busy."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def clip_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def depth_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_depth(tmp_path_factory.mktemp("depth"))


@pytest.fixture
def clip_config(clip_dir: Path) -> ClipConfig:
    return ClipConfig(model=f"local-dir:{clip_dir}", batch_size=4)


@pytest.fixture
def depth_config(depth_dir: Path) -> DepthConfig:
    return DepthConfig(model=str(depth_dir), batch_size=4)


@pytest.fixture
def store(tmp_path: Path, clip_config: ClipConfig, depth_config: DepthConfig) -> Store:
    """An empty store whose models are the tiny ones."""
    return Store.open(tmp_path / "store", settings=Settings(clip=clip_config, depth=depth_config, device="cpu"))


@pytest.fixture
def frames(store: Store) -> Callable[..., None]:
    """`frames(range(10))`: make ten frames the store's shard."""

    def make(numbers: Sequence[int], **kwargs: object) -> None:
        add_frames(store, list(numbers), **kwargs)  # type: ignore[arg-type]

    return make
