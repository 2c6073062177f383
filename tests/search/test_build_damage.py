"""What is published may be damaged, or replaced by another machine meanwhile: runs tell the two apart, and mend."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from mmfs.errors import IntegrityError, MissingObjectError, SearchError
from mmfs.search import Hits, SearchQuery, build, build_index, search
from mmfs.search.bucket_engine import BucketEdgeEngine
from mmfs.search.checks import index_differences
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.engines import engine_of
from mmfs.search.manifest import manifest_path, read_manifest, read_points_file, spaces_of
from mmfs.search.port import DamagedBuildError, Engine, Published
from mmfs.search.spaces_open import OpenSpaces
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.search.engines import bucket, engine
from tests.search.world import ColourEmbeddings, OtherEmbeddings, media, write_shard

Ask = Callable[..., Hits]
TABLE = "colour_embeddings"
SHARDS = ["000000", "000001"]

pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")


@pytest.fixture
def many_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Builders do not wait for one another, as on machines that share no disk."""
    monkeypatch.setattr(build, "space_lock", lambda *_: contextlib.nullcontext())


def space_of(store: Store) -> str:
    (space,) = spaces_of(store.objects, TABLE)
    return space


def changed(store: Store, number: int) -> None:
    """Another row in the second shard."""
    write_shard(store, "000001", [media(10, "red", frames=12, width=1920, height=1080), media(number, "green")])


def differences(store: Store, engine: Engine) -> list[object]:
    return [one for shard in SHARDS for one in index_differences(store, TABLE, shard, engine=engine)]


@pytest.mark.usefixtures("many_machines")
def test_a_run_without_work_spares_the_build_of_a_machine_whose_clock_is_behind(fresh: Store, tmp_path: Path) -> None:
    objects = bucket(MemoryStore())
    here, there, reader = (BucketEdgeEngine(objects, tmp_path / name) for name in ("here", "there", "reader"))
    build_index(fresh, TABLE, SHARDS, engine=here, now_us=2000)
    changed(fresh, 12)

    def no_work_elsewhere() -> None:
        assert build_index(fresh, TABLE, ["000000"], engine=there, now_us=3000)["000000"].computed == 0

    with arm("search.before_publish", no_work_elsewhere):
        report = build_index(fresh, TABLE, ["000001"], engine=here, now_us=1500)["000001"]
    assert report.build_id > f"{2000:016d}-ffff"
    assert differences(fresh, reader) == []


@pytest.mark.parametrize("name", ["edge", "bucket"])
def test_a_damaged_pointer_is_told_and_the_next_run_builds_anew_though_no_row_changed(
    name: str, fresh: Store, tmp_path: Path
) -> None:
    made = EdgeEngine(fresh.objects) if name == "edge" else engine(name, tmp_path)
    before = build_index(fresh, TABLE, SHARDS, engine=made)["000000"].build_id
    made._objects.put(f"index/{space_of(fresh)}/current.json", b'{"current": "')  # type: ignore[attr-defined]
    with pytest.raises(DamagedBuildError, match=r"pointer .* is damaged.*materialize qdrant_index --all"):
        index_differences(fresh, TABLE, "000000", engine=made)
    report = build_index(fresh, TABLE, ["000000"], engine=made)["000000"]
    assert report.indexed_rows == 23
    assert made.published(space_of(fresh)) == Published(report.build_id, None)
    assert report.build_id > before
    assert differences(fresh, made) == []


def test_a_damaged_pointer_of_one_model_keeps_no_other_from_answering(fresh: Store, ask: Ask) -> None:
    build_index(fresh, TABLE, SHARDS)
    mine = space_of(fresh)
    write_shard(fresh, "000001", [media(10, "red")], model=OtherEmbeddings())
    build_index(fresh, TABLE, SHARDS)
    [other] = set(spaces_of(fresh.objects, TABLE)) - {mine}
    fresh.objects.put(f"index/{other}/current.json", b"{")
    assert len(ask(fresh, "red", k=3)) == 3
    with pytest.raises(DamagedBuildError, match="pointer"):
        ask(fresh, "red", encoder=OtherEmbeddings())


