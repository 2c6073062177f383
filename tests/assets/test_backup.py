"""What docs/operations.md says of backups: copied in that order, a store is whole and has nothing to compute."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.store import Store
from tests.assets.conftest import MEDIA_ASSETS, World
from tests.features.tiny import picture

pytestmark = pytest.mark.cluster


def names_files(path: Path) -> bool:
    """Whether this is one of the files that name others: they come first in a backup."""
    return "_delta_log" in path.parts or path.parts[0] == "pins" or path.name in {"store.json", "current.json"}


def back_up(store: Path, to: Path, *, first: bool) -> None:
    """Copy the part of a store that comes first, or the rest; what is there stays as it is."""
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store)
        if path.is_file() and names_files(name) == first and not (to / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to / name)


def versions(store: Store) -> dict[str, int]:
    return {table: store.tables.version(table) for table in store.tables.names()}


def test_a_backup_of_a_store_that_is_written_to_meanwhile_is_whole(fresh: World, tmp_path: Path) -> None:
    restored = World(tmp_path / "restored", fresh.models)
    shutil.copytree(fresh.root / "home", restored.root / "home")
    back_up(fresh.root / "store", restored.root / "store", first=True)
    before = versions(fresh.store)

    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "new.jpg").write_bytes(encode_jpeg(picture(77)))
    FeatureStore(fresh.store).ingest([tmp_path / "more"])
    assert fresh.materialize(*MEDIA_ASSETS).failures == {}
    assert versions(fresh.store) != before

    back_up(fresh.root / "store", restored.root / "store", first=False)
    assert versions(restored.store) == before
    assert FeatureStore(restored.store).verify(deep=True).ok
    assert restored.materialize(*MEDIA_ASSETS).runs == []


def test_without_the_history_everything_is_recorded_again_and_nothing_computed(fresh: World) -> None:
    shutil.rmtree(fresh.root / "home")
    before = versions(fresh.store)
    done = fresh.materialize(*MEDIA_ASSETS)
    assert done.failures == {}
    assert done.runs
    assert sum(done.computed.values()) == 0
    assert versions(fresh.store) == before
    assert fresh.materialize(*MEDIA_ASSETS).runs == []


def test_a_history_is_brought_up_to_date_by_dagster_and_still_knows_what_is_fresh(fresh: World) -> None:
    with fresh.instance() as instance:
        instance.upgrade()  # what `dagster instance migrate` does
        instance.reindex()
    assert fresh.materialize(*MEDIA_ASSETS).runs == []
