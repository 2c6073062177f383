"""The main job with everything on S3: media, store, packs, tables, pins and the search index. Twice."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import mmfs.cli.output
from mmfs.client import open_store
from mmfs.media.scenes import write_scenes
from mmfs.search.build_cache import index_folder
from mmfs.store import Objects
from mmfs_assets.definitions import definitions_for
from mmfs_assets.demo import run_demo
from tests.s3 import S3Server, s3_server

MEDIA, STORE = "s3://media/scenes", "s3://stores/demo"

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def told(monkeypatch: pytest.MonkeyPatch, media: str, server: S3Server) -> str:
    """What the demo prints, while the server counts from zero."""
    said = StringIO()
    console = Console(file=said, width=160)
    monkeypatch.setattr(mmfs.cli.output, "console", console)
    server.count_anew()
    run_demo(console, media=[media], store=STORE)
    return said.getvalue()


def test_the_demo_runs_on_s3_and_reads_no_byte_of_media_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_scenes(tmp_path / "scenes", split="test", images=5, videos=1, progress=lambda *_: None)
    with s3_server() as server:
        server.use(monkeypatch)
        for bucket in ("media", "stores"):
            server.make_bucket(bucket)
        bucket_of_media = Objects.open(MEDIA)
        sizes = {path.name: path.stat().st_size for path in (tmp_path / "scenes").rglob("*.*") if path.is_file()}
        for path in (tmp_path / "scenes").rglob("*.*"):
            if path.is_file():
                bucket_of_media.put(path.relative_to(tmp_path / "scenes").as_posix(), path)
        wanted = sum(size for name, size in sizes.items() if name.endswith((".jpg", ".mp4")))

        first = told(monkeypatch, MEDIA, server)
        assert "6 new media" in first
        assert "samples, each exactly once" in first
        read = server.counts().bytes_of("/media/scenes/images") + server.counts().bytes_of("/media/scenes/videos")
        assert wanted <= read <= 2 * wanted, "once to register a media, once to decode its frames"

        second = told(monkeypatch, MEDIA, server)
        assert "0 new media, 6 known already" in second
        assert "nothing to compute: every shard of every asset is fresh" in second
        counts = server.counts()
        assert counts.bytes_of("/media/scenes/images") + counts.bytes_of("/media/scenes/videos") == 0
        index = sum(size for path, size in counts.bytes_sent.items() if "/index/" in path and "/edge/" in path)
        assert index == 0, "the index is on this machine's disk"

        store = open_store(STORE)
        assert store.verify(deep=True).ok
        assert store.tables()["clip_embeddings"].coverage == 1.0
        assert len(list((tmp_path / "data" / "gallery").glob("*.html"))) == 1
        assert index_folder(store.settings).is_relative_to(tmp_path)
        assert "qdrant_index" in {
            key.to_user_string() for key in definitions_for(store.settings).resolve_asset_graph().get_all_asset_keys()
        }
