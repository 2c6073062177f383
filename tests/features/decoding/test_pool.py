"""Decoding processes: what they give back, how they die, and what that costs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmfs.codecs import decode_jpeg, encode_array16, encode_jpeg
from mmfs.features.decoding.pool import DecodePool, decode_pool
from mmfs.features.decoding.process import Blob, Task
from mmfs.store.objects import Objects
from mmfs.store.packs import PackWriter
from tests.features.tiny import picture


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packs")


@pytest.fixture(scope="module")
def blobs(place: Path) -> list[Blob]:
    """Twelve pictures and an array."""
    with PackWriter(Objects.open(place), "frames", "000001") as packs:
        for number in range(12):
            packs.add(f"p{number}.jpg", encode_jpeg(picture(number)))
        packs.add("a.array16", encode_array16(np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4)))
        refs = packs.finish()
    codecs = ["jpeg"] * 12 + ["array16"]
    return [(codec, r.pack, r.offset, r.length, r.crc32) for codec, r in zip(codecs, refs, strict=True)]


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(2)
    yield pool
    pool.close()


def _arrays(pool: DecodePool, task: Task) -> list[np.ndarray | None]:
    answer = pool.result(task).answer
    assert answer is not None
    assert task.region is not None
    return [
        None if said is None else pool.ring.array(task.region, said[0], said[1], tuple(said[2])).copy()
        for said in answer["arrays"]
    ]


def test_blobs_come_back_decoded_in_the_order_they_were_named(pool: DecodePool, place: Path, blobs: list[Blob]) -> None:
    tasks = [pool.submit(str(place), some) for some in (blobs[3:6], blobs[:3], [blobs[12], blobs[0]])]
    pictures = _arrays(pool, tasks[1])
    for number, array in enumerate(pictures):
        np.testing.assert_array_equal(array, decode_jpeg(encode_jpeg(picture(number))))
    array, _ = _arrays(pool, tasks[2])
    assert array is not None
    assert (array.shape, array.dtype) == ((2, 3, 4), np.float32)
    assert len(_arrays(pool, tasks[0])) == 3


def test_more_tasks_than_regions_wait_for_one_to_be_released(pool: DecodePool, place: Path, blobs: list[Blob]) -> None:
    tasks = [pool.submit(str(place), [blob]) for blob in blobs[:12]]
    for number, task in enumerate(tasks):
        [array] = _arrays(pool, task)
        np.testing.assert_array_equal(array, decode_jpeg(encode_jpeg(picture(number))))
        pool.release(task)
    assert pool.ring.free == pool.depth


def test_a_task_that_has_no_room_is_done_in_part(place: Path, blobs: list[Blob]) -> None:
    size = 48 * 64 * 3
    pool = DecodePool(1, region_bytes=2 * size + 100)
    try:
        answer = pool.result(pool.submit(str(place), blobs[:5])).answer
        assert answer is not None
        assert (len(answer["arrays"]), answer["too_large"]) == (2, 0)
    finally:
        pool.close()
    small = DecodePool(1, region_bytes=1000)
    try:
        answer = small.result(small.submit(str(place), blobs[:5])).answer
        assert answer == {"id": 0, "arrays": [], "too_large": size}
    finally:
        small.close()


def test_a_blob_that_kills_processes_is_given_up_and_the_others_are_decoded(
    pool: DecodePool, place: Path, blobs: list[Blob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_MMFS_FAULT", f"features.decode@{blobs[4][2]}:segv")
    tasks = [pool.submit(str(place), some) for some in (blobs[:6], blobs[6:9])]
    arrays = _arrays(pool, tasks[0])
    assert [number for number, array in enumerate(arrays) if array is None] == [4]
    [(number, (is_late, how))] = tasks[0].failed.items()
    assert (number, is_late) == (4, False)
    assert "SIGSEGV" in how
    assert len(_arrays(pool, tasks[1])) == 3


def test_a_blob_that_never_ends_is_given_up_after_two_deadlines(
    place: Path, blobs: list[Blob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_MMFS_FAULT", f"features.decode@{blobs[1][2]}:stop")
    pool = DecodePool(2, deadline_s=3.0)
    try:
        task = pool.submit(str(place), blobs[:3])
        arrays = _arrays(pool, task)
    finally:
        pool.close()
    assert [array is None for array in arrays] == [False, True, False]
    is_late, how = task.failed[1]
    assert is_late
    assert "not done after 3 s" in how


def test_a_process_that_is_killed_once_costs_nothing(pool: DecodePool, place: Path, blobs: list[Blob]) -> None:
    _arrays(pool, pool.submit(str(place), blobs[:2]))
    for pid in pool.pids:
        os.kill(pid, signal.SIGKILL)
    task = pool.submit(str(place), blobs[:4])
    assert all(array is not None for array in _arrays(pool, task))
    assert task.failed == {}


def test_damaged_bytes_are_told_apart_from_bytes_that_do_not_decode(
    pool: DecodePool, place: Path, blobs: list[Blob]
) -> None:
    codec, pack, offset, length, crc32 = blobs[0]
    answer = pool.result(pool.submit(str(place), [(codec, pack, offset, length, crc32 ^ 1)])).answer
    assert answer is not None
    assert answer["damaged"]
    assert pack in answer["error"][0]
    answer = pool.result(pool.submit(str(place), [("jpeg", *blobs[12][1:]), blobs[1]])).answer
    assert answer is not None
    [message] = answer["arrays"][0]
    assert message.startswith("IntegrityError: ")
    assert "not a JPEG" in message
    assert len(answer["arrays"][1]) == 3


def test_workers_import_no_torch(pool: DecodePool, place: Path, blobs: list[Blob]) -> None:
    _arrays(pool, pool.submit(str(place), blobs[:2]))
    for pid in pool.pids:
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "libtorch" not in maps
        assert "simplejpeg" in maps or "numpy" in maps


def test_a_pool_is_kept_for_the_next_run_unless_the_run_failed() -> None:
    with decode_pool(1) as first:
        first.start()
    with decode_pool(1) as second:
        assert second is first
        with decode_pool(1) as other:
            assert other is not first
    with pytest.raises(RuntimeError), decode_pool(1) as failing:
        raise RuntimeError
    with decode_pool(1) as fresh:
        assert fresh is not failing
