"""The server engine over real HTTP to a stand-in that misbehaves: what passes is outlasted, the rest is named."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmfs.errors import SearchError
from mmfs.search import Searcher, SearchQuery, build_index, server
from mmfs.search.checks import index_differences
from mmfs.search.conditions import Equals
from mmfs.search.port import Published
from mmfs.search.retry import Retry
from mmfs.search.server import ServerEngine
from mmfs.settings import Settings
from mmfs.store import Store
from tests.search.conftest import fill
from tests.search.engines import SPACE, at, points
from tests.search.stand_in import StandIn, stand_in
from tests.search.world import media, write_shard

pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")
PASSING = ("unavailable", "exhausted", "busy", "reset", "lost reply", "cut")


@pytest.fixture
def standing() -> Iterator[StandIn]:
    with stand_in() as listening:
        yield listening


def engine(standing: StandIn, *, deadline_s: float = 30.0) -> ServerEngine:
    retry = Retry(deadline_s=deadline_s, sleep=lambda _: None)
    return ServerEngine.connect(standing.url, None, namespace="test", retry=retry)


@pytest.mark.parametrize("fault", PASSING)
def test_every_request_may_fail_twice_in_a_way_that_passes_and_the_build_is_whole(
    standing: StandIn, fault: str
) -> None:
    failed: dict[tuple[str, str], int] = {}

    def twice(_number: int, method: str, path: str) -> str | None:
        failed[method, path] = failed.get((method, path), 0) + 1
        return fault if failed[method, path] <= 2 else None

    standing.fault = twice
    made = engine(standing)
    build = made.begin(SPACE, "1", base=None)
    build.upsert(points(range(30)))
    build.publish()
    build = made.begin(SPACE, "2", base="1")
    build.upsert(points(range(30, 60), "000001"))
    build.delete([point.id for point in made.open(SPACE, "1").scroll() if point.row_hash == "a7"])
    stats = build.finish()
    assert {shard: held.rows for shard, held in stats.shards.items()} == {"000000": 29, "000001": 30}
    build.publish()
    assert made.published(SPACE.name) == Published("2", "1")
    index = made.open(SPACE, "2")
    assert [int(hit.media_id, 16) for hit in index.query(at(30), 3)] == [30, 31, 29]
    assert index.count(Equals("raw_media__width", 90)) == 1
    assert index.facet("shard", limit=5) == {"000000": 29, "000001": 30}
    assert made.rollback(SPACE.name) == "1"
    made.remove(SPACE.name, "2")
    assert made.builds(SPACE.name) == ["1"]


def test_a_store_is_built_refreshed_and_searched_over_a_connection_that_fails_at_random(
    standing: StandIn, tmp_path: Path
) -> None:
    draw = random.Random(3)
    standing.fault = lambda *_: draw.choice(PASSING) if draw.random() < 0.2 else None
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    fill(store)
    made = engine(standing)
    build_index(store, "colour_embeddings", ["000000", "000001"], engine=made)
    write_shard(store, "000001", [media(10, "red", frames=12, width=1920), media(11, "green", width=101)])
    build_index(store, "colour_embeddings", ["000001"], engine=made)
    for shard in ("000000", "000001"):
        assert index_differences(store, "colour_embeddings", shard, engine=made) == []
    searcher = Searcher(store, engine=made)
    for where, wanted in ((None, 23), ("width = 101", 1), ("uri LIKE '%/1.%'", 5)):
        hits = searcher.search(SearchQuery(vector=np.ones(16), space="colour_embeddings", k=50, where=where))
        assert (len(hits), hits.info.engine, hits.info.lag_rows) == (wanted, "server", 0)


def test_a_server_that_is_slower_than_the_deadline_is_named_and_one_slow_answer_is_outlasted(
    standing: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_CALL_S", 1)
    standing.fault = lambda number, *_: "slow" if number == 1 else None
    assert engine(standing).builds(SPACE.name) == []
    standing.fault = lambda *_: "slow"
    with pytest.raises(SearchError, match=r"did not answer within 0\.5 s \(timed out\)") as caught:
        engine(standing, deadline_s=0.5).builds(SPACE.name)
    assert caught.value.where == standing.url


@pytest.mark.parametrize("fault", ["unavailable", "exhausted", "busy", "reset"])
def test_a_server_that_stays_away_ends_a_build_with_its_name_and_what_was_published_goes_on(
    standing: StandIn, fault: str
) -> None:
    made = engine(standing)
    build = made.begin(SPACE, "1", base=None)
    build.upsert(points(range(10)))
    build.finish()
    build.publish()
    hurried = engine(standing, deadline_s=0.0)
    build = hurried.begin(SPACE, "2", base=None)
    standing.fault = lambda *_: fault
    with pytest.raises(SearchError, match="did not answer within 0 s") as caught:
        build.upsert(points(range(20)))
    assert "MMFS_QDRANT_URL" in caught.value.mend
    standing.fault = lambda *_: None
    assert made.published(SPACE.name) == Published("1", None)
    assert made.open(SPACE, "1").count() == 10


@pytest.mark.parametrize("fault", ["old", "html"])
def test_a_half_upgraded_server_is_told_from_one_that_is_away_and_never_answered_for(
    standing: StandIn, fault: str
) -> None:
    made = engine(standing)
    build = made.begin(SPACE, "1", base=None)
    build.upsert(points(range(10)))
    build.publish()
    standing.fault = lambda _number, _method, path: fault if path.endswith("query") else None
    index = made.open(SPACE, "1")
    assert index.count() == 10
    asked = standing.requests
    with pytest.raises(SearchError, match="does not speak as this client's Qdrant does") as caught:
        index.query(at(3), 3)
    assert "upgrade" in caught.value.mend
    assert standing.requests == asked + 1  # it does not pass by itself
