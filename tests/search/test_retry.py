"""A server that is away or busy is asked again, until a deadline."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from qdrant_client import QdrantClient

from mmfs.errors import SearchError
from mmfs.search.retry import Retry
from mmfs.search.server import ServerEngine
from tests.search.engines import SPACE, at, points

pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")


class Code:
    def __init__(self, name: str) -> None:
        self.name = name


class CallError(Exception):
    """What a gRPC call raises."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._name = name

    def code(self) -> Code:
        return Code(self._name)

    def details(self) -> str:
        return f"details of {self._name}"


class StatusError(Exception):
    """What an HTTP call raises."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"status {status_code}")
        self.status_code = status_code


def failing(times: int, error: Exception) -> Callable[[], str]:
    left = [times]

    def call() -> str:
        if left[0] > 0:
            left[0] -= 1
            raise error
        return "answer"

    return call


@pytest.mark.parametrize(
    "error", [CallError("UNAVAILABLE"), CallError("RESOURCE_EXHAUSTED"), StatusError(503), ConnectionResetError("gone")]
)
def test_what_passes_by_itself_is_tried_again_with_growing_jittered_waits(error: Exception) -> None:
    waits: list[float] = []
    retry = Retry(deadline_s=30, sleep=waits.append, draw=lambda: 0.5)
    assert retry(failing(4, error), where="here") == "answer"
    assert waits == pytest.approx([0.15, 0.3, 0.6, 1.2])


@pytest.mark.parametrize("error", [CallError("INVALID_ARGUMENT"), StatusError(401), ValueError("bad")])
def test_what_does_not_pass_is_refused_at_once(error: Exception) -> None:
    waits: list[float] = []
    with pytest.raises(SearchError, match="refused"):
        Retry(sleep=waits.append)(failing(1, error), where="here")
    assert waits == []


def test_a_server_that_stays_away_is_named_with_the_deadline() -> None:
    away = failing(10**6, CallError("UNAVAILABLE"))
    with pytest.raises(SearchError, match=r"within 0\.5 s \(details of UNAVAILABLE\).*MMFS_QDRANT_URL"):
        Retry(deadline_s=0.5, sleep=lambda _: None)(away, where="http://nowhere:6333")


def test_a_port_where_nobody_listens_is_a_clear_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    engine = ServerEngine.connect(url, None, namespace="test", retry=Retry(deadline_s=0.0))
    with pytest.raises(SearchError, match="did not answer") as caught:
        engine.published("space")
    assert caught.value.where == url
    with pytest.raises(SearchError, match="no URL of a Qdrant server"):
        ServerEngine.connect("localhost:6333", None, namespace="test")


class FlakyClient(QdrantClient):
    """The in-memory server, away at every third call."""

    calls = 0

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name in {"upsert", "delete", "scroll", "query_points", "create_collection", "update_collection_aliases"}:
            FlakyClient.calls += 1
            if FlakyClient.calls % 3 == 0:
                raise CallError(("UNAVAILABLE", "RESOURCE_EXHAUSTED")[FlakyClient.calls % 2])
        return found


def test_a_build_over_a_flaky_connection_is_whole() -> None:
    engine = ServerEngine(FlakyClient(":memory:"), "test", retry=Retry(sleep=lambda _: None))
    build = engine.begin(SPACE, "1", base=None)
    for start in range(0, 60, 10):
        build.upsert(points(range(start, start + 10)))
    assert build.finish().shards["000000"].rows == 60
    build.publish()
    assert engine.published(SPACE.name).current == "1"
    assert int(engine.open(SPACE, "1").query(at(30), 1)[0].media_id, 16) == 30
    assert FlakyClient.calls > 12
