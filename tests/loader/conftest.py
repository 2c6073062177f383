"""Fixtures: one world for all tests that only read, a copy for each that changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loader.world import World, build_world, copy_world


@pytest.fixture(scope="session")
def built_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world") / "store")


@pytest.fixture
def world(built_world: World, tmp_path: Path) -> World:
    return copy_world(built_world, tmp_path / "store")
