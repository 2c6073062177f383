"""The tables of a store: the one home of every column's type, meaning and unit.

A table's *grain* says what one row is about. Coarser columns broadcast to finer grains by ``media_id``. Tables of
one grain that cover the same rows line up position by position, because row order is a contract: within a shard
every table is sorted by its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from mmfs.errors import StoreError

Grain = Literal["media", "frame", "caption", "audio_window"]

#: Row-group length of every table, so that tables of one grain can be joined block by block.
ROW_GROUP_ROWS = 1024

#: Metadata keys that say what a packed binary column holds.
VECTOR_DTYPE_KEY = b"mmfs.vector.dtype"
VECTOR_DIM_KEY = b"mmfs.vector.dim"

VectorDtype = Literal["float16", "float32"]


@dataclass(frozen=True)
class VectorType:
    """A fixed-size vector, stored as packed little-endian bytes, handed out as a fixed-size list."""

    dim: int
    dtype: VectorDtype = "float16"

    @property
    def arrow(self) -> pa.DataType:
        """The type people see: ``fixed_size_list<float16|float32>[dim]``."""
        return pa.list_(pa.float16() if self.dtype == "float16" else pa.float32(), self.dim)


@dataclass(frozen=True)
class Column:
    """One column. ``vector`` marks a packed vector, whose stored type is ``binary``."""

    name: str
    type: pa.DataType
    description: str
    unit: str | None = None
    vector: VectorType | None = None

    def field(self) -> pa.Field:
        """The stored Arrow field, with description and unit as metadata."""
        metadata = {b"comment": self.description.encode()}
        if self.unit:
            metadata[b"unit"] = self.unit.encode()
        if self.vector:
            metadata[VECTOR_DTYPE_KEY] = self.vector.dtype.encode()
            metadata[VECTOR_DIM_KEY] = str(self.vector.dim).encode()
        return pa.field(self.name, self.type, metadata=metadata)


@dataclass(frozen=True)
class TableSpec:
    """One table.

    Attributes:
        name: Table name; also the Dagster asset key where an asset builds it.
        description: One sentence for people.
        key: Sort key within a shard, and the identity of a row.
        columns: All columns but ``shard``.
        grain: What a row is about, or ``None`` for bookkeeping tables.
        blob: Name of the logical column whose bytes lie in packs (``frames.image``), if any.
        codec: How those bytes are encoded: a name in :mod:`mmfs.codecs`.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    grain: Grain | None = None
    blob: str | None = None
    codec: str | None = None

    def column(self, name: str) -> Column:
        """The column of this name.

        Raises:
            StoreError: There is none.
        """
        for column in (*self.columns, SHARD):
            if column.name == name:
                return column
        raise StoreError(
            f"table {self.name} has no column {name!r}",
            mend="it has " + ", ".join(c.name for c in self.columns),
        )

    def arrow_schema(self) -> pa.Schema:
        """The stored schema: key and other columns, then ``shard``."""
        return pa.schema([column.field() for column in (*self.columns, SHARD)])

    @property
    def is_derived(self) -> bool:
        """Whether rows carry the fingerprint of what computed them."""
        return any(column.name == "fingerprint" for column in self.columns)


SHARD = Column("shard", pa.string(), "Shard that holds the row: the Dagster partition.")
_MEDIA_ID = Column("media_id", pa.string(), "First 128 bits of the SHA-256 of the media's bytes, 32 hex characters.")
_FRAME_INDEX = Column(
    "frame_index", pa.int64(), "Ordinal of the frame in the source's presentation order; 0 for images."
)
_CAPTION_INDEX = Column("caption_index", pa.int64(), "Ordinal of the caption of its media.")
_WINDOW_INDEX = Column("window_index", pa.int64(), "Ordinal of the window in its media: it begins so many hops in.")
FINGERPRINT = Column("fingerprint", pa.string(), "Hash of all that made the row: upstream, code, weights, parameters.")
BLOB_COLUMNS = (
    Column("pack", pa.string(), "Pack that holds the bytes, relative to the store."),
    Column("offset", pa.int64(), "Position of the bytes in the pack.", "bytes"),
    Column("length", pa.int64(), "Length of the bytes.", "bytes"),
    Column("crc32", pa.int64(), "CRC-32 of the bytes (zlib polynomial)."),
)
#: Key columns by grain.
GRAIN_KEYS: dict[Grain, tuple[Column, ...]] = {
    "media": (_MEDIA_ID,),
    "frame": (_MEDIA_ID, _FRAME_INDEX),
    "caption": (_MEDIA_ID, _CAPTION_INDEX),
    "audio_window": (_MEDIA_ID, _WINDOW_INDEX),
}
#: The table whose rows define a grain.
GRAIN_TABLES: dict[Grain, str] = {
    "media": "raw_media",
    "frame": "frames",
    "caption": "captions",
    "audio_window": "audio_windows",
}

