"""Fixtures: one world for all tests that only read, a copy for each that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loader.world import World, build_world, copy_world
from tests.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def built_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("world") / "store")


@pytest.fixture
def world(built_world: World, tmp_path: Path) -> World:
    return copy_world(built_world, tmp_path / "store")


@pytest.fixture(scope="session")
def s3_of_the_session() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def built_s3_world(s3_of_the_session: S3Server) -> World:
    with pytest.MonkeyPatch.context() as variables:
        s3_of_the_session.use(variables)
        return build_world(s3_of_the_session.make_bucket("session") + "/store")


@pytest.fixture
def s3(s3_of_the_session: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server that breaks nothing yet; what is read of it is counted from here."""
    s3_of_the_session.use(monkeypatch)
    s3_of_the_session.count_anew()
    yield s3_of_the_session
    s3_of_the_session.count_anew()


@pytest.fixture
def s3_world(s3: S3Server, built_s3_world: World) -> World:
    """What `built_world` holds, on S3; not to be changed."""
    return built_s3_world
