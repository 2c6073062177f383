"""Many processes with one cache folder: whatever happens to it, batches are those of a loader without."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmfs.errors import LoaderError
from mmfs.loader import Loader
from mmfs.settings import CacheConfig, Settings
from mmfs.store import Store
from mmfs.store.faults import arm
from tests.loader.cache.training import digest_of
from tests.loader.test_remote import COLUMNS, assert_equal, loader_of, pin_of
from tests.loader.world import World
from tests.s3 import S3Server


def train(world: World, folder: Path, quota_bytes: int, ranks: int) -> list[str]:
    """Digests of what each rank, a process, got in some epochs."""
    command = [sys.executable, "-m", "tests.loader.cache.training", world.store.url, str(folder), str(quota_bytes)]
    ran = [
        subprocess.Popen(
            [*command, str(rank), str(ranks)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], text=True
        )
        for rank in range(ranks)
    ]
    return [process.communicate(timeout=200)[0].strip() for process in ran]


def without_cache(world: World, ranks: int) -> list[str]:
    """What `train` must give."""
    pin = pin_of(world, "all")
    return [digest_of(world.store, pin, rank, ranks, None) for rank in range(ranks)]


def test_processes_with_a_tiny_quota_get_the_batches_of_those_without_a_cache(
    s3_world: World, built_world: World, tmp_path: Path
) -> None:
    pin_of(s3_world, "all")
    assert train(s3_world, tmp_path, 40_000, ranks=2) == without_cache(built_world, ranks=2)


@pytest.mark.soak
@pytest.mark.parametrize("quota_bytes", [1, 10_000, 50_000, 100_000, 300_000, 10**9])
def test_many_processes_with_quotas_of_all_sizes_get_the_batches_of_those_without_a_cache(
    s3_world: World, built_world: World, tmp_path: Path, quota_bytes: int
) -> None:
    pin_of(s3_world, "all")
    assert train(s3_world, tmp_path, quota_bytes, ranks=4) == without_cache(built_world, ranks=4)


def test_threads_that_damage_and_remove_files_change_no_batch(
    s3_world: World, built_world: World, tmp_path: Path
) -> None:
    pin = pin_of(s3_world, "all")
    wanted = list(loader_of(built_world, pin_of(built_world, "all")))
    ended, draws = threading.Event(), np.random.default_rng(3)

    def harm() -> None:
        while not ended.is_set():
            for path in [*tmp_path.glob("packs/*"), *tmp_path.glob("rows/*")]:
                if draws.random() < 0.2:
                    path.unlink(missing_ok=True)
                elif path.suffix == ".tar":  # tables are proved once a process, blobs at every read
                    _flip(path, draws)
            ended.wait(0.002)

    thread = threading.Thread(target=harm)
    thread.start()
    try:
        for _ in range(4):
            assert_equal(loader_of(s3_world, pin, cache=tmp_path), iter(wanted))
    finally:
        ended.set()
        thread.join()


def test_flipped_bits_at_rest_are_fetched_anew(
    s3: S3Server, s3_world: World, built_world: World, tmp_path: Path
) -> None:
    pin, wanted = pin_of(s3_world, "all"), list(loader_of(built_world, pin_of(built_world, "all")))
    assert_equal(loader_of(s3_world, pin, cache=tmp_path), iter(wanted))
    draws = np.random.default_rng(7)
    for _ in range(5):
        for path in [*tmp_path.glob("packs/*"), *tmp_path.glob("rows/*")]:
            for _ in range(3):
                _flip(path, draws)
        s3.count_anew()
        loader = loader_of(s3_world, pin, cache=tmp_path)
        assert_equal(loader, iter(wanted))
        assert loader.stats().quarantined == 0
    assert s3.counts().bytes_of("/packs/") > 0


def test_a_local_store_shares_rows_and_repairs_them_too(world: World, tmp_path: Path) -> None:
    pin = world.pin("all", COLUMNS)
    wanted = list(loader_of(world, pin))
    first, second = loader_of(world, pin, cache=tmp_path), loader_of(world, pin, cache=tmp_path)
    assert_equal(first, iter(wanted))
    assert_equal(second, iter(wanted))
    assert second.stats().bytes_fetched < first.stats().bytes_fetched
    draws = np.random.default_rng(7)
    for path in tmp_path.glob("rows/*"):
        _flip(path, draws)
    assert_equal(loader_of(world, pin, cache=tmp_path), iter(wanted))
    assert not list(tmp_path.glob("packs/*"))


def test_a_full_disk_ends_the_pack_cache_with_one_warning_and_not_training(
    s3_world: World, built_world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loader = loader_of(s3_world, pin_of(s3_world, "images", ["frames.image"]), cache=tmp_path)
    with arm("cache.before_blob", _no_space), caplog.at_level(logging.WARNING, "mmfs.loader"):
        assert_equal(loader, loader_of(built_world, pin_of(built_world, "images", ["frames.image"])))
    [record] = [record for record in caplog.records if "cannot be written" in record.message]
    assert str(tmp_path) in record.message
    assert loader.stats().bytes_cached == 0


def test_on_a_full_disk_rows_go_to_the_temporary_folder(
    s3_world: World, built_world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loader = loader_of(s3_world, pin_of(s3_world, "all"), cache=tmp_path)
    with arm("cache.before_rows", _no_space), caplog.at_level(logging.WARNING, "mmfs.loader"):
        assert_equal(loader, loader_of(built_world, pin_of(built_world, "all")))
    assert any(str(tmp_path) in record.message for record in caplog.records)


def test_when_that_is_full_too_the_error_names_the_folder(
    s3_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = loader_of(s3_world, pin_of(s3_world, "all"), cache=tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with (
        arm("cache.before_rows", _no_space),
        pytest.raises(LoaderError, match=rf"cannot keep table rows.*No space left.*{tmp_path}.*cache="),
    ):
        next(iter(loader))


def test_a_folder_that_somebody_removes_does_not_end_training(
    s3_world: World, built_world: World, tmp_path: Path
) -> None:
    loader = loader_of(s3_world, pin_of(s3_world, "all"), cache=tmp_path / "cache", batch_size=4)
    wanted = list(loader_of(built_world, pin_of(built_world, "all"), batch_size=4))
    batches = iter(loader)
    first = next(batches)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert_equal(iter([first, *batches]), iter(wanted))


def test_the_folder_of_the_settings_is_used(s3_world: World, tmp_path: Path) -> None:
    pin = pin_of(s3_world, "all")
    settings = Settings(cache=CacheConfig(dir=str(tmp_path)))
    store = Store.open(s3_world.store.url, settings=settings, create=False)
    list(Loader(store, pin, batch_size=16, image_size=32))
    assert list(tmp_path.glob("packs/*.tar.ranges"))


def _no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _flip(path: Path, draws: Any) -> None:
    try:
        with path.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                at = int(draws.integers(size))
                file.seek(at)
                byte = file.read(1)[0] ^ (1 << int(draws.integers(8)))
                file.seek(at)
                file.write(bytes([byte]))
    except FileNotFoundError:
        pass
