"""Resources open what their settings say, once a process."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mmfs.features.registry import registered
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs_resources import MediaSourceResource, ModelResource, QdrantResource, StoreResource


def test_a_store_is_opened_once_a_process(tmp_path: Path) -> None:
    resource = StoreResource(url=str(tmp_path / "store"))
    assert resource.get() is StoreResource(url=str(tmp_path / "store")).get()
    assert resource.get().url == str(tmp_path / "store")


def test_without_a_url_the_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_STORE", str(tmp_path / "from-env"))
    assert StoreResource().get().url == str(tmp_path / "from-env")


def test_settings_made_in_python_reach_the_assets_and_secrets_do_not_reach_the_configuration(tmp_path: Path) -> None:
    settings = Settings.model_validate({"store": str(tmp_path / "s"), "shard_max_files": 7, "qdrant_api_key": "hidden"})
    resource = StoreResource.of(settings)
    assert resource.get().settings.shard_max_files == 7
    assert "hidden" not in str(resource.given)


def test_a_feature_is_kept_for_all_shards_of_a_process(store: Store) -> None:
    models = ModelResource(device="cpu")
    assert models.feature(store, "clip_embeddings") is models.feature(store, "clip_embeddings")
    assert models.feature(store, "depth_maps").spec is registered(store.settings)["depth_maps"]
    assert models.wanted_device(store.settings) == "cpu"
    assert ModelResource().wanted_device(Settings(device="cuda:1")) == "cuda:1"


def test_watched_places_are_the_resources_own_or_those_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    watching = Settings(watch=(str(tmp_path),))
    assert MediaSourceResource().watched(watching) == (str(tmp_path),)
    settled_us = time.time_ns() // 1000 + 3_600_000_000
    page = MediaSourceResource(uris=[str(tmp_path)]).look(Settings(), None, now_us=settled_us)
    assert [listed.uri.rpartition("/")[2] for listed in page.listing] == ["a.jpg"]


def test_without_a_url_the_embedded_engine_of_the_store_is_used(store: Store) -> None:
    assert QdrantResource().engine(store).name == "edge"
