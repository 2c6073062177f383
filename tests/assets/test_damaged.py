"""Rows whose bytes are damaged are dropped and computed again; all others stay as they are."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mmfs.cli.app import app
from mmfs.errors import IntegrityError
from mmfs.store.damaged import drop_damaged
from tests.assets.conftest import SHARDS, World


def test_damaged_rows_are_dropped_and_the_next_run_computes_them_and_nothing_else(done: World) -> None:
    store = done.store
    before = {table: store.tables.digest(table) for table in ("frames", "clip_embeddings", "depth_maps")}
    [pack] = (done.root / "store" / "packs" / "frames" / SHARDS[0]).glob("*.tar")
    first = store.tables.read("frames", shard=SHARDS[0]).to_pylist()[0]
    with pack.open("r+b") as file:
        file.seek(first["offset"])
        file.write(bytes(8))
    [gone] = (done.root / "store" / "packs" / "depth_maps" / SHARDS[1]).glob("*.tar")
    gone.unlink()
    with pytest.raises(IntegrityError, match="verify --drop-damaged"):
        store.blobs("frames", store.tables.read("frames", shard=SHARDS[0]))

    said = CliRunner().invoke(app, ["verify", "--drop-damaged", "--store", store.url], env={"COLUMNS": "200"})
    assert f"frames {SHARDS[0]}: 1 rows dropped; `mmfs materialize` computes them again" in said.output
    assert f"depth_maps {SHARDS[1]}: 2 rows dropped" in said.output
    made = done.materialize("frames", "clip_embeddings", "depth_maps")
    assert made.failures == {}
    assert (made.computed["frames"], made.computed["clip_embeddings"], made.computed["depth_maps"]) == (1, 0, 2)
    assert {table: store.tables.digest(table) for table in before} == before
    assert done.store.verify(deep=True).problems == []
    assert drop_damaged(store) == {}
