"""Pins with shape buckets, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mmfs.settings import Settings
from mmfs.store import Store
from tests.loader.world import World, frames_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    world = World(Store.open(tmp_path / "store", settings=Settings()))
    world.add_frames("000000", frames_of(range(3), 2), size_of=lambda key: (40, 30) if key[0] else (30, 40))
    return world.store.url


def test_a_pin_is_made_with_buckets_and_shows_how_they_are_filled(run: Run, url: str) -> None:
    buckets = ("--bucket", "224x288", "--bucket", "288x224")
    assert run("pin", "p", "-c", "frames.image", *buckets, "--store", url)[0] == 0
    code, out, _ = run("pins", "p", "--store", url)
    assert code == 0
    assert ["224x288", "2"] in [line.split() for line in out.splitlines()]
    assert ["288x224", "4"] in [line.split() for line in out.splitlines()]


def test_what_is_no_size_is_wrong_usage(run: Run, url: str) -> None:
    code, _, err = run("pin", "p", "-c", "frames.image", "--bucket", "224", "--store", url)
    assert code == 2
    assert "HEIGHTxWIDTH" in err