def other_model(store: Store, shards: list[str]) -> tuple[str, str]:
    """Let another model compute these shards, and index them; names of the spaces of the first model and of this."""
    build_index(store, TABLE, SHARDS)
    before = space_of(store)
    for number, shard in enumerate(shards):
        write_shard(store, shard, [media(10 * number, "red"), media(10 * number + 1, "green")], model=OtherEmbeddings())
    build_index(store, TABLE, shards)
    [after] = set(spaces_of(store.objects, TABLE)) - {before}
    return before, after


def any_model(store: Store) -> str:
    """Name of the space that answers where any model will do."""
    opened = OpenSpaces(store, engine_of(store)).get(TABLE, fingerprint=None, model=None)
    opened.index.close()
    return opened.manifest.space.name


def damage(store: Store, space: str, part: str) -> None:
    build_id = engine_of(store).published(space).current
    assert build_id is not None
    store.objects.put(f"index/{space}/current.json" if part == "pointer" else manifest_path(space, build_id), b"{")


@pytest.mark.parametrize("part", ["pointer", "description"])
def test_damage_of_a_model_that_computed_no_row_any_more_keeps_nothing_from_answering(part: str, fresh: Store) -> None:
    outdated, used = other_model(fresh, SHARDS)
    damage(fresh, outdated, part)
    assert any_model(fresh) == used
    neighbours = SearchQuery(like=(f"{0:032x}:0",), space=TABLE, k=3)
    assert len(search(fresh, neighbours, ColourEmbeddings())) == 3
    with pytest.raises(SearchError, match=rf"was built with .*\({used[-12:]}\), but queries .*materialize {TABLE}"):
        search(fresh, SearchQuery(text="red", space=TABLE), ColourEmbeddings())


@pytest.mark.parametrize("part", ["pointer", "description"])
def test_damage_of_a_model_in_use_is_told_and_mended_as_it_says(part: str, fresh: Store) -> None:
    older, newer = other_model(fresh, ["000001"])
    damage(fresh, older if part == "pointer" else newer, part)
    with pytest.raises(DamagedBuildError, match=r"run `mmfs materialize qdrant_index --all`"):
        any_model(fresh)
    build_index(fresh, TABLE, SHARDS)
    assert any_model(fresh) in (older, newer)