_RAW_MEDIA = TableSpec(
    "raw_media",
    "Every distinct media file: what it is, measured from its bytes.",
    ("media_id",),
    (
        _MEDIA_ID,
        Column("kind", pa.string(), "image, video, audio or text."),
        Column("uri", pa.string(), "First source under which the bytes came."),
        Column("sha256", pa.string(), "SHA-256 of the bytes, 64 hex characters."),
        Column("size_bytes", pa.int64(), "Size of the file.", "bytes"),
        Column("container", pa.string(), "Container or file format, by its bytes: mp4, webm, jpeg, ..."),
        Column("video_codec", pa.string(), "Codec of the chosen video stream."),
        Column("audio_codec", pa.string(), "Codec of the chosen audio stream."),
        Column("width", pa.int64(), "Width as shown, after rotation.", "pixels"),
        Column("height", pa.int64(), "Height as shown, after rotation.", "pixels"),
        Column("rotation_deg", pa.int64(), "Clockwise rotation applied to show the picture upright.", "degrees"),
        Column("fps", pa.float64(), "Average frame rate of a video.", "frames/s"),
        Column("frame_count", pa.int64(), "Frames in the media, counted where cheap, else estimated."),
        Column("duration_s", pa.float64(), "Playing time.", "seconds"),
        Column("sample_rate_hz", pa.int64(), "Audio sample rate.", "Hz"),
        Column("channels", pa.int64(), "Audio channels."),
        Column("licence", pa.string(), "Licence as stated by the source."),
        Column("creator", pa.string(), "Creator as stated by the source."),
        Column("attributes", pa.string(), "Free attributes of the source, a JSON object."),
        Column("ingested_at_us", pa.int64(), "When the row was made.", "microseconds since 1970, UTC"),
        Column("added_by", pa.string(), "Who or what listed the media."),
    ),
    grain="media",
)
_LISTINGS = TableSpec(
    "listings",
    "What was found and which shard it was given, before any byte is read.",
    ("uri",),
    (
        Column("uri", pa.string(), "Where the media is."),
        Column("size_bytes", pa.int64(), "Size as listed.", "bytes"),
        Column("etag", pa.string(), "Change mark of the object store; null for local files."),
        Column("mtime_us", pa.int64(), "Last change as listed.", "microseconds since 1970, UTC"),
        Column("captions", pa.string(), "Texts of lists and sidecars: a JSON array of {text, source, language}."),
        Column("licence", pa.string(), "Licence as stated by the source."),
        Column("creator", pa.string(), "Creator as stated by the source."),
        Column("attributes", pa.string(), "Free attributes, a JSON object."),
        Column("added_by", pa.string(), "Who or what listed the media."),
        Column("refused", pa.string(), "Reason class and message if it may not be read, `reason: message`; else null."),
        Column("listed_at_us", pa.int64(), "When it was listed.", "microseconds since 1970, UTC"),
    ),
)
_SOURCES = TableSpec(
    "sources",
    "Every name under which the same bytes came.",
    ("media_id", "uri"),
    (
        _MEDIA_ID,
        Column("uri", pa.string(), "Where the bytes were found."),
        Column("seen_at_us", pa.int64(), "When they were read.", "microseconds since 1970, UTC"),
        Column("etag", pa.string(), "Change mark when read."),
    ),
)
_QUARANTINE = TableSpec(
    "quarantine",
    "What could not be read or computed, with the reason; nothing is dropped silently.",
    ("uri", "stage"),
    (
        Column("uri", pa.string(), "File, or sample key for features."),
        Column("stage", pa.string(), "Asset in which it failed."),
        _MEDIA_ID,
        Column("reason", pa.string(), "Reason class, from a closed set."),
        Column("message", pa.string(), "What the decoder or model said."),
        Column("library_versions", pa.string(), "Versions of the libraries involved, a JSON object."),
        Column("attempts", pa.int64(), "How often it was tried."),
        Column("mark", pa.string(), "Change mark of the file, or fingerprint of the step; null: to be tried again."),
        Column("at_us", pa.int64(), "When it was given up.", "microseconds since 1970, UTC"),
    ),
)
_CAPTIONS = TableSpec(
    "captions",
    "Texts about a media, several each.",
    ("media_id", "caption_index"),
    (
        _MEDIA_ID,
        _CAPTION_INDEX,
        Column("text", pa.string(), "The caption."),
        Column("source", pa.string(), "sidecar, list, or the name of the model that wrote it."),
        Column("language", pa.string(), "BCP 47 tag, if known."),
        FINGERPRINT,
    ),
    grain="caption",
)
_FRAMES = TableSpec(
    "frames",
    "Sampled, resized, JPEG-encoded frames; images are one-frame media.",
    ("media_id", "frame_index"),
    (
        _MEDIA_ID,
        _FRAME_INDEX,
        Column("pts_us", pa.int64(), "Presentation time.", "microseconds"),
        Column("time_s", pa.float64(), "Presentation time.", "seconds"),
        Column("frame_width", pa.int64(), "Width of the stored frame.", "pixels"),
        Column("frame_height", pa.int64(), "Height of the stored frame.", "pixels"),
        Column("is_keyframe", pa.bool_(), "Whether the source frame starts a group of pictures."),
        *BLOB_COLUMNS,
        FINGERPRINT,
    ),
    grain="frame",
    blob="image",
    codec="jpeg",
)
_AUDIO_WINDOWS = TableSpec(
    "audio_windows",
    "Sound of audio files and videos in windows of one length, resampled, as FLAC.",
    ("media_id", "window_index"),
    (
        _MEDIA_ID,
        _WINDOW_INDEX,
        Column("start_s", pa.float64(), "When the window begins, since the presentation began.", "seconds"),
        Column("end_s", pa.float64(), "When it ends; the last one of a media may be shorter.", "seconds"),
        Column("sample_rate_hz", pa.int64(), "Sample rate of the stored sound.", "Hz"),
        Column("channels", pa.int64(), "Channels of the stored sound."),
        *BLOB_COLUMNS,
        FINGERPRINT,
    ),
    grain="audio_window",
    blob="audio",
    codec="flac",
)
_QDRANT_INDEX = TableSpec(
    "qdrant_index",
    "Which build of a search space holds which rows of a shard.",
    ("space",),
    (
        Column("space", pa.string(), "Searchable embedding table."),
        Column("build_id", pa.string(), "Build that was published with the shard's rows."),
        Column("table_version", pa.int64(), "Delta version of the embedding table at the build."),
        Column("rows", pa.int64(), "Points of this shard."),
        Column("key_digest", pa.string(), "Order-free fingerprint of (id, row hash) over the shard's points."),
        Column("published_at_us", pa.int64(), "When it was published.", "microseconds since 1970, UTC"),
    ),
)
_SUBSETS = TableSpec(
    "subsets",
    "Named selections of samples with their provenance; the shard is the subset's name.",
    ("key",),
    (
        Column("key", pa.string(), "Sample key, <media_id>:<index>."),
        Column("media_id", pa.string(), "Media of the sample."),
        Column("index", pa.int64(), "Index of the sample in its media; null at the grain of media."),
        Column("grain", pa.string(), "Grain of the key."),
        Column("rank", pa.int64(), "Position in the answer it was saved from."),
        Column("score", pa.float64(), "Score in that answer."),
        Column("segment_start_s", pa.float64(), "Start of the time range, for segment hits.", "seconds"),
        Column("segment_end_s", pa.float64(), "End of the time range, for segment hits.", "seconds"),
        Column("query", pa.string(), "Query or SQL that chose it."),
        Column("where", pa.string(), "WHERE condition of that query."),
        Column("model", pa.string(), "Model of the search space."),
        Column("build_id", pa.string(), "Index build that answered."),
        Column("source_versions", pa.string(), "Table versions read, a JSON object."),
        Column("saved_at_us", pa.int64(), "When it was saved.", "microseconds since 1970, UTC"),
    ),
)
_DUPLICATES = TableSpec(
    "duplicates",
    "Near duplicates: every frame with its group, and whether it is kept.",
    ("media_id", "frame_index"),
    (
        _MEDIA_ID,
        _FRAME_INDEX,
        Column("group_key", pa.string(), "Key of the frame that stands for the group; its own without duplicates."),
        Column("is_kept", pa.bool_(), "Whether the frame stays; of each group the frames of one media do."),
        Column("similarity", pa.float32(), "Cosine to the most similar kept frame of the group but itself."),
        Column("reason", pa.string(), "phash, vector, or phash and vector; null without duplicates."),
        FINGERPRINT,
    ),
    grain="frame",
)
_TRAINING_RUNS = TableSpec(
    "training_runs",
    "What each training run read: enough to compute every step's keys. The shard is the run id.",
    ("run_id", "segment"),
    (
        Column("run_id", pa.string(), "Run."),
        Column("segment", pa.int64(), "A new one at each start or change of topology."),
        Column("pin", pa.string(), "Name of the pin; of a mixture, names and weights: `pin-a=3,pin-b=1`."),
        Column("selection_id", pa.string(), "Hash of the ordered sample keys."),
        Column("order_parameters", pa.string(), "Id of the order; block length, streams, group of each pin: JSON."),
        Column("shuffle", pa.bool_(), "Whether the order is shuffled."),
        Column("seed", pa.int64(), "Seed of the order."),
        Column("epoch", pa.int64(), "Epoch at the start of the segment."),
        Column("first_position", pa.int64(), "Position in the epoch at the start of the segment."),
        Column("first_buckets", pa.string(), "Position in each shape bucket then: a JSON list; null without buckets."),
        Column("first_step", pa.int64(), "Global step at the start of the segment."),
        Column("world_size", pa.int64(), "Ranks."),
        Column("batch_size", pa.int64(), "Samples a rank and step."),
        Column("drop_last", pa.bool_(), "Whether the last partial batch is dropped."),
        Column("stream", pa.bool_(), "Whether batches straddle epochs (`loader.stream()`)."),
        Column("started_at_us", pa.int64(), "Start.", "microseconds since 1970, UTC"),
        Column(
            "ended_at_us",
            pa.int64(),
            "End; null while running or after a crash.",
            "microseconds since 1970, UTC",
        ),
        Column("last_position", pa.int64(), "Position after the last delivered batch; null while running."),
        Column("last_step", pa.int64(), "Global step after the last delivered batch; null while running."),
    ),
)
_TOMBSTONES = TableSpec(
    "tombstones",
    "Media that must not be read any more.",
    ("media_id",),
    (
        _MEDIA_ID,
        Column("reason", pa.string(), "Why it was taken down."),
        Column("at_us", pa.int64(), "When.", "microseconds since 1970, UTC"),
        Column("receipt", pa.string(), "Receipt of the takedown, a JSON object."),
    ),
)

#: Tables that every store has from the start. Features add theirs (`feature_table`).
BASE_TABLES: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        _RAW_MEDIA,
        _LISTINGS,
        _SOURCES,
        _QUARANTINE,
        _CAPTIONS,
        _FRAMES,
        _AUDIO_WINDOWS,
        _QDRANT_INDEX,
        _SUBSETS,
        _DUPLICATES,
        _TRAINING_RUNS,
        _TOMBSTONES,
    )
}


def feature_table(
    name: str,
    description: str,
    grain: Grain,
    columns: tuple[Column, ...],
    *,
    blob: str | None = None,
    codec: str | None = None,
) -> TableSpec:
    """The table of a feature: the grain's key, its own columns, blob references if any, and the fingerprint."""
    keys = GRAIN_KEYS[grain]
    blobs = BLOB_COLUMNS if blob else ()
    return TableSpec(
        name,
        description,
        tuple(column.name for column in keys),
        (*keys, *columns, *blobs, FINGERPRINT),
        grain=grain,
        blob=blob,
        codec=codec,
    )


def vector_column(name: str, description: str, vector: VectorType) -> Column:
    """A packed vector column."""
    return Column(name, pa.binary(), description, vector=vector)
