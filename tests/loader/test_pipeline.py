"""The pipeline: in order, bounded, and gone when told so."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from mmfs.loader.pipeline import Pipeline


class Counting:
    """A job whose parts note that they ran."""

    def __init__(self, number: int, parts: int = 3) -> None:
        self.number = number
        self.parts = parts
        self.ran: list[int] = []

    def run(self, part: int) -> None:
        self.ran.append(part)

    def finish(self) -> tuple[int, list[int]]:
        return self.number, sorted(self.ran)


class Failing(Counting):
    def run(self, part: int) -> None:
        raise ValueError(f"job {self.number}")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("mmfs-loader")]


@pytest.mark.parametrize("count", [1, 4])
def test_results_come_in_the_order_of_the_jobs(count: int) -> None:
    pipeline = Pipeline((Counting(number) for number in range(50)), threads=count, ahead=3)
    assert list(pipeline) == [(number, [0, 1, 2]) for number in range(50)]
    pipeline.close()
    assert not threads()


def test_no_more_jobs_are_begun_than_allowed() -> None:
    begun: list[int] = []

    def jobs() -> Iterator[Counting]:
        for number in range(20):
            begun.append(number)
            yield Counting(number)

    pipeline = Pipeline(jobs(), threads=3, ahead=2)
    for number in range(10):
        next(pipeline)
        assert len(begun) <= number + 4
    pipeline.close()


def test_an_exception_in_a_thread_is_raised_by_the_next_call() -> None:
    pipeline = Pipeline((Failing(n) if n == 2 else Counting(n) for n in range(50)), threads=2, ahead=1)
    with pytest.raises(ValueError, match="job 2"):
        list(pipeline)
    assert list(pipeline) == []
    pipeline.close()
    assert not threads()


def test_an_exception_while_jobs_are_made_is_raised_too() -> None:
    def jobs() -> Iterator[Counting]:
        yield Counting(0)
        raise KeyError("no more")

    pipeline = Pipeline(jobs(), threads=2, ahead=2)
    with pytest.raises(KeyError, match="no more"):
        list(pipeline)
    pipeline.close()


def test_closing_ends_threads_that_wait_for_room_and_callers_that_wait_for_results() -> None:
    release = threading.Event()

    class Slow(Counting):
        def run(self, part: int) -> None:
            release.wait()

    pipeline = Pipeline((Slow(number) for number in range(9)), threads=2, ahead=1)
    waiting = threading.Thread(target=lambda: list(pipeline))
    waiting.start()
    closing = threading.Thread(target=pipeline.close)
    closing.start()
    waiting.join(10)
    assert not waiting.is_alive()
    release.set()
    closing.join(10)
    assert not threads()


def test_the_end_of_a_process_waits_once_for_all_threads_of_all_pipelines() -> None:
    program = """
import atexit, threading, time
from mmfs.loader import pipeline
pipeline._EXIT_S = 0.5

class Blocked:
    parts = 1
    def run(self, part):
        threading.Event().wait()
    def finish(self):
        return None

running = [pipeline.Pipeline((Blocked() for _ in range(9)), threads=1, ahead=9) for _ in range(20)]
atexit.unregister(pipeline._close_all)
began = time.perf_counter()
pipeline._close_all()
print(time.perf_counter() - began, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert 0.4 < float(done.stdout) < 8  # it would be 10 if each had its own half second
