"""Rows whose bytes are damaged are dropped and computed again; all others stay as they are."""

from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

from mmfs.cli.app import app
from mmfs.client import FeatureStore
from mmfs.errors import IntegrityError
from mmfs.store.damaged import drop_damaged
from tests.assets.conftest import SHARDS, World


def test_damaged_rows_are_dropped_and_the_next_run_computes_them_and_nothing_else(done: World) -> None:
    store = done.store
    tables = ("frames", "clip_embeddings", "depth_maps", "captions", "audio_windows")
    before = {table: store.tables.digest(table) for table in tables}
    [pack] = (done.root / "store" / "packs" / "frames" / SHARDS[0]).glob("*.tar")
    first = store.tables.read("frames", shard=SHARDS[0]).to_pylist()[0]
    with pack.open("r+b") as file:
        file.seek(first["offset"])
        file.write(bytes(8))
    [gone] = (done.root / "store" / "packs" / "depth_maps" / SHARDS[1]).glob("*.tar")
    gone.unlink()
    for table in ("captions", "audio_windows"):
        [file] = store.tables.files(table, shard=SHARDS[1])
        (done.root / "store" / file.path).write_bytes(bytes(file.size_bytes))
    with pytest.raises(IntegrityError, match="verify --drop-damaged"):
        store.blobs("frames", store.tables.read("frames", shard=SHARDS[0]))

    said = CliRunner().invoke(app, ["verify", "--drop-damaged", "--store", store.url], env={"COLUMNS": "200"})
    assert f"frames {SHARDS[0]}: 1 rows dropped; `mmfs materialize` computes them again" in said.output
    for table in ("depth_maps", "captions"):
        assert f"{table} {SHARDS[1]}: 2 rows dropped" in said.output
    made = done.materialize(*tables)
    assert made.failures == {}
    assert [made.computed[table] for table in tables] == [1, 0, 2, 2, 0]
    assert {table: store.tables.digest(table) for table in before} == before
    assert done.store.verify(deep=True).problems == []
    assert drop_damaged(store) == {}


@pytest.mark.parametrize("lost", ["index", "build"])
def test_an_index_that_is_lost_or_damaged_is_built_anew_by_all_though_every_shard_is_fresh(
    lost: str, done: World
) -> None:
    folder = done.root / "store" / "index"
    if lost == "index":
        shutil.rmtree(folder)
    else:
        for build in folder.glob("*/*/edge"):
            shutil.rmtree(build)
    assert FeatureStore(done.store).verify(index=True).problems != []
    assert done.materialize("qdrant_index").runs == [], "of the tables, nothing is stale"
    assert done.materialize("qdrant_index", missing=False).failures == {}
    assert FeatureStore(done.store).verify(index=True).problems == []
