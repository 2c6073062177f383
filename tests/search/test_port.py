"""The contract of the port: the same tests on every engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_DNS

import numpy as np
import pyarrow as pa
import pytest

from mmfs.errors import SearchError
from mmfs.search.conditions import EVERYTHING, NOTHING, AllOf, AnyOf, Equals, Ids, Missing, OneOf, Range, Without
from mmfs.search.inspect_build import other_vectors
from mmfs.search.points import point_id, shard_digests
from mmfs.search.port import Engine, Index, Published, Stored
from tests.search.engines import NAMES, SPACE, at, points, running

pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")


@pytest.fixture(params=NAMES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with running(request.param, tmp_path) as made:
        yield made


@pytest.fixture(scope="module", params=NAMES)
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Sixty points of two shards."""
    with running(request.param, tmp_path_factory.mktemp("engine")) as made:
        make(made, "1", range(60)).publish()
        opened = made.open(SPACE, "1")
        yield opened
        opened.close()


def make(made: Engine, build_id: str, numbers: range, *, base: str | None = None, mark: str = "a"):  # type: ignore[no-untyped-def]
    build = made.begin(SPACE, build_id, base=base)
    build.upsert(points(numbers[: len(numbers) // 2], "000000", mark=mark))
    build.upsert(points(numbers[len(numbers) // 2 :], "000001", mark=mark))
    build.finish()
    return build


def numbers(index: Index, condition: object) -> set[int]:
    return {int(hit.media_id, 16) for hit in index.query(at(0), 100, condition=condition, exact=True)}  # type: ignore[arg-type]


def test_the_nearest_come_first_with_their_keys_and_scores(index: Index) -> None:
    hits = index.query(at(20.2), 3)
    assert [int(hit.media_id, 16) for hit in hits] == [20, 21, 19]
    assert hits[0].id == point_id(NAMESPACE_DNS, "20")
    assert (hits[0].index, hits[0].shard, hits[2].shard) == (0, "000000", "000000")
    assert hits[0].score == pytest.approx(np.cos(np.deg2rad(1)), abs=1e-3)


def test_vectors_come_back_by_id_at_unit_length(index: Index) -> None:
    known, unknown = point_id(NAMESPACE_DNS, "7"), point_id(NAMESPACE_DNS, "none")
    found = index.vectors([known, unknown])
    assert list(found) == [known]
    assert found[known] == pytest.approx(at(7), abs=1e-3)
    assert index.query(at(7), 1, with_vectors=True)[0].vector == pytest.approx(at(7), abs=1e-3)


def test_vectors_that_differ_from_the_table_s_by_more_than_rounding_are_told(index: Index) -> None:
    table = points(range(60))
    assert list(other_vectors(index, table)) == []
    flat = table.column("vector").flatten().to_numpy().copy()
    flat[7 * 4] *= 1.01
    flat[31 * 4 + 2] = 0.001
    moved = pa.FixedSizeListArray.from_arrays(pa.array(flat), 4)
    table = table.set_column(table.schema.get_field_index("vector"), "vector", moved)
    assert list(other_vectors(index, table)) == [point_id(NAMESPACE_DNS, name) for name in ("7", "31")]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (Equals("raw_media__kind", "video"), [n for n in range(60) if n % 3 and n % 2 == 0]),
        (Equals("raw_media__width", 70), [7]),
        (Equals("frames__is_keyframe", 1), [n for n in range(60) if n % 2]),
        (OneOf("raw_media__kind", ("video", "image")), [n for n in range(60) if n % 3]),
        (OneOf("raw_media__width", (70, 90, 80)), [7, 9]),
        (Range("raw_media__width", gt=70, lte=90), [9]),
        (Range("raw_media__fps", gte=2.5, lt=3.0), [10, 11]),
        (Missing("raw_media__kind"), [n for n in range(60) if n % 3 == 0]),
        (Without(Missing("raw_media__width")), [n for n in range(60) if n % 4]),
        (Without(Equals("raw_media__kind", "video")), [n for n in range(60) if not (n % 3 and n % 2 == 0)]),
        (Ids(frozenset({point_id(NAMESPACE_DNS, "3"), point_id(NAMESPACE_DNS, "gone")})), [3]),
        (
            AnyOf(
                (Equals("raw_media__width", 70), AllOf((Missing("raw_media__width"), Range("raw_media__fps", lt=1.0))))
            ),
            [0, 7],
        ),
        (AnyOf(()), []),
        (NOTHING, []),
        (EVERYTHING, list(range(60))),
    ],
)
def test_conditions_choose_exactly_these(index: Index, condition: object, expected: list[int]) -> None:
    assert numbers(index, condition) == set(expected)
    assert index.count(condition) == len(expected)  # type: ignore[arg-type]


def test_points_are_counted_scrolled_and_faceted(index: Index) -> None:
    assert index.count() == 60
    assert index.estimate(EVERYTHING) == 60
    assert 0 <= index.estimate(Equals("raw_media__kind", "video")) <= 60
    assert {(point.shard, point.row_hash) for point in index.scroll(shard="000001")} == {
        ("000001", f"a{n}") for n in range(30, 60)
    }
    assert index.facet("raw_media__kind", limit=5) == {"video": 20, "image": 20}
    assert index.facet("shard", limit=5, condition=Equals("raw_media__width", 70)) == {"000000": 1}


def test_a_build_answers_once_it_is_published_and_rollback_brings_back_the_one_before(empty: Engine) -> None:
    make(empty, "1", range(10)).publish()
    with pytest.raises(SearchError, match="no build of"):
        empty.rollback(SPACE.name)
    build = make(empty, "2", range(20))
    assert empty.published(SPACE.name) == Published("1", None)
    assert empty.open(SPACE, "1").count() == 10
    build.publish()
    assert empty.published(SPACE.name) == Published("2", "1")
    assert empty.open(SPACE, "2").count() == 20
    assert empty.rollback(SPACE.name) == "1"
    assert empty.published(SPACE.name) == Published("1", "2")
    assert empty.open(SPACE, "1").count() == 10


def test_a_build_may_begin_with_another_which_stays_as_it_is(empty: Engine) -> None:
    make(empty, "1", range(10)).publish()
    build = empty.begin(SPACE, "2", base="1")
    build.delete([point_id(NAMESPACE_DNS, "3"), point_id(NAMESPACE_DNS, "never there")])
    build.upsert(points(range(4, 5), "000009", mark="new"))
    stats = build.finish()
    build.publish()
    assert {shard: found.rows for shard, found in stats.shards.items()} == {"000000": 3, "000001": 5, "000009": 1}
    assert empty.open(SPACE, "1").count() == 10
    changed = empty.open(SPACE, "2")
    assert changed.count() == 9
    assert [point.row_hash for point in changed.scroll(shard="000009")] == ["new4"]
    unfinished = empty.begin(SPACE, "3", base="2")
    unfinished.delete([point_id(NAMESPACE_DNS, "5")])
    unfinished.abandon()
    assert empty.builds(SPACE.name) == ["1", "2"]


def test_finishing_reads_back_what_the_build_holds_and_finds_vectors_that_differ(empty: Engine) -> None:
    build = empty.begin(SPACE, "1", base=None)
    build.upsert(points(range(50)))
    ids = points(range(0, 50, 5)).column("id")
    probes = points(range(0, 50, 5)).select(["id", "vector"])
    moved = points(range(100, 101)).column("vector")
    probes = probes.set_column(1, "vector", pa.concat_arrays([moved, probes.column("vector").slice(1)]))
    stats = build.finish(probes)
    wanted = [Stored(point_id(NAMESPACE_DNS, str(n)), "000000", f"a{n}") for n in range(50)]
    assert dict(stats.shards) == shard_digests(wanted)
    assert stats.recall == pytest.approx(1.0)
    assert [lost.bytes for lost in stats.lost_probes] == [ids[0].as_py()]
    build.abandon()


def test_shards_that_were_not_touched_may_be_counted_only(empty: Engine) -> None:
    make(empty, "1", range(20)).publish()
    build = empty.begin(SPACE, "2", base="1")
    build.delete([point_id(NAMESPACE_DNS, "3")])
    build.upsert(points(range(4, 5), "000000", mark="new"))
    shards = build.finish(touched=["000000"]).shards
    wanted = [Stored(point_id(NAMESPACE_DNS, str(n)), "000000", f"{'new' if n == 4 else 'a'}{n}") for n in range(10)]
    assert shards["000000"] == shard_digests(point for point in wanted if point.row_hash != "a3")["000000"]
    assert shards["000001"].rows == 10
    whole = shard_digests(Stored(point_id(NAMESPACE_DNS, str(n)), "000001", f"a{n}") for n in range(10, 20))["000001"]
    assert shards["000001"].digest in (None, whole.digest)
    build.abandon()
