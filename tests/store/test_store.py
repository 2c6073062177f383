"""Opening a store: what it records, what it remembers, what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmfs.errors import StoreError
from mmfs.schemas import BASE_TABLES
from mmfs.settings import ClipConfig, Settings
from mmfs.store import Store
from tests.conftest import add_frames, add_media

SMALL = ClipConfig(model="RN50", pretrained=None)


def test_a_new_store_has_all_tables_and_a_record(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "new", settings=Settings())
    assert store.tables.names() == sorted(BASE_TABLES)
    record = json.loads(store.objects.get("store.json"))
    assert record["format"] == 1
    assert record["recorded"] == Settings().recorded()
    assert str(store.namespace) == record["namespace"]


def test_a_store_remembers_the_settings_it_was_made_with(tmp_path: Path) -> None:
    made = Store.open(tmp_path / "store", settings=Settings(clip=SMALL))
    again = Store.open(tmp_path / "store", settings=Settings())
    assert again.settings.clip == SMALL
    assert again.namespace == made.namespace


def test_what_is_set_by_hand_wins_and_the_record_stays(tmp_path: Path) -> None:
    Store.open(tmp_path / "store", settings=Settings(clip=SMALL))
    other = ClipConfig(model="ViT-L-14", pretrained=None)
    assert Store.open(tmp_path / "store", settings=Settings(clip=other)).settings.clip == other
    assert Store.open(tmp_path / "store", settings=Settings()).settings.clip == SMALL


def test_the_place_comes_from_the_settings_unless_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_STORE", str(tmp_path / "by-variable"))
    assert Store.open().url == str(tmp_path / "by-variable")
    assert Store.open(tmp_path / "by-hand").url == str(tmp_path / "by-hand")


def test_a_store_that_is_not_there_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store at .*nowhere.*MMFS_STORE"):
        Store.open(tmp_path / "nowhere", create=False)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"{", "store.json is damaged"),
        (b"{}", "store.json is damaged"),
        (b'{"format": 99, "namespace": "5272c0a5-b1b0-41e7-a6e4-64790dd404b3", "recorded": {}}', "format 99.*upgrade"),
    ],
)
def test_a_record_from_the_future_or_in_pieces_is_refused(store: Store, record: bytes, message: str) -> None:
    store.objects.put("store.json", record)
    with pytest.raises(StoreError, match=message):
        Store.open(store.url)


def test_a_store_left_half_made_is_finished_by_the_next_open(store: Store) -> None:
    store.objects.delete("store.json")
    add_media(store, "000001", range(2))
    again = Store.open(store.url)
    assert again.tables.shards("raw_media") == {"000001": 2}


def test_opening_an_existing_store_is_cheap(store: Store) -> None:
    started = time.process_time()
    for _ in range(10):
        Store.open(store.url)
    assert (time.process_time() - started) / 10 < 0.1


def test_reading_a_store_imports_no_heavy_package(store: Store) -> None:
    add_frames(store, "000001", range(2))
    code = (
        "import sys\n"
        "from mmfs.store import Store\n"
        f"store = Store.open({store.url!r}, create=False)\n"
        "rows = store.tables.read('frames')\n"
        "store.blobs('frames', rows)\n"
        "store.tables.read('captions'); store.tables.digest('frames'); store.select('frame')\n"
        "print(sorted({'pandas', 'torch', 'av', 'dagster', 'obstore', 'qdrant_client'} & set(sys.modules)))\n"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert found.stdout.strip() == "[]"


def test_two_files_know_the_delta_library_and_two_the_object_stores() -> None:
    folder = Path(__file__).parents[2] / "mmfs" / "store"
    users: dict[str, set[str]] = {"deltalake": set(), "obstore": set()}
    for path in folder.glob("*.py"):
        for library, files in users.items():
            if f"\nfrom {library}" in path.read_text() or f"\nimport {library}" in path.read_text():
                files.add(path.name)
    assert users == {"deltalake": {"delta.py", "sql.py"}, "obstore": {"objects_deadline.py", "objects_remote.py"}}


def test_a_store_of_an_older_version_gets_the_tables_that_came_since(tmp_path: Path) -> None:
    Store.open(tmp_path / "store", settings=Settings())
    shutil.rmtree(tmp_path / "store" / "audio_windows")
    assert "audio_windows" not in Store.open(tmp_path / "store", settings=Settings(), create=False).tables.names()
    store = Store.open(tmp_path / "store", settings=Settings())
    assert store.tables.names() == sorted(BASE_TABLES)
    assert store.tables.read("audio_windows", shard="000000").num_rows == 0
