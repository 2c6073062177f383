"""Reads from another machine end in the right bytes or in an error that names the object, and in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import numpy as np
import pytest

from mmfs.errors import IntegrityError, MissingObjectError, StoreError, UnreachableError
from mmfs.store import Objects
from tests.s3 import FAULTS, Fault, S3Server, s3_server

DATA = np.random.default_rng(0).bytes(300_000)
RANGES = [(290_000, 10_000), (0, 10), (5_000, 100), (5_050, 100), (150_000, 0)]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        server.make_bucket("objects")
        yield server


@pytest.fixture
def objects(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Objects:
    server.use(monkeypatch)
    server.count_anew()
    objects = Objects.open("s3://objects/prefix")
    objects.put("a/b", DATA)
    return objects.with_deadline(60.0)


def test_ranges_come_whole_and_in_the_order_asked(server: S3Server, objects: Objects) -> None:
    wanted = [DATA[offset : offset + length] for offset, length in RANGES]
    assert objects.get_ranges("a/b", RANGES) == wanted
    assert server.counts().requests == {"/objects/prefix/a/b": 2}
    server.count_anew()
    assert objects.get_ranges("a/b", RANGES, gap_bytes=0) == wanted
    assert server.counts().bytes_of() == 10_000 + 10 + 150
    assert objects.get("a/b") == DATA
    assert objects.size("a/b") == len(DATA)


def test_objects_are_listed_page_by_page_under_any_name(objects: Objects) -> None:
    names = ["a/b", "a b#%.jpg", "a%20b.jpg", "x.jpg", "x/y.jpg", "~t", "ä.jpg"]
    for name in names[1:]:
        objects.put(name, b"x")
    found, after = [], None
    while page := objects.page(after, most=2):
        found += [info.path for info in page]
        after = found[-1]
    assert found == sorted(names)
    for name in names[1:]:
        objects.delete(name)


def test_what_is_not_there_is_said_at_once(server: S3Server, objects: Objects) -> None:
    with pytest.raises(MissingObjectError, match="nix does not exist"):
        objects.get_ranges("nix", [(0, 1)])
    with pytest.raises(MissingObjectError, match="nix does not exist"):
        objects.get("nix")
    assert not objects.exists("nix")
    for offset in (len(DATA) - 5, 2 * len(DATA)):
        with pytest.raises(StoreError, match=f"a/b ends before byte {offset + 10}"):
            objects.get_ranges("a/b", [(offset, 10)])
    assert server.counts().requests["/objects/prefix/nix"] == 2, "each is asked for once"


@pytest.mark.parametrize("offset", [len(DATA) - 5, 2 * len(DATA)])
@pytest.mark.parametrize("before", [[], [(0, 10)], [(0, 10), (len(DATA) - 100, 50)]])
def test_an_object_that_ends_before_a_range_is_damaged_for_patient_readers_as_well(
    objects: Objects, before: list[tuple[int, int]], offset: int
) -> None:
    for reader in (objects, Objects.open("s3://objects/prefix")):
        with pytest.raises(IntegrityError, match=f"a/b ends before byte {offset + 10}"):
            reader.get_ranges("a/b", [*before, (offset, 10)])


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_does_not_end_is_an_error_within_the_deadline(
    server: S3Server, objects: Objects, fault: Fault
) -> None:
    server.break_reads(1.0, fault)
    began_s = time.monotonic()
    with pytest.raises(UnreachableError, match="a/b could not be read within 1 s"):
        objects.with_deadline(1.0).get_ranges("a/b", RANGES)
    assert time.monotonic() - began_s < 30
    assert server.counts().broken[fault] >= 1


def test_faults_that_pass_cost_time_and_no_byte(server: S3Server, objects: Objects) -> None:
    server.break_reads(0.3, "500", "503", "reset", "cut", seed=5)
    wanted = [DATA[offset : offset + length] for offset, length in RANGES]
    for _ in range(6):
        assert objects.get_ranges("a/b", RANGES, gap_bytes=0) == wanted
    assert sum(server.counts().broken.values()) >= 3


def test_nobody_listening_is_an_error_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    S3Server("http://127.0.0.1:9").use(monkeypatch)
    with pytest.raises(UnreachableError, match="a/b could not be read"):
        Objects.open("s3://objects/prefix").with_deadline(0.3).size("a/b")
    with pytest.raises(UnreachableError, match="the list of objects could not be read"):
        Objects.open("s3://objects/prefix").with_deadline(0.3).page()


def test_a_directory_needs_no_deadline(tmp_path: object) -> None:
    objects = Objects.open(str(tmp_path))
    assert objects.with_deadline(1.0) is objects


def test_large_ranges_come_in_time_over_a_network_that_carries_them(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy: list[int] = []

    async def get_range(store: object, name: str, *, start: int, length: int) -> memoryview:
        """One of those that share 240 MB/s."""
        busy.append(start)
        left = float(length)
        try:
            while left > 0:
                await asyncio.sleep(0.01)
                left -= 2.4e6 / len(busy)
            return memoryview(bytes(length))
        finally:
            busy.remove(start)

    monkeypatch.setattr("mmfs.store.objects_deadline.obstore.get_range_async", get_range)
    ranges = [(number << 23, 8 << 20) for number in range(32)]
    assert [len(data) for data in objects.with_deadline(5.0).get_ranges("a/b", ranges)] == [8 << 20] * 32
