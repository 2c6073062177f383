"""A small world: six files in three shards, one of them broken, tiny models, and Dagster's history of it all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.settings import ClipConfig, DepthConfig, Settings
from mmfs.store import Store
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.materialize import Materialized, materialize
from tests.features.tiny import picture, write_clip, write_depth

SHARDS = ["000000", "000001", "000002"]
MEDIA_ASSETS = ["raw_media", "captions", "frames", "audio_windows"]
FEATURE_ASSETS = [
    "clip_embeddings",
    "text_embeddings",
    "depth_maps",
    "frame_quality",
    "prompt_scores",
    "audio_features",
]
ASSETS = [*MEDIA_ASSETS, *FEATURE_ASSETS, "qdrant_index"]


@dataclass(frozen=True)
class World:
    """A store, the media it was made from, and the directory of Dagster's history."""

    root: Path
    models: Path

    @property
    def settings(self) -> Settings:
        return Settings(
            store=str(self.root / "store"),
            clip=ClipConfig(model=f"local-dir:{self.models / 'clip'}", batch_size=4),
            depth=DepthConfig(model=str(self.models / "depth"), batch_size=4),
            device="cpu",
            shard_max_files=2,
            workers=1,
        )

    @property
    def media(self) -> Path:
        return self.models.parent / "media"

    @property
    def store(self) -> Store:
        return Store.open(settings=self.settings)

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nconcurrency: {pools: {default_limit: 1}}\n")
        quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides={"compute_logs": quiet})) as found:
            yield found

    def materialize(self, *assets: str, missing: bool = True) -> Materialized:
        with self.instance() as instance:
            return materialize(self.settings, instance, assets=assets, missing=missing)

    def run(self, assets: str | list[str], first: str, last: str | None = None) -> dg.ExecuteInProcessResult:
        """One run of assets over a shard or a range of shards, needed or not."""
        names = [assets] if isinstance(assets, str) else assets
        job = definitions_for(self.settings).resolve_implicit_global_asset_job_def()
        ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
        tags = dict(zip(ends, (first, last), strict=True)) if last else {"dagster/partition": first}
        with self.instance() as instance:
            return job.execute_in_process(
                instance=instance,
                asset_selection=[dg.AssetKey(name) for name in names],
                tags=tags,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )

    def last_event(self, asset: str, shard: str) -> dg.AssetMaterialization:
        with self.instance() as instance:
            wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[shard])
            found = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
        assert found is not None
        return found

    def copy(self, root: Path) -> World:
        shutil.copytree(self.root, root)
        return World(root, self.models)


def make_media(folder: Path) -> None:
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(picture(number)))
        (folder / f"{number}.txt").write_text(f"picture number {number}")
    (folder / "5.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more")


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Media, captions and frames are there; nothing is computed from them yet. Only to be copied."""
    root = tmp_path_factory.mktemp("world")
    write_clip(root / "models" / "clip")
    write_depth(root / "models" / "depth")
    world = World(root / "world", root / "models")
    world.root.mkdir()
    make_media(world.media)
    FeatureStore(world.store).ingest([world.media])
    assert world.materialize(*MEDIA_ASSETS).failures == {}
    return world


@pytest.fixture(scope="session")
def finished(ingested: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Everything is materialized. Only to be read or copied."""
    world = ingested.copy(tmp_path_factory.mktemp("finished") / "world")
    assert world.materialize().failures == {}
    return world


@pytest.fixture
def fresh(ingested: World, tmp_path: Path) -> World:
    """A copy of `ingested` to work on."""
    return ingested.copy(tmp_path / "world")


@pytest.fixture
def done(finished: World, tmp_path: Path) -> World:
    """A copy of `finished` to work on."""
    return finished.copy(tmp_path / "world")
