"""Training over a network that fails: no sample is lost or changed, and nothing hangs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmfs.errors import LoaderError
from mmfs.loader import Loader
from tests.loader.test_remote import COLUMNS, assert_equal, loader_of, pin_of
from tests.loader.world import World
from tests.s3 import FAULTS, Fault, S3Server


def loader_with_deadline(
    monkeypatch: pytest.MonkeyPatch, world: World, deadline_s: float, cache: Path | None = None
) -> Loader:
    """A loader of a world on S3 whose reads end after this time."""
    monkeypatch.setattr("mmfs.loader.loader._DEADLINE_S", deadline_s)
    return loader_of(world, pin_of(world, "all", COLUMNS), batch_size=4, cache=cache)


@pytest.mark.parametrize("has_cache", [False, True])
def test_an_epoch_with_five_percent_of_faults_is_that_of_a_clean_run(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, s3_world: World, built_world: World, tmp_path: Path, has_cache: bool
) -> None:
    loader = loader_with_deadline(monkeypatch, s3_world, 5.0, tmp_path if has_cache else None)
    s3.break_reads(0.05, seed=11)
    assert_equal(loader, loader_of(built_world, pin_of(built_world, "all"), batch_size=4))
    assert sum(s3.counts().broken.values()) >= 2
    assert loader.stats().quarantined == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("part", ["/packs/", ".parquet"])
def test_a_fault_that_does_not_end_is_an_error_that_names_the_object(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, s3_world: World, tmp_path: Path, fault: Fault, part: str
) -> None:
    loader = loader_with_deadline(monkeypatch, s3_world, 0.5, tmp_path)
    s3.break_reads(1.0, fault, only=part)
    began_s = time.monotonic()
    with pytest.raises(LoaderError, match=part.replace(".", r"\.").strip("/")):
        next(iter(loader))
    assert time.monotonic() - began_s < 3


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_with_the_deadline_that_training_has_an_error_comes_within_half_a_minute(
    s3: S3Server, s3_world: World, tmp_path: Path, fault: Fault
) -> None:
    loader = loader_of(s3_world, pin_of(s3_world, "all"), cache=tmp_path)
    s3.break_reads(1.0, fault, only="/packs/")
    began_s = time.monotonic()
    with pytest.raises(LoaderError, match="packs/"):
        next(iter(loader))
    assert time.monotonic() - began_s < 30
