"""Starting on a large pin: what it costs must not grow with rows."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

from mmfs.loader.order import Order, blocks_of
from mmfs.loader.reader import PinReader, ReadOptions
from mmfs.loader.state import State
from mmfs.loader.step import Step
from mmfs.loader.steps import epoch_steps
from mmfs.loader.topology import Topology
from mmfs.store.objects import Objects
from mmfs.store.pin import OrderParameters, Pin, PinnedColumn, PinnedFile, PinnedTable
from mmfs.store.pins import read_pin

SHARDS, ROWS = 10_000, 100_000


def large_pin() -> Pin:
    """A thousand million rows in ten thousand shards."""

    def files(table: str) -> tuple[PinnedFile, ...]:
        return tuple(
            PinnedFile(
                path=f"{table}/shard={n:06d}/0123456789abcdef-0.parquet", shard=f"{n:06d}", rows=ROWS, size_bytes=1
            )
            for n in range(SHARDS)
        )

    shard_rows = {f"{n:06d}": ROWS for n in range(SHARDS)}
    vector = PinnedColumn(table="clip_embeddings", field="vector", grain="frame", kind="vector", dtype="<f2", dim=512)
    return Pin(
        name="large",
        id="",
        selection_id="s" * 32,
        grain="frame",
        columns=("clip_embeddings.vector",),
        sources={"clip_embeddings.vector": vector},
        tables={
            table: PinnedTable(version=1, files=files(table), data_versions=dict.fromkeys(shard_rows, "d" * 64))
            for table in ("frames", "clip_embeddings")
        },
        samples=SHARDS * ROWS,
        order=OrderParameters().resolved(blocks_of(list(shard_rows.values()), 16)),
        shard_rows=shard_rows,
        coverage={},
        created_at_us=0,
    ).with_id()


def start(document: bytes, folder: Path) -> Step:
    """All that a rank does before it reads its first row."""
    pin = read_pin(document, "large")
    order = Order(tuple(pin.shard_rows.values()), pin.order)
    PinReader(Objects.open(folder), pin, ReadOptions())
    assert pin.report() == "1,000,000,000 samples (frame) in 10,000 shards; every column complete"
    return next(epoch_steps(order, State(pin.selection_id, order.id, 0), Topology(3, 8, 256), drop_last=False))


def test_a_thousand_million_rows_in_ten_thousand_shards_start_within_a_cpu_second(tmp_path: Path) -> None:
    document = large_pin().document()
    began = time.process_time()
    step = start(document, tmp_path)
    assert time.process_time() - began < 1.0
    assert len(set(step.samples.tolist())) == 256


def test_they_start_within_100_megabytes(tmp_path: Path) -> None:
    document = large_pin().document()
    tracemalloc.start()
    try:
        start(document, tmp_path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100e6
    # Two tables of 10,000 files and their digests: nothing here may grow with rows.
    assert peak_bytes < 15 * len(document)
