"""`mmfs verify --drop-damaged`: what it dropped is said, also where something else cannot be read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmfs.store import Store
from tests.cli.conftest import Run
from tests.conftest import add_frames, add_media


def test_what_was_dropped_is_said_before_memory_runs_out(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shard, numbers in (("000001", range(1)), ("000002", range(1, 3))):
        add_media(store, shard, numbers)
        add_frames(store, shard, numbers)
    first, second = (Path(store.url, file.path) for file in store.tables.files("frames"))
    first.write_bytes(bytes(first.stat().st_size))
    read = pq.ParquetFile.read

    def short(file: pq.ParquetFile, *arguments: object, **options: object) -> pa.Table:
        if file.metadata.num_rows == 6:
            raise pa.lib.ArrowMemoryError("malloc of size 1073741824 failed")
        return read(file, *arguments, **options)

    monkeypatch.setattr(pq.ParquetFile, "read", short)
    code, out, err = run("verify", "--drop-damaged", "--store", store.url)
    assert code == 1
    assert "frames 000001: 3 rows dropped; `mmfs materialize` computes them again" in out
    assert f"cannot read frames/shard=000002/{second.name}: malloc of size 1073741824 failed" in err
    assert "free memory" in err
    assert store.tables.shards("frames") == {"000001": 0, "000002": 6}
