"""Writers at the same time on a bucket: what a directory promises holds there, too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmfs.settings import Settings
from mmfs.store import Store
from tests.conftest import add_frames
from tests.s3 import S3Server, s3_server
from tests.store.days import SHARD, add_day, content
from tests.store.writers import compact, end, start, write_media


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Store:
    """An empty store in a bucket of its own."""
    s3.use(monkeypatch)
    name = request.node.name.replace("_", "-")[:40].strip("-")
    return Store.open(f"{s3.make_bucket(name)}/store", settings=Settings())


def test_two_runs_over_neighbouring_shards_of_one_table_surface_no_conflict(bucket: Store) -> None:
    # Shards of the two runs alternate, as those of neighbouring backfills do.
    writers = [start(write_media, bucket.url, first, 6, 2) for first in (0, 1)]
    assert [end(writer) for writer in writers] == [0, 0]
    assert bucket.tables.shards("raw_media") == {f"{shard:06d}": 1 for shard in range(12)}
    assert bucket.verify().ok


@pytest.mark.cluster
def test_eight_run_workers_commit_to_one_table_and_lose_nothing(bucket: Store) -> None:
    writers = [start(write_media, bucket.url, number, 6, 8) for number in range(8)]
    assert [end(writer) for writer in writers] == [0] * 8
    assert bucket.tables.shards("raw_media") == {f"{shard:06d}": 1 for shard in range(48)}


def test_compaction_beside_a_writer_of_another_shard_loses_nothing(bucket: Store) -> None:
    for day in range(8):
        add_day(bucket, range(day * 3, day * 3 + 3))
    before = content(bucket)
    compactor = start(compact, bucket.url)
    add_frames(bucket, "000002", range(100, 102))
    assert end(compactor) == 0
    kept = bucket.tables.read("frames", shard=SHARD)
    assert len(set(kept.column("pack").to_pylist())) == 1
    assert bucket.blobs("frames", kept) == before[1]
    assert bucket.tables.shards("frames") == {SHARD: 24, "000002": 6}
