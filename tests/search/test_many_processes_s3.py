"""The same dangers for an index in a bucket: killed builders, builders on two machines, readers meanwhile."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmfs.search import build_index
from mmfs.settings import Settings
from mmfs.store import Store
from tests.s3 import s3_server
from tests.search.processes import TABLE, builder, reader
from tests.search.test_many_processes import SHARDS, change, check_converged, check_published, kill_builders

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A prefix of a bucket, for a machine whose cache and lock files are its own."""
    with s3_server() as server:
        server.use(monkeypatch)
        own_machine(tmp_path / "here", monkeypatch)
        yield f"{server.make_bucket('stores')}/it"


def own_machine(folder: Path, variables: pytest.MonkeyPatch) -> None:
    """From now on processes share no disk with those that were started before."""
    for name in ("XDG_CACHE_HOME", "TMPDIR"):
        (folder / name).mkdir(parents=True)
        variables.setenv(name, str(folder / name))
    variables.setattr(tempfile, "tempdir", None)


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_builder_killed_at_any_of_three_moments_leaves_a_whole_build_in_the_bucket(place: str) -> None:
    kill_builders(place, 3, seed=3)


def test_of_builders_on_two_machines_one_may_be_refused_and_none_breaks_the_index(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(place, settings=Settings(device="cpu"))
    change(store, 0, small=True)
    build_index(store, TABLE, SHARDS)
    change(store, 1, small=False)
    here = builder(store, SHARDS[:1])
    own_machine(tmp_path / "there", monkeypatch)
    there = builder(store, SHARDS[1:])
    readers = [reader(store) for _ in range(2)]
    for process in (here, there):
        go_on(process)
    said = [process.communicate(timeout=120)[1] for process in (here, there)]
    assert 0 in (here.returncode, there.returncode), said
    for process, errors in zip((here, there), said, strict=True):
        assert process.returncode == 0 or "was published meanwhile" in errors
    check_published(store)
    build_index(store, TABLE, SHARDS)
    check_converged(store)
    told = [process.communicate("\n", timeout=60) for process in readers]
    assert [process.returncode for process in readers] == [0, 0], [errors for _, errors in told]
    for out, _ in told:
        for counts in json.loads(out.splitlines()[-1])["seen"].values():
            assert all(found == indexed for found, indexed in counts)
