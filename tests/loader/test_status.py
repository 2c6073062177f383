"""The live status: one line, at most so often, and never in the way of training."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from mmfs.loader import Loader, LoaderStats
from mmfs.loader.state import State
from mmfs.loader.stats import Meter, Traffic
from mmfs.loader.status import LiveStatus, status_line
from tests.loader.world import World

EMPTY = Meter().stats(Traffic())
STATE = State("s", "o", 0, epoch=2, position=64, step=1234)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def figures(**changes: float) -> LoaderStats:
    return replace(EMPTY, **changes)


def test_a_line_says_what_happened_since_the_last_one() -> None:
    before = figures(samples=1000, elapsed_s=10.0, stall_share=0.5, bytes_read=10**6)
    after = figures(samples=21_000, elapsed_s=20.0, stall_share=0.3, bytes_read=501 * 10**6, bytes_cached=250 * 10**6)
    line = "epoch 2  step 1,234  2,000 samples/s  waiting 10%  50.0 MB/s  cache 50%"
    assert status_line(STATE, before, after, 10.0) == line
    assert status_line(STATE, None, before, 10.0) == "epoch 2  step 1,234  100 samples/s  waiting 50%  0.1 MB/s"


def test_a_terminal_has_one_line_that_is_written_over_once_a_second() -> None:
    out, clock = Terminal(), Clock()
    status = LiveStatus(out, clock)
    for _ in range(8):
        clock.now_s += 0.3
        status.show(STATE, lambda: figures(samples=10))
    status.end()
    status.end()
    assert out.getvalue().count("\r") == 2
    assert out.getvalue().count("\x1b[K") == 2
    assert out.getvalue().count("\n") == 1


def test_a_log_has_a_line_every_half_minute() -> None:
    out, clock = io.StringIO(), Clock()
    status = LiveStatus(out, clock)
    for _ in range(65):
        clock.now_s += 1.0
        status.show(STATE, lambda: figures(samples=10))
    status.end()
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("epoch 2  step 1,234  0 samples/s")


def test_figures_are_not_asked_for_between_lines() -> None:
    clock, asked = Clock(), []

    def stats() -> LoaderStats:
        asked.append(clock.now_s)
        return EMPTY

    status = LiveStatus(io.StringIO(), clock)
    for _ in range(70):
        clock.now_s += 1.0
        status.show(STATE, stats)
    assert asked == [130.0, 160.0]


@pytest.mark.parametrize("is_closed", [True, False])
def test_what_goes_wrong_ends_the_line_and_not_training(is_closed: bool, caplog: pytest.LogCaptureFixture) -> None:
    out, clock = Terminal(), Clock()
    status = LiveStatus(out, clock)

    def stats() -> LoaderStats:
        if not is_closed:
            raise ZeroDivisionError("in the figures")
        return EMPTY

    clock.now_s += 2.0
    status.show(STATE, lambda: EMPTY)
    if is_closed:
        out.close()
    for _ in range(3):
        clock.now_s += 2.0
        status.show(STATE, stats)
    status.end()
    assert [record.message[:32] for record in caplog.records] == ["there is no live status any more"]


def test_the_first_rank_of_a_loader_writes_it(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pin = world.pin("p", ["clip_embeddings.vector"])
    monkeypatch.setattr("mmfs.loader.status._LOG_S", 0.0)
    for rank, lines in ((0, 5), (1, 0)):
        list(Loader(world.store, pin, batch_size=8, rank=rank, world_size=2, status=True))
        assert capsys.readouterr().err.count("samples/s") == lines
    list(Loader(world.store, pin, batch_size=8))
    assert capsys.readouterr().err == ""
