"""What a run stores, and what is computed live from the same inputs, agree within the tolerance a feature declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mmfs.codecs import encode_flac, encode_jpeg
from mmfs.features.decoding.decoders import decode
from mmfs.features.feature import Blob, Feature, InputColumn, Text
from mmfs.features.live import compute_rows, picture_tensor
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.schemas import GRAIN_KEYS
from mmfs.settings import ClipConfig, DepthConfig, Settings
from mmfs.store import Store
from mmfs.store.packs import PackWriter
from tests.conftest import add_frames, media_id
from tests.features.tiny import SHARD, add_captions, picture

SIZES = [(48, 64), (64, 48), (40, 90)]
RATE_HZ = 16_000


def add_sound(store: Store) -> None:
    """Five windows of two media, each another chord."""
    keys = [(number, index) for number, windows in enumerate((3, 2)) for index in range(windows)]
    time_s = np.arange(RATE_HZ) / RATE_HZ
    rng = np.random.default_rng(0)
    with PackWriter(store.objects, "audio_windows", SHARD) as packs:
        for number, index in keys:
            chord = sum(np.sin(2 * np.pi * pitch * time_s) for pitch in rng.uniform(80, 4000, 3)) / 4
            packs.add(f"{media_id(number)}_{index:06d}.flac", encode_flac(chord[None].astype(np.float32), RATE_HZ))
        refs = packs.finish()
    rows = [
        {
            "media_id": media_id(number),
            "window_index": index,
            "start_s": float(index),
            "end_s": index + 1.0,
            "sample_rate_hz": RATE_HZ,
            "channels": 1,
            "pack": ref.pack,
            "offset": ref.offset,
            "length": ref.length,
            "crc32": ref.crc32,
            "fingerprint": "a",
        }
        for (number, index), ref in zip(keys, refs, strict=True)
    ]
    store.tables.update("audio_windows", SHARD, lambda _: pa.Table.from_pylist(rows))


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory, clip_dir: Path, depth_dir: Path) -> Store:
    """A store with every shipped feature of a few frames, captions and sounds. Read only."""
    settings = Settings(
        clip=ClipConfig(model=f"local-dir:{clip_dir}", batch_size=4),
        depth=DepthConfig(model=str(depth_dir), batch_size=4),
        device="cpu",
        workers=1,
    )
    store = Store.open(tmp_path_factory.mktemp("parity") / "store", settings=settings)
    blob = lambda number, index: encode_jpeg(picture(10 * number + index, SIZES[number % len(SIZES)]))  # noqa: E731
    add_frames(store, SHARD, range(5), per_media=3, blob=blob)
    add_captions(store, [["a red ball", "two dogs"], ["a cat on a mat"], ["", "rain", "a long street in the rain"]])
    add_sound(store)
    for spec in registered(settings).values():
        run_feature(store, instantiate(spec, settings), SHARD)
    return store


def inputs_of(store: Store, feature: Feature) -> list[dict[str, Any]]:
    """The input values of a feature's rows, read column by column without the runner."""
    spec = feature.spec
    key = [column.name for column in GRAIN_KEYS[spec.grain]]
    keys = [tuple(row.values()) for row in store.tables.read(spec.table, columns=key).to_pylist()]
    columns = {column.name: values_of(store, column) for column in spec.inputs}
    return [{name: values[own] for name, values in columns.items()} for own in keys]


def values_of(store: Store, column: InputColumn) -> dict[tuple[Any, ...], Any]:
    """Values of an input by key."""
    table = store.tables.spec(column.table)
    rows = store.tables.read(column.table)
    if column.column == table.blob:
        decoded = [decode(table.codec or "", data) for data in store.blobs(column.table, rows)]
        values = [picture_tensor(one) if table.codec == "jpeg" else torch.from_numpy(one) for one in decoded]  # type: ignore[arg-type]
    elif table.column(column.column).vector:
        values = [torch.tensor(one, dtype=torch.float32) for one in rows[column.column].to_pylist()]
    else:
        values = rows[column.column].to_pylist()
    found = dict(zip(zip(*(rows[name].to_pylist() for name in table.key), strict=True), values, strict=True))
    if not column.is_previous:
        return found
    keys = list(found)
    before = [other if other[0] == own[0] else own for own, other in zip(keys, [keys[0], *keys], strict=False)]
    return {own: found[other] for own, other in zip(keys, before, strict=True)}


@pytest.mark.parametrize("table", list(registered(Settings())))
def test_stored_and_live_results_agree(computed: Store, table: str) -> None:
    feature = instantiate(registered(computed.settings)[table], computed.settings)
    feature.batch_size = 3  # other batches than those of the run
    feature.load("cpu")
    rows = inputs_of(computed, feature)
    assert len(rows) >= 5
    live = compute_rows(feature, rows[::-1])
    stored = computed.tables.read(table)
    spec = computed.tables.spec(table)
    for name, output in feature.outputs.items():
        mine = live[name][::-1]
        if isinstance(output, Blob):
            theirs = [decode(spec.codec or "", data) for data in computed.blobs(table, stored)]
        else:
            theirs = stored[name].to_pylist()
        for one, other in zip(mine, theirs, strict=True):
            assert agree(one, other, 0 if isinstance(output, Text) else feature.tolerance), name


def agree(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two values are equal, or, for floats, no further apart than the tolerance."""
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype.kind != "f":
        return bool(np.array_equal(one, other))
    apart = np.abs(one.astype(np.float64) - other)
    return bool((apart <= tolerance * np.maximum(1, np.abs(other))).all())


def test_results_of_no_feature_are_all_the_same(computed: Store) -> None:
    # What is compared above would also agree if nothing were computed.
    for spec in registered(computed.settings).values():
        rows = computed.tables.read(spec.table).drop_columns(["media_id", "fingerprint", "shard"]).to_pylist()
        assert len({str({k: v for k, v in row.items() if not k.endswith("_index")}) for row in rows}) >= 5, spec.table
