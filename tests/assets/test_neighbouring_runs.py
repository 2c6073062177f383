"""Two runs over neighbouring shards of the same assets at once, on a bucket."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mmfs.client import FeatureStore
from mmfs.codecs import encode_jpeg
from mmfs.store import Store
from mmfs_assets.partitions import add_missing_shards, shards_of
from tests.assets.one_run import ASSETS, instance_of, settings_of
from tests.features.tiny import picture
from tests.s3 import s3_server

FILES = 6


@pytest.mark.cluster
def test_both_runs_succeed_and_every_shard_has_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media, home = tmp_path / "media", tmp_path / "home"
    media.mkdir()
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    for number in range(FILES):
        (media / f"{number}.jpg").write_bytes(encode_jpeg(picture(number)))
    with s3_server() as s3:
        s3.use(monkeypatch)
        url = f"{s3.make_bucket('neighbours')}/store"
        store = Store.open(settings=settings_of(url))
        FeatureStore(store).ingest([media])
        shards = shards_of(store)
        with instance_of(str(home)) as instance:
            add_missing_shards(instance, shards)
        runs = [
            subprocess.Popen([sys.executable, "-m", "tests.assets.one_run", url, str(home), half[0], half[-1]])
            for half in (shards[: FILES // 2], shards[FILES // 2 :])
        ]
        assert [run.wait(200) for run in runs] == [0, 0]
        for asset in ASSETS:
            assert store.tables.shards(asset) == dict.fromkeys(shards, 1)
        assert store.verify(deep=True).ok
