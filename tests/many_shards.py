"""A store of many tiny shards and the chain of four assets over it, for what is about the number of shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.settings import ClipConfig, DepthConfig, Settings
from mmfs.store import Store
from tests.features.tiny import picture, write_clip, write_depth

CHAIN = ("raw_media", "frames", "clip_embeddings", "depth_maps")


@dataclass(frozen=True)
class ManyShards:
    """Pictures in shards, tiny models, and a place for Dagster's history.

    Attributes:
        root: Directory of all of it.
        shards: Number of shards.
        files: Pictures in each.
        shards_per_run: Shards that one run works through; None: the default.
    """

    root: Path
    shards: int
    files: int = 2
    shards_per_run: int | None = None

    @property
    def home(self) -> Path:
        """``DAGSTER_HOME``."""
        return self.root / "home"

    def settings(self, name: str = "store") -> Settings:
        """Settings of the store, or of another one over the same media."""
        more = {"shards_per_run": self.shards_per_run} if self.shards_per_run else {}
        return Settings(
            store=str(self.root / name),
            clip=ClipConfig(model=f"local-dir:{self.root / 'clip'}", batch_size=8),
            depth=DepthConfig(model=str(self.root / "depth"), batch_size=8),
            device="cpu",
            shard_max_files=self.files,
            workers=1,
            **more,
        )

    @property
    def environment(self) -> dict[str, str]:
        """The same settings, for processes; models are recorded in the store."""
        settings = self.settings()
        chosen = {"store": settings.store, "device": "cpu", "shard_max_files": str(self.files), "workers": "1"}
        if self.shards_per_run:
            chosen["shards_per_run"] = str(self.shards_per_run)
        return {f"MMFS_{name.upper()}": value for name, value in chosen.items()}

    @property
    def store(self) -> Store:
        """The store, opened anew."""
        return Store.open(settings=self.settings())

    def make(self, *names: str) -> None:
        """Write pictures and models, and list the pictures in these stores; in ``store`` when none is named."""
        media = self.root / "media"
        media.mkdir(parents=True)
        for number in range(self.shards * self.files):
            (media / f"{number:06d}.jpg").write_bytes(encode_jpeg(picture(number, (32, 32))))
        write_clip(self.root / "clip")
        write_depth(self.root / "depth")
        for name in names or ("store",):
            FeatureStore(Store.open(settings=self.settings(name))).ingest([media])

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The instance of the home, for this process."""
        quiet = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(self.home), overrides={"compute_logs": quiet})) as it:
            yield it


def compute_plainly(store: Store, shards: Sequence[str]) -> None:
    """What the assets of the chain do, as function calls."""
    from mmfs.features.registry import instantiate, registered
    from mmfs.features.runner import run_feature
    from mmfs.ingest import build_frames, register_media

    for shard in shards:
        register_media(store, shard, now_us=1)
    for shard in shards:
        build_frames(store, shard)
    for name in CHAIN[2:]:
        feature = instantiate(registered(store.settings)[name], store.settings)
        for shard in shards:
            run_feature(store, feature, shard, device="cpu")
