"""Versions by run and by time, and what a pin says of where its tables come from."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

import mmfs.store.origin
import mmfs.store.versions
from mmfs.errors import IntegrityError, PinError
from mmfs.store.objects import ObjectInfo, Objects
from mmfs.store.origin import committing_as
from mmfs.store.pins import Pins
from mmfs.store.versions import find_version
from tests.loader.world import World, build_world, copy_world, frames_of

VECTOR, TABLE = "clip_embeddings.vector", "clip_embeddings"
FIRST, SECOND = "0b9de1a2-6d7f-4a3a-9f0e-1d2c3b4a5f60", "7c1f0c1e-2222-4a3a-9f0e-1d2c3b4a5f60"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Vectors of shard 0 written by one run, then by another one, then by hand."""
    world = build_world(tmp_path_factory.mktemp("versions") / "store")
    for model, run_id in ((1, FIRST), (2, SECOND)):
        with committing_as(run_id):
            world.add_vectors("000000", frames_of(range(10), 5), model=model)
            world.add_vectors("000001", frames_of(range(10, 17), 3), model=model)
    world.add_vectors("000000", frames_of(range(10), 5), model=3)
    return world


@pytest.fixture
def world(built: World, tmp_path: Path) -> World:
    return copy_world(built, tmp_path / "store")


def model_of(world: World, version: int) -> list[str]:
    rows = world.store.tables.read(TABLE, columns=["fingerprint"], version=version)
    return sorted(rows.column(0).unique().to_pylist())


def test_a_run_means_the_last_version_that_it_committed(world: World) -> None:
    log = world.store.tables.log
    assert model_of(world, find_version(log, TABLE, FIRST)) == ["v0", "v1"]
    assert model_of(world, find_version(log, TABLE, SECOND)) == ["v0", "v2"]
    pin = world.pin(columns=[VECTOR], versions={TABLE: SECOND})
    assert pin.tables[TABLE].version == world.store.tables.version(TABLE) - 1


@pytest.mark.parametrize("number", [-1, 10**15])
def test_a_number_that_is_no_version_yet_is_refused_at_once(world: World, number: int) -> None:
    newest = world.store.tables.version(TABLE)
    with pytest.raises(
        PinError, match=rf"version {number} of {TABLE} does not exist; the newest is {newest}; a time is given as"
    ):
        world.pin(columns=[VECTOR], versions={TABLE: number})


def test_a_run_that_is_not_known_names_those_that_are(world: World) -> None:
    with pytest.raises(PinError, match=f"run 'nothing' committed nothing to {TABLE}.*newest first: {SECOND}, {FIRST}"):
        world.pin(columns=[VECTOR], versions={TABLE: "nothing"})
    with pytest.raises(PinError, match="no run did; give a version or a time"):
        world.pin(columns=[VECTOR], versions={"frames": FIRST})


def test_a_time_means_the_newest_version_at_or_before_it(world: World) -> None:
    log = world.store.tables.log
    commits = list(log.commits(TABLE))
    assert [commit.version for commit in commits] == list(range(len(commits) - 1, -1, -1))
    for commit in commits:
        newest = max(other.version for other in commits if other.at_us <= commit.at_us)
        at = datetime.fromtimestamp(commit.at_us / 1e6, UTC)
        assert find_version(log, TABLE, at) == newest
        assert find_version(log, TABLE, at.replace(tzinfo=None)) == newest
        assert find_version(log, TABLE, at.astimezone(timezone(timedelta(hours=5))).isoformat()) == newest
    assert world.pin(columns=[VECTOR], versions={TABLE: "2999-01-01"}).tables[TABLE].version == commits[0].version


def test_a_time_before_the_first_version_names_it(world: World) -> None:
    with pytest.raises(PinError, match=f"{TABLE} had no version at 2020-01-01T00:00.*the first one known is 0, of 2"):
        world.pin(columns=[VECTOR], versions={TABLE: "2020-01-01"})


@pytest.mark.parametrize("wanted", [1.5, True, None, [3]])
def test_what_is_neither_number_run_nor_time_is_refused(world: World, wanted: object) -> None:
    with pytest.raises(PinError, match=r"gives .* for clip_embeddings.*a Dagster run id"):
        find_version(world.store.tables.log, TABLE, wanted)  # type: ignore[arg-type]


def test_a_version_that_was_vacuumed_is_said_to_be_gone(world: World) -> None:
    old = find_version(world.store.tables.log, TABLE, FIRST)
    world.store.vacuum(keep_days=0)
    with pytest.raises(PinError, match=rf"version {old} of {TABLE} is gone \(vacuumed\).*the newest is {old + 3}"):
        world.pin(columns=[VECTOR], versions={TABLE: FIRST})