def test_damage_is_told_where_nobody_can_tell_which_models_are_in_use(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    outdated, _ = other_model(fresh, SHARDS)
    damage(fresh, outdated, "pointer")

    def damaged(*_: object) -> None:
        raise IntegrityError("a footer is damaged", mend="run `mmfs verify --deep`")

    monkeypatch.setattr(type(fresh.tables), "commit_infos", damaged)
    with pytest.raises(DamagedBuildError, match="the pointer to the build that answers is damaged"):
        any_model(fresh)


def test_where_only_damage_of_outdated_models_is_left_the_index_is_to_be_materialized(fresh: Store) -> None:
    build_index(fresh, TABLE, SHARDS)
    damage(fresh, space_of(fresh), "pointer")
    for shard in SHARDS:
        write_shard(fresh, shard, [media(int(shard), "red")], model=OtherEmbeddings())
    with pytest.raises(SearchError, match="there is no index of colour_embeddings yet; materialize qdrant_index"):
        any_model(fresh)


def test_a_model_whose_description_is_damaged_is_named_by_its_fingerprint(fresh: Store) -> None:
    build_index(fresh, TABLE, SHARDS)
    damage(fresh, space_of(fresh), "description")
    with pytest.raises(SearchError, match=rf"with a model whose name is lost \({space_of(fresh)[-12:]}\), but queries"):
        search(fresh, SearchQuery(text="red", space=TABLE), OtherEmbeddings())


@pytest.mark.parametrize("name", ["edge", "bucket", "memory"])
def test_a_damaged_build_is_replaced_and_nobody_can_go_back_to_it(name: str, fresh: Store, tmp_path: Path) -> None:
    made = EdgeEngine(fresh.objects) if name == "edge" else engine(name, tmp_path)
    builds = []
    for number in (12, 13):
        changed(fresh, number)
        builds.append(build_index(fresh, TABLE, SHARDS, engine=made)["000001"].build_id)
    fresh.objects.delete(manifest_path(space_of(fresh), builds[1]))
    builds.append(build_index(fresh, TABLE, SHARDS, engine=made)["000001"].build_id)
    assert made.published(space_of(fresh)) == Published(builds[2], builds[0])
    assert made.builds(space_of(fresh)) == [builds[0], builds[2]]
    assert made.rollback(space_of(fresh)) == builds[0]
    with contextlib.closing(
        made.open(read_manifest(fresh.objects, space_of(fresh), builds[0]).space, builds[0])
    ) as back:
        assert back.count() == 23


def test_a_table_that_could_not_be_read_for_once_leaves_the_build_to_go_back_to(
    fresh: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = engine("memory", tmp_path)
    first = build_index(fresh, TABLE, SHARDS, engine=made)["000001"].build_id
    changed(fresh, 12)
    shard_source, asked = build.shard_source, iter([True])

    def gone_at_first(*arguments: Any) -> Any:
        if next(asked, False):
            raise MissingObjectError("a file was vacuumed", mend="read it again")
        return shard_source(*arguments)

    monkeypatch.setattr(build, "shard_source", gone_at_first)
    second = build_index(fresh, TABLE, SHARDS, engine=made)["000001"].build_id
    assert made.published(space_of(fresh)) == Published(second, first)


@pytest.mark.parametrize("part", range(8))
def test_a_flipped_bit_in_a_file_of_points_is_seen_and_the_changed_shard_is_built_anew(
    part: int, fresh: Store, tmp_path: Path
) -> None:
    made = engine("memory", tmp_path)
    build_id = build_index(fresh, TABLE, SHARDS, engine=made)["000001"].build_id
    path = read_manifest(fresh.objects, space_of(fresh), build_id).shards["000001"].points
    data = bytearray(fresh.objects.get(path))
    data[part * len(data) // 8] ^= 4
    fresh.objects.put(path, bytes(data))
    with pytest.raises(DamagedBuildError, match="not those that were written"):
        read_points_file(fresh.objects, path)
    changed(fresh, 12)
    assert build_index(fresh, TABLE, ["000001"], engine=made)["000001"].computed == 13
    assert differences(fresh, made) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"shards": {', b'"shards": [], "x": {'),
        (b'"rows": 10', b'"rows": "a"'),
        (b'"build_id": "1', b'"build_id": "2'),
        (b'"points": "index', b'"points": "/ndex'),
    ],
)
def test_a_description_that_is_not_one_is_damaged(old: bytes, new: bytes, fresh: Store, tmp_path: Path) -> None:
    made = engine("memory", tmp_path)
    build_id = build_index(fresh, TABLE, SHARDS, engine=made)["000000"].build_id
    path = manifest_path(space_of(fresh), build_id)
    assert old in fresh.objects.get(path)
    fresh.objects.put(path, fresh.objects.get(path).replace(old, new, 1))
    with pytest.raises(DamagedBuildError, match="description"):
        read_manifest(fresh.objects, space_of(fresh), build_id)
    assert build_index(fresh, TABLE, ["000000"], engine=made)["000000"].indexed_rows == 23


def test_a_build_that_was_replaced_while_it_was_looked_at_is_not_taken_for_damaged(fresh: Store) -> None:
    old = build_index(fresh, TABLE, ["000000"])["000000"].build_id
    new = build_index(fresh, TABLE, ["000001"])["000001"].build_id
    EdgeEngine(fresh.objects).remove(space_of(fresh), old)

    class Late(EdgeEngine):
        """Tells of the old build at the first look, as to one who looked just before it was replaced."""

        looks = 0

        def published(self, space: str) -> Published:
            self.looks += 1
            return Published(old) if self.looks == 1 else super().published(space)

    reports = build_index(fresh, TABLE, SHARDS, engine=Late(fresh.objects))
    assert {report.computed for report in reports.values()} == {0}
    assert EdgeEngine(fresh.objects).published(space_of(fresh)).current == new
    assert index_differences(fresh, TABLE, "000001", engine=Late(fresh.objects)) == []


def test_a_base_that_cannot_be_carried_over_is_told_and_built_anew(
    fresh: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build_index(fresh, TABLE, SHARDS)
    changed(fresh, 12)
    begin = EdgeEngine.begin

    def damaged(self, space, build_id, *, base):  # type: ignore[no-untyped-def]
        if base is not None:
            raise IntegrityError("bytes are lost", where="a file", mend="build anew")
        return begin(self, space, build_id, base=base)

    monkeypatch.setattr(EdgeEngine, "begin", damaged)
    report = build_index(fresh, TABLE, ["000001"])["000001"]
    assert report.indexed_rows == 23
    assert differences(fresh, EdgeEngine(fresh.objects)) == []
    assert EdgeEngine(fresh.objects).published(space_of(fresh)) == Published(report.build_id, None)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"the index {space_of(fresh)} is built anew from its tables: bytes are lost [a file]"


def test_a_build_that_is_gone_is_told_before_another_is_made(fresh: Store, caplog: pytest.LogCaptureFixture) -> None:
    build_id = build_index(fresh, TABLE, SHARDS)["000000"].build_id
    path = manifest_path(space_of(fresh), build_id)
    fresh.objects.delete(path)
    build_index(fresh, TABLE, SHARDS)
    [record] = caplog.records
    assert record.getMessage().endswith(f"the description of build {build_id} is gone [{path}]")
    build_index(fresh, TABLE, SHARDS)
    assert len(caplog.records) == 1, "nothing is damaged any more"


def test_a_build_that_is_given_up_leaves_no_description(fresh: Store, tmp_path: Path) -> None:
    made = engine("memory", tmp_path)

    def fails() -> None:
        raise RuntimeError("the machine is shut down")

    with arm("search.before_publish", fails), pytest.raises(RuntimeError):
        build_index(fresh, TABLE, SHARDS, engine=made)
    assert [found.path for found in fresh.objects.list("index") if found.path.endswith("manifest.json")] == []


@pytest.mark.usefixtures("many_machines")
def test_a_description_is_not_written_for_a_build_that_was_cleared_away_meanwhile(
    fresh: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows changed in columns that points do not hold, so that only the description of the build is behind."""
    made = engine("memory", tmp_path)
    old = build_index(fresh, TABLE, SHARDS, engine=made)["000000"].build_id
    raw = fresh.tables.read("raw_media", shard="000000").drop_columns("shard")
    uris = raw.schema.get_field_index("uri")
    fresh.tables.update(
        "raw_media", "000000", lambda _: raw.set_column(uris, "uri", raw.column("uri").take([3, 2, 1, 0]))
    )
    write = build.write_manifest
    builds: list[str] = []

    def publish_elsewhere(*arguments: object) -> None:
        monkeypatch.setattr(build, "write_manifest", write)
        for number in (12, 13):
            changed(fresh, number)
            builds.append(build_index(fresh, TABLE, ["000001"], engine=made)["000001"].build_id)
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "write_manifest", publish_elsewhere)
    with pytest.raises(SearchError, match="was published meanwhile"):
        build_index(fresh, TABLE, ["000000"], engine=made)
    assert made.builds(space_of(fresh)) == builds
    assert not fresh.objects.exists(manifest_path(space_of(fresh), old))
    assert build_index(fresh, TABLE, SHARDS, engine=made)["000000"].computed == 0
    assert differences(fresh, made) == []
