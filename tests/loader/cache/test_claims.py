"""Claims share work among processes, and never stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from mmfs.loader.cache.claims import Claims

HOLD = """
import sys
from pathlib import Path
from mmfs.loader.cache.claims import Claims

def fetch(keys):
    print("held", flush=True)
    sys.stdin.readline()

Claims(Path(sys.argv[1])).share(["a"], lambda key: False, fetch)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that is fetching "a", until a line comes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_threads_that_want_the_same_fetch_each_key_once(tmp_path: Path) -> None:
    claims, there, fetched, lock = Claims(tmp_path, 20.0), set[int](), list[int](), threading.Lock()

    def fetch(keys: list[int]) -> None:
        with lock:
            fetched.extend(keys)
        time.sleep(0.001)  # gives others the chance to do it too
        there.update(keys)

    threads = [threading.Thread(target=claims.share, args=(range(100), there.__contains__, fetch)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fetched) == list(range(100))


def test_a_stuck_process_costs_the_deadline_and_no_more(tmp_path: Path) -> None:
    process, fetched = holder(tmp_path), list[str]()
    try:
        began_s = time.monotonic()
        assert Claims(tmp_path, 0.2).share(["a", "b"], lambda _: False, fetched.extend) == []
        assert 0.2 <= time.monotonic() - began_s < 30
        assert sorted(fetched) == ["a", "b"]
    finally:
        process.communicate("\n")


def test_what_others_fetch_can_be_left_to_them(tmp_path: Path) -> None:
    process, fetched = holder(tmp_path), list[str]()
    try:
        assert Claims(tmp_path).share(["a", "b"], lambda _: False, fetched.extend, waits=False) == ["a"]
        assert fetched == ["b"]
    finally:
        process.communicate("\n")


def test_a_killed_process_leaves_no_claim(tmp_path: Path) -> None:
    process, fetched = holder(tmp_path), list[str]()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert Claims(tmp_path, 60.0).share(["a"], lambda _: False, fetched.extend) == []
    assert fetched == ["a"]


def test_a_forked_child_holds_no_claim_of_its_parent(tmp_path: Path) -> None:
    (read, write), (is_forked, forked) = os.pipe(), os.pipe()
    children: list[int] = []

    def fetch(_: list[str]) -> None:
        child = os.fork()
        if child == 0:
            os.write(forked, b"x")
            os.read(read, 1)  # lives on after the parent has let go
            os._exit(0)
        children.append(child)
        os.read(is_forked, 1)

    try:
        Claims(tmp_path).share(["a"], lambda _: False, fetch)
        fetched: list[str] = []
        assert Claims(tmp_path, 60.0).share(["a"], lambda _: False, fetched.extend, waits=False) == []
        assert fetched == ["a"]
    finally:
        os.write(write, b"x")
        os.waitpid(children[0], 0)
        for descriptor in (read, write, is_forked, forked):
            os.close(descriptor)
