"""What docs/operations.md says of backups: copied in that order, a store is whole and has nothing to compute."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.search import build_index
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.manifest import spaces_of
from mmfs.settings import Settings
from mmfs.store import Store
from tests.assets.conftest import MEDIA_ASSETS, World
from tests.features.tiny import picture
from tests.search.conftest import fill
from tests.search.world import media, write_shard

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
#: Folders of a store that a backup leaves out.
LEFT_OUT = {"index", "staging", "dagster_home"}
INDEXED = [*MEDIA_ASSETS, "clip_embeddings", "qdrant_index"]


def names_files(path: Path) -> bool:
    """Whether this is one of the files that name others: they come first in a backup."""
    return "_delta_log" in path.parts or path.parts[0] == "pins" or path.name == "store.json"


def back_up(store: Path, to: Path, *, first: bool) -> None:
    """Copy the part of a store that comes first, or the rest; what is there stays as it is."""
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store)
        if name.parts[0] in LEFT_OUT or not path.is_file() or names_files(name) != first or (to / name).exists():
            continue
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to / name)


def test_the_page_leaves_out_what_these_tests_leave_out() -> None:
    [told] = re.findall(r"everything else of the store but (.*?):", PAGE, re.DOTALL)
    assert set(re.findall(r"`(\w+)/`", told)) == LEFT_OUT


def test_a_backup_over_several_publications_has_its_index_again(tmp_path: Path) -> None:
    settings = Settings(device="cpu")
    store = Store.open(tmp_path / "store", settings=settings)
    fill(store)
    build_index(store, "colour_embeddings", ["000000", "000001"])
    (tmp_path / "store" / "dagster_home").mkdir()
    back_up(tmp_path / "store", tmp_path / "restored", first=True)
    [space] = spaces_of(store.objects, "colour_embeddings")
    named = EdgeEngine(store.objects).published(space)
    for number, colour in enumerate(["blue", "red"]):
        write_shard(store, "000001", [media(20 + number, colour, frames=3)])
        build_index(store, "colour_embeddings", ["000001"])
    (tmp_path / "store" / "dagster_home" / "runs.db").write_bytes(b"being written to")
    assert named.current not in EdgeEngine(store.objects).builds(space), "a copied pointer would name nothing"

    back_up(tmp_path / "store", tmp_path / "restored", first=False)
    assert LEFT_OUT.isdisjoint(path.name for path in (tmp_path / "restored").iterdir())
    restored = Store.open(tmp_path / "restored", settings=settings)
    made = build_index(restored, "colour_embeddings", ["000000"])
    assert made["000000"].indexed_rows == 23, "all shards that were ever indexed, as they were at the first step"
    assert FeatureStore(restored).verify(index=True, deep=True).ok


def versions(store: Store) -> dict[str, int]:
    return {table: store.tables.version(table) for table in store.tables.names()}


@pytest.mark.cluster
def test_a_backup_of_a_store_that_is_written_to_meanwhile_is_whole(fresh: World, tmp_path: Path) -> None:
    assert fresh.materialize(*INDEXED).failures == {}
    restored = World(tmp_path / "restored", fresh.models)
    shutil.copytree(fresh.root / "home", restored.root / "home")
    back_up(fresh.root / "store", restored.root / "store", first=True)
    before = versions(fresh.store)

    (tmp_path / "more").mkdir()
    for number in range(2):
        (tmp_path / "more" / f"new-{number}.jpg").write_bytes(encode_jpeg(picture(77 + number)))
        FeatureStore(fresh.store).ingest([tmp_path / "more"])
        assert fresh.materialize(*INDEXED).failures == {}
    assert versions(fresh.store) != before

    back_up(fresh.root / "store", restored.root / "store", first=False)
    assert versions(restored.store) == before
    assert restored.materialize("qdrant_index", missing=False).failures == {}
    assert FeatureStore(restored.store).verify(deep=True).ok
    assert len(FeatureStore(restored.store).search("a picture", k=20)) == 5
    assert restored.materialize(*INDEXED).runs == []


@pytest.mark.cluster
def test_without_the_history_everything_is_recorded_again_and_nothing_computed(fresh: World) -> None:
    shutil.rmtree(fresh.root / "home")
    before = versions(fresh.store)
    done = fresh.materialize(*MEDIA_ASSETS)
    assert done.failures == {}
    assert done.runs
    assert sum(done.computed.values()) == 0
    assert versions(fresh.store) == before
    assert fresh.materialize(*MEDIA_ASSETS).runs == []


@pytest.mark.cluster
def test_a_history_is_brought_up_to_date_by_dagster_and_still_knows_what_is_fresh(fresh: World) -> None:
    with fresh.instance() as instance:
        instance.upgrade()  # what `dagster instance migrate` does
        instance.reindex()
    assert fresh.materialize(*MEDIA_ASSETS).runs == []
