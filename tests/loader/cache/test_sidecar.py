"""A sidecar holds what was written, and takes anything else for nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmfs.loader.cache.sidecar import Sidecar
from mmfs.schemas import ROW_GROUP_ROWS

WIDTH, ROWS = 24, 2 * ROW_GROUP_ROWS + 5


def group_of(number: int) -> tuple[memoryview, bytes]:
    rows = min(ROW_GROUP_ROWS, ROWS - number * ROW_GROUP_ROWS)
    return memoryview(np.random.default_rng(number).bytes(rows * WIDTH)), b"texts of %d" % number


def written(path: Path) -> Sidecar:
    sidecar = Sidecar(path, ROWS, WIDTH)
    for number in (2, 0):
        sidecar.write(number, *group_of(number))
    return sidecar


def test_another_process_finds_what_was_written_and_nothing_else(tmp_path: Path) -> None:
    first = written(tmp_path / "a")
    second = Sidecar(tmp_path / "a", ROWS, WIDTH)
    assert [second.check(number) for number in (0, 1, 2)] == [True, False, True]
    assert bytes(second.records[2 * ROW_GROUP_ROWS * WIDTH :][: 5 * WIDTH]) == bytes(group_of(2)[0])
    assert second.text(2, 6, 4) == b"of 2"
    second.write(1, *group_of(1))
    assert first.check(1)
    assert first.text(1, 0, 10) == b"texts of 1"
    assert first.nonce == second.nonce


def test_two_processes_that_write_the_same_do_no_harm(tmp_path: Path) -> None:
    first, second = Sidecar(tmp_path / "a", ROWS, WIDTH), Sidecar(tmp_path / "a", ROWS, WIDTH)
    for sidecar in (first, second):
        sidecar.write(1, *group_of(1))
    for sidecar in (first, second, Sidecar(tmp_path / "a", ROWS, WIDTH)):
        assert sidecar.check(1)
        assert sidecar.text(1, 0, 10) == b"texts of 1"


def test_any_flipped_bit_makes_a_group_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    written(path)
    whole = path.read_bytes()
    draws = np.random.default_rng(1)
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))
    for at in draws.choice(used[used >= 64], 60, replace=False).tolist():
        broken = bytearray(whole)
        broken[at] ^= 1 << int(draws.integers(8))
        path.write_bytes(broken)
        found = Sidecar(path, ROWS, WIDTH)
        there = [found.check(number) for number in (0, 1, 2)]
        assert there in ([False, False, True], [True, False, False])


@pytest.mark.parametrize("damage", ["cut", "header"])
def test_a_file_that_is_not_one_is_made_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a"
    nonce = written(path).nonce
    data = path.read_bytes()
    path.write_bytes(data[:5000] if damage == "cut" else b"x" + data[1:])
    found = Sidecar(path, ROWS, WIDTH)
    assert found.nonce != nonce
    assert not any(found.check(number) for number in (0, 1, 2))


def test_who_has_it_open_reads_on_when_its_name_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    sidecar = written(path)
    path.unlink()
    other = Sidecar(path, ROWS, WIDTH)
    assert not other.check(0)
    assert sidecar.check(0)
    assert sidecar.text(0, 0, 5) == b"texts"
    sidecar.write(1, *group_of(1))
    assert sidecar.text(1, 9, 1) == b"1"
