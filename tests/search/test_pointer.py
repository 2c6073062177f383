"""The document that names the build that answers: damage is told, and written over; builds change while one reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfs.errors import MissingObjectError
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.pointer import next_pointer, parse_pointer, read_published
from mmfs.search.port import DamagedBuildError, Engine, Published
from mmfs.store import Objects
from tests.search.engines import SPACE, engine, points

DAMAGED = [b"", b"{", b"\xff", b"5", b"[]", b"{}", b'{"current": 5, "previous": null}']
DAMAGED += [b'{"current": "1", "prevIous": null}', b'{"current": "../1", "previous": null}']
DAMAGED += [b'{"current": "1", "previous": "a/b"}', b'{"current": "", "previous": null}']


class Moving(EdgeEngine):
    """An engine whose pointer has another answer at each look; the last one stays."""

    answers: list[str]

    def published(self, space: str) -> Published:
        return Published(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


def test_each_document_names_the_build_and_the_one_before_it() -> None:
    first = next_pointer(None, "1")
    second = next_pointer(first, "2")
    assert [parse_pointer(raw, where="here") for raw in (None, first, second)] == [
        Published(),
        Published("1", None),
        Published("2", "1"),
    ]
    assert next_pointer(second, "2") == second
    assert parse_pointer(next_pointer(second, "3", mends=True), where="here") == Published("3", "1")


@pytest.mark.parametrize("raw", DAMAGED)
def test_a_damaged_document_is_named_and_names_nothing_to_the_next(raw: bytes) -> None:
    with pytest.raises(DamagedBuildError, match="pointer") as caught:
        parse_pointer(raw, where="index/x/current.json")
    assert caught.value.where == "index/x/current.json"
    assert parse_pointer(next_pointer(raw, "2"), where="here") == Published("2", None)


@pytest.mark.parametrize("name", ["edge", "bucket"])
def test_publishing_writes_over_a_damaged_pointer_and_rolling_back_says_that_it_is_damaged(
    name: str, tmp_path: Path
) -> None:
    made = engine(name, tmp_path)
    objects: Objects = made._objects  # type: ignore[attr-defined]
    publish(made, "1")
    objects.put(f"index/{SPACE.name}/current.json", b'{"current": "')
    for ask in (made.published, made.rollback):
        with pytest.raises(DamagedBuildError, match="pointer"):
            ask(SPACE.name)
    publish(made, "2")
    assert made.published(SPACE.name) == Published("2", None)
    assert made.open(SPACE, "2").count() == 5


def publish(made: Engine, build_id: str) -> None:
    build = made.begin(SPACE, build_id, base=None)
    build.upsert(points(range(5)))
    build.finish()
    build.publish()


def test_a_build_that_was_cleared_away_meanwhile_is_no_damage_and_one_that_is_still_named_is(tmp_path: Path) -> None:
    moving = Moving(Objects.open(tmp_path))

    def read(published: Published) -> str | None:
        if published.current != "3":
            raise MissingObjectError("it is gone", mend="look again")
        return published.current

    moving.answers = ["1", "2", "2", "3"]
    assert read_published(moving, SPACE.name, read) == "3"
    moving.answers = ["1", "2", "2"]
    with pytest.raises(MissingObjectError):
        read_published(moving, SPACE.name, read)