def test_lineage_tells_runs_and_data_versions(world: World) -> None:
    lineage = world.pin(columns=[VECTOR]).lineage
    assert lineage[TABLE] == {
        "version": world.store.tables.version(TABLE),
        "shards": 3,
        "asset_key": TABLE,
        "data_versions": {shard: world.store.tables.digest(TABLE, shard) for shard in world.frames},
        "run_ids": [SECOND],
    }
    assert lineage["frames"]["run_ids"] == []
    assert world.pin("old", columns=[VECTOR], versions={TABLE: FIRST}).lineage[TABLE]["run_ids"] == [FIRST]


def test_the_lineage_of_a_pin_is_protected_like_the_rest_of_it(world: World) -> None:
    world.pin(columns=[VECTOR])
    text = world.store.objects.get("pins/p.json").decode()
    world.store.objects.put("pins/p.json", text.replace(SECOND, FIRST).encode())
    with pytest.raises(PinError, match="was changed"):
        Pins(world.store).get("p")


def test_a_pin_of_before_lineage_was_kept_is_still_read(world: World) -> None:
    pin = world.pin(columns=[VECTOR])
    old = pin.model_copy(
        update={
            "selected": None,
            "tables": {
                name: table.model_copy(update={"data_versions": {}, "run_ids": ()})
                for name, table in pin.tables.items()
            },
        }
    ).with_id()
    document = json.loads(old.model_dump_json())
    for table in document["tables"].values():
        del table["data_versions"], table["run_ids"]
    for name in ("live", "selected", "absent"):
        del document[name]
    world.store.objects.put("pins/p.json", json.dumps(document).encode())
    assert Pins(world.store).get("p") == old
    assert old.report() == "74 samples (frame) in 3 shards; every column complete"


def test_a_run_that_changes_nothing_commits_nothing(world: World) -> None:
    before = world.store.tables.version(TABLE)
    with committing_as(FIRST):
        world.add_vectors("000000", frames_of(range(10), 5), model=3)
    assert world.store.tables.version(TABLE) == before


def test_a_long_history_is_read_as_far_as_needed_and_each_commit_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs.store.log_entries._COMMITS_READ", 2)
    versions = [commit.version for commit in world.store.tables.log.commits(TABLE)]
    assert versions == list(range(world.store.tables.version(TABLE), -1, -1))
    assert next(world.store.tables.log.commits(TABLE)).version == versions[0]


def test_commits_that_vacuum_takes_while_the_log_is_read_are_where_it_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = world.store.tables.version(TABLE)
    list_log = type(world.store.objects).list

    def list_and_lose(objects: Objects, prefix: str = "") -> Iterator[ObjectInfo]:
        found = list(list_log(objects, prefix))
        for info in found:
            if info.path.endswith((f"{newest - 1:020}.json", f"{0:020}.json")):
                objects.delete(info.path)
        return iter(found)

    monkeypatch.setattr(type(world.store.objects), "list", list_and_lose)
    assert [commit.version for commit in world.store.tables.log.commits(TABLE)] == [newest]
    with pytest.raises(PinError, match=f"committed nothing to {TABLE} since version {newest}, where its log begins"):
        find_version(world.store.tables.log, TABLE, FIRST)


@pytest.mark.parametrize(
    "data", [b'{"commitInfo":', b'{"commitInfo":[]}', b'{"commitInfo":{"mmfs":"no JSON"}}', b"\xff"]
)
def test_a_commit_that_is_damaged_is_named(world: World, data: bytes) -> None:
    path = f"{TABLE}/_delta_log/{world.store.tables.version(TABLE):020}.json"
    world.store.objects.put(path, data)
    with pytest.raises(IntegrityError, match=f"{path} is no commit.*restore the file from a backup"):
        find_version(world.store.tables.log, TABLE, FIRST)


@pytest.mark.parametrize("wanted", ["nothing", "2020-01-01"])
def test_what_is_not_found_is_looked_for_once(world: World, monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    read, get = [], type(world.store.objects).get

    def counting(objects: Objects, path: str) -> bytes:
        read.append(path)
        return get(objects, path)

    monkeypatch.setattr(type(world.store.objects), "get", counting)
    with pytest.raises(PinError):
        find_version(world.store.tables.log, TABLE, wanted)
    assert len(read) == len(set(read)) == world.store.tables.version(TABLE) + 1


@pytest.mark.parametrize("wanted", ["nothing", "2020-01-01"])
def test_a_log_of_which_nothing_is_left_is_said_so(world: World, wanted: str) -> None:
    with pytest.raises(PinError, match="the log of absent holds no commit"):
        find_version(world.store.tables.log, "absent", wanted)


def test_examples_are_true() -> None:
    assert doctest.testmod(mmfs.store.origin).failed == 0
    assert doctest.testmod(mmfs.store.versions).failed == 0
