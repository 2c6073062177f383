"""A pin: versions of several tables and one selection of samples, fixed together, as one immutable document.

A pin names every file it needs, so that reading through it asks no table history, and retention can keep exactly
those files. It says of each column what it is, so that a loader needs nothing but the pin and the objects.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from mmfs.ids import digest
from mmfs.schemas import Grain

Missing = Literal["error", "skip", "null"]

#: More streams mix a batch better; beyond this many they no longer do at any world size tried.
_MOST_STREAMS = 7680

#: Before the name of a feature's output: the column is computed while loading.
LIVE = "live:"

#: What the name and the time of making must not change.
_NOT_IN_ID = {"name", "id", "selection", "created_at_us"}

#: What pins and their tables did not have from the start: it counts where it says something, so that older pins keep
#: their ids.
_LATER = ("live", "buckets", "selected", "absent")
_LATER_OF_TABLES = ("data_versions", "run_ids")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OrderParameters(_Frozen):
    """How the sample order is made (mmfs/loader/README.md); kept in the pin so that later defaults change nothing."""

    block: int = Field(16, ge=1, description="Samples in a block, the unit that is permuted.")
    streams: int | None = Field(None, ge=1, description="Streams read in turn; None: chosen by `resolved`.")
    group: int = Field(1, ge=1, description="Blocks of a stream that are shuffled together.")

    def resolved(self, blocks: int) -> OrderParameters:
        """These parameters with the number of streams fixed.

        By default a stream holds two blocks at least, or neighbouring streams would often draw from one block; and
        their number is prime, so that no world size divides it: a rank takes every W-th position, and would else
        visit few streams. (Distinct videos in a rank's batch of 64, over ideal, 400 videos in 4 shards: 0.92 with a
        stream a block at W = 1; 4,000 videos, 7,680 streams at W = 256: 0.55. So chosen: 1.00 and more in both.)

        >>> OrderParameters().resolved(1250).streams, OrderParameters(streams=9).resolved(4).streams
        (619, 4)
        """
        streams = min(self.streams, blocks) if self.streams else _prime_up_to(min(_MOST_STREAMS, blocks // 2))
        return self.model_copy(update={"streams": max(1, streams)})


class Window(_Frozen):
    """A sample made of several stored rows of one media, in order.

    Attributes:
        frames: Rows in a sample (T).
        stride: Distance between its rows, in stored rows.
        step: Distance between the first rows of neighbouring samples.
    """

    frames: int = Field(ge=1)
    stride: int = Field(1, ge=1)
    step: int = Field(1, ge=1)

    @property
    def span(self) -> int:
        """Stored rows from the first to the last row of a sample, both counted."""
        return (self.frames - 1) * self.stride + 1


class PinnedFile(_Frozen):
    """One Parquet file; ``path`` is relative to the store."""

    path: str
    shard: str
    rows: int
    size_bytes: int


class PinnedTable(_Frozen):
    """One table at one version.

    Attributes:
        version: Version of the table.
        files: Its files, one a shard, shards sorted.
        packs: Packs that the selected rows name, sorted; empty when its bytes were not asked for.
        lineage: Where the version came from: asset key.
        data_versions: Content digest of the rows of each shard.
        run_ids: Dagster runs that committed its files, sorted; what was written outside of runs adds none.
    """

    version: int
    files: tuple[PinnedFile, ...]
    packs: tuple[str, ...] = ()
    lineage: dict[str, str] = Field(default_factory=dict)
    data_versions: dict[str, str] = Field(default_factory=dict)
    run_ids: tuple[str, ...] = ()


class PinnedColumn(_Frozen):
    """What a column is, so that it can be read without the table's schema.

    Attributes:
        table: Table that holds it.
        field: Stored column; for blobs the logical one, whose bytes lie in packs.
        grain: Grain of the table: coarser than the sample's means the value is broadcast by media.
        kind: blob: bytes in packs; vector: packed little-endian numbers; scalar: a number or bool; text: a string.
        codec: How blobs are encoded.
        dtype: NumPy type of vectors and scalars, little-endian.
        dim: Length of vectors.
    """

    table: str
    field: str
    grain: Grain
    kind: Literal["blob", "vector", "scalar", "text"]
    codec: str | None = None
    dtype: str | None = None
    dim: int | None = None


class LiveInput(_Frozen):
    """A value that a live column is computed from.

    Attributes:
        name: As the feature knows it: ``frames.image`` or ``frames.image@previous``.
        column: The stored column, a key of `Pin.sources`.
        is_previous: Whether the row before in the same media is meant; the row itself where there is none before.
    """

    name: str
    column: str
    is_previous: bool = False


class LiveColumn(_Frozen):
    """A column that is computed while loading, and what must be so that it comes out the same.

    Attributes:
        value: What the stored column would be: feature's table, output, grain, kind.
        inputs: What it is computed from.
        fingerprint: Digest of the feature's code, config, weights and output types.
        parts: The digest of each of these alone, so that an error can say which one differs.
    """

    value: PinnedColumn
    inputs: tuple[LiveInput, ...]
    fingerprint: str
    parts: dict[str, str]


class Bucket(_Frozen):
    """Samples whose pictures are cut to one height and width.

    Attributes:
        height, width: In pixels.
        streams: Streams of the bucket's own order (`OrderParameters.streams`).
        shard_rows: Its samples in each shard that has any, shards sorted.
    """

    height: int
    width: int
    streams: int
    shard_rows: dict[str, int]

    @property
    def samples(self) -> int:
        """Number of its samples."""
        return sum(self.shard_rows.values())


class Pin(_Frozen):
    """A pin. Two pins of equal ``id`` hold the same bytes; of equal ``selection_id``, the same samples in order.

    Attributes:
        columns: What a sample has, as ``table.column`` or ``live:table.column``, in the order asked.
        sources: What each stored column is: those asked for, and those that live columns are computed from.
        live: What each live column is.
        tables: Every table read, also for keys alone.
        subset, where, missing, window: As given to `Pins.create`.
        samples: Number of samples.
        order: How their order is made; with buckets, each has its own number of streams.
        shard_rows: Samples of each shard, shards sorted.
        buckets: The samples by the shape of their pictures, if asked for. Samples are numbered bucket by bucket, and
            each bucket has an order of its own.
        selection: Parquet file of the selected row runs, relative to the store; None when every row is a sample.
        coverage: Share of the selected rows that have each column (a live one: its inputs), before ``missing`` was
            applied.
        selected: How many rows that are: those which ``where``, ``subset`` and tombstones leave. None in pins made
            before it was kept.
        absent: Keys of the subset that are in no row of the table.
    """

    name: str
    id: str
    selection_id: str
    grain: Grain
    columns: tuple[str, ...]
    sources: dict[str, PinnedColumn]
    live: dict[str, LiveColumn] = Field(default_factory=dict)
    tables: dict[str, PinnedTable]
    where: str | None = None
    subset: str | None = None
    missing: Missing = "error"
    window: Window | None = None
    samples: int
    order: OrderParameters
    shard_rows: dict[str, int]
    buckets: tuple[Bucket, ...] = ()
    selection: str | None = None
    coverage: dict[str, float]
    selected: int | None = None
    absent: int = 0
    created_at_us: int

    def document(self) -> bytes:
        """The pin as JSON; one without buckets reads as it did before there were any."""
        return self.model_dump_json(indent=1, exclude=None if self.buckets else {"buckets"}).encode()

    def with_id(self) -> Self:
        """The same pin with its ``id``: a hash of everything but its name and the time it was made."""
        left_out: dict[str, Any] = dict.fromkeys(_NOT_IN_ID, True)
        left_out |= {name: True for name in _LATER if not getattr(self, name)}
        left_out["tables"] = {
            name: {later for later in _LATER_OF_TABLES if not getattr(table, later)}
            for name, table in self.tables.items()
        }
        content = self.model_dump_json(exclude=left_out)
        return self.model_copy(update={"id": digest("pin/1", content)[:32]})

    @property
    def lineage(self) -> dict[str, dict[str, Any]]:
        """Per table: ``version``, ``shards``, ``asset_key``, ``data_versions`` by shard and ``run_ids``."""
        return {
            name: {
                "version": table.version,
                "shards": len(table.files),
                **table.lineage,
                "data_versions": table.data_versions,
                "run_ids": list(table.run_ids),
            }
            for name, table in self.tables.items()
        }

    def report(self, *, taken_down: int = 0) -> str:
        """One line on what training will see: samples, columns that not all of them have, what was left out.

        Args:
            taken_down: Samples that were taken down since the pin was made (`mmfs.loader.taken_down_samples`).
        """
        from mmfs.store.pin_report import coverage_report

        return coverage_report(self, taken_down=taken_down)


#: Selected row runs, bucket by bucket, shard by shard: ``runs[i]`` holds ``samples`` samples that begin at
#: ``first_row`` of ``shard`` and lie ``window.step`` rows (one row without a window) apart.
RUNS_SCHEMA = pa.schema([("shard", pa.string()), ("first_row", pa.int64()), ("samples", pa.int64())])


def _prime_up_to(largest: int) -> int:
    """The largest prime not above ``largest``, or 1."""
    for number in range(largest, 1, -1):
        if all(number % divisor for divisor in range(2, math.isqrt(number) + 1)):
            return number
    return 1
