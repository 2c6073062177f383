"""Pins and runs on the command line."""

from __future__ import annotations

import doctest
import json

import pyarrow as pa
import pytest

import mmfs.cli.output
import mmfs.cli.reproduce
from mmfs.loader import Loader
from mmfs.store import Store
from mmfs.store.origin import committing_as
from mmfs.store.pins import Pins
from tests.cli.conftest import Run
from tests.conftest import add_frames, add_media, media_id

RUN_ID = "0b9de1a2-6d7f-4a3a-9f0e-1d2c3b4a5f60"


@pytest.fixture
def url(store: Store) -> str:
    add_media(store, "000000", range(3))
    with committing_as(RUN_ID):
        add_frames(store, "000000", range(3), per_media=2)
    return store.url


def test_a_new_pin_says_what_it_covers(run: Run, url: str) -> None:
    code, out, _ = run("pin", "all", "-c", "frames.time_s", "-c", "raw_media.fps", "--missing", "null", "--store", url)
    assert code == 0
    assert "6 samples (frame) in 1 shard; raw_media.fps: 0.0 % of the selected frames" in " ".join(out.split())


def test_versions_are_chosen_by_number_by_run_and_by_time(run: Run, store: Store, url: str) -> None:
    first = store.tables.version("frames")
    add_frames(store, "000001", range(3, 4), per_media=2)
    for name, version in (("a", str(first)), ("b", RUN_ID)):
        code, out, _ = run(
            "pin", name, "-c", "frames.time_s", "--version", f"frames={version}", "--store", url, "--json"
        )
        assert (code, json.loads(out)["tables"]["frames"]["version"]) == (0, first)
    code, out, _ = run("pin", "c", "-c", "frames.time_s", "--version", "frames=2999-01-01", "--store", url, "--json")
    assert json.loads(out)["tables"]["frames"]["version"] == first + 1
    code, _, err = run("pin", "d", "-c", "frames.time_s", "--version", "frames=2001-01-01", "--store", url)
    assert (code, "the first one known is 0" in err) == (1, True)
    assert run("pin", "e", "-c", "frames.time_s", "--version", "frames", "--store", url)[0] == 2


def test_one_pin_is_shown_with_its_origin_and_what_was_taken_down_since(run: Run, store: Store, url: str) -> None:
    Pins(store).create("all", columns=["frames.time_s"], now_us=1)
    store.tables.update("tombstones", "all", lambda _: pa.table({"media_id": [media_id(1)]}))
    code, out, _ = run("pins", "all", "--store", url)
    text = " ".join(out.split())
    assert code == 0
    assert "every column complete; 2 samples were taken down since the pin was made" in text
    assert "1970-01-01 00:00:00 UTC" in text
    assert RUN_ID in text
    code, out, _ = run("pins", "all", "--store", url, "--json")
    assert json.loads(out)["name"] == "all"
    assert "no pin 'none'" in run("pins", "none", "--store", url)[2]


def test_runs_are_listed_with_their_restarts(run: Run, store: Store, url: str) -> None:
    pin = Pins(store).create("all", columns=["frames.time_s"], now_us=1)
    for batch_size in (4, 2):
        list(Loader(store, pin, run="run-7", batch_size=batch_size, rank=0, world_size=1))
    code, out, _ = run("runs", "--store", url)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines() if "run-7" in line]
    assert [(" 0 to 2 " in line, "1 x 4" in line) for line in lines] == [(True, True), (False, False)]
    code, out, _ = run("runs", "--store", url, "--json")
    assert [row["batch_size"] for row in json.loads(out)] == [4, 2]


def test_examples_are_true() -> None:
    assert doctest.testmod(mmfs.cli.output).failed == 0
    assert doctest.testmod(mmfs.cli.reproduce).failed == 0
