"""Starting on a large pin: what it costs must not grow with rows."""

from __future__ import annotations

import time
from pathlib import Path

from mmfs.loader.order import Order, blocks_of
from mmfs.loader.reader import PinReader, ReadOptions
from mmfs.loader.state import State
from mmfs.loader.steps import epoch_steps
from mmfs.loader.topology import Topology
from mmfs.store.objects import Objects
from mmfs.store.pin import OrderParameters, Pin, PinnedColumn, PinnedFile, PinnedTable

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
        tables={table: PinnedTable(version=1, files=files(table)) for table in ("frames", "clip_embeddings")},
        samples=SHARDS * ROWS,
        order=OrderParameters().resolved(blocks_of(list(shard_rows.values()), 16)),
        shard_rows=shard_rows,
        coverage={},
        created_at_us=0,
    ).with_id()


def test_a_thousand_million_rows_in_ten_thousand_shards_start_within_a_cpu_second(tmp_path: Path) -> None:
    document = large_pin().model_dump_json()
    began = time.process_time()
    pin = Pin.model_validate_json(document)
    order = Order(tuple(pin.shard_rows.values()), pin.order)
    PinReader(Objects.open(tmp_path), pin, ReadOptions(cache=tmp_path))
    step = next(epoch_steps(order, State(pin.selection_id, order.id, 0), Topology(3, 8, 256), drop_last=False))
    assert time.process_time() - began < 1.0
    assert len(set(step.samples.tolist())) == 256
