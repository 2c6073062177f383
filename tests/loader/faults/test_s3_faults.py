"""Training over a network that fails: no sample is lost or changed, and nothing hangs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmfs.errors import LoaderError
from mmfs.loader import Loader
from mmfs.loader.cache.claims import DEADLINE_S
from mmfs.loader.loader import _DEADLINE_S
from tests.loader.test_remote import COLUMNS, assert_equal, loader_of, pin_of
from tests.loader.world import World
from tests.s3 import FAULTS, Fault, S3Server

AT_ONCE: tuple[Fault, ...] = ("500", "503", "reset", "cut")


def loader_with_deadline(
    monkeypatch: pytest.MonkeyPatch, world: World, deadline_s: float, cache: Path | None = None
) -> Loader:
    """A loader of a world on S3 whose reads end after this time."""
    monkeypatch.setattr("mmfs.loader.loader._DEADLINE_S", deadline_s)
    return loader_of(world, pin_of(world, "all", COLUMNS), batch_size=4, cache=cache)


def keep_tables(world: World, cache: Path) -> None:
    """Fill a cache folder with what a loader needs, except for blobs: then only they are read within its deadline."""
    list(loader_of(world, pin_of(world, "all", COLUMNS), cache=cache))
    for path in (cache / "packs").iterdir():
        path.unlink()


@pytest.mark.parametrize("has_cache", [False, True])
@pytest.mark.parametrize(
    ("faults", "deadline_s"), [(AT_ONCE, 60.0), pytest.param(FAULTS, 20.0, marks=pytest.mark.soak)]
)
def test_an_epoch_with_five_percent_of_faults_is_that_of_a_clean_run(
    monkeypatch: pytest.MonkeyPatch,
    s3: S3Server,
    s3_world: World,
    built_world: World,
    tmp_path: Path,
    faults: tuple[Fault, ...],
    deadline_s: float,
    has_cache: bool,
) -> None:
    loader = loader_with_deadline(monkeypatch, s3_world, deadline_s, tmp_path if has_cache else None)
    s3.break_reads(0.05, *faults, seed=11)
    assert_equal(loader, loader_of(built_world, pin_of(built_world, "all"), batch_size=4))
    assert sum(s3.counts().broken.values()) >= 2
    assert loader.stats().quarantined == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("part", ["/packs/", ".parquet"])
def test_a_fault_that_does_not_end_is_an_error_that_names_the_object(
    monkeypatch: pytest.MonkeyPatch, s3: S3Server, s3_world: World, tmp_path: Path, fault: Fault, part: str
) -> None:
    if part == "/packs/":
        keep_tables(s3_world, tmp_path)
    loader = loader_with_deadline(monkeypatch, s3_world, 0.5, tmp_path)
    s3.break_reads(1.0, fault, only=part)
    began_s = time.monotonic()
    with pytest.raises(LoaderError, match=part.replace(".", r"\.").strip("/")):
        next(iter(loader))
    assert time.monotonic() - began_s < 30


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
def test_with_the_deadlines_that_training_has_an_error_comes_within_half_a_minute(
    s3: S3Server, s3_world: World, tmp_path: Path, fault: Fault
) -> None:
    assert _DEADLINE_S + DEADLINE_S < 30
    loader = loader_of(s3_world, pin_of(s3_world, "all"), cache=tmp_path)
    s3.break_reads(1.0, fault, only="/packs/")
    began_s = time.monotonic()
    with pytest.raises(LoaderError, match="packs/"):
        next(iter(loader))
    assert time.monotonic() - began_s < 120  # a busy machine adds to them
