"""What an asset's page says first: what the table is, what a row is, how to read it, where to go next."""

import inspect

from mmfs.features.feature import Feature
from mmfs.schemas import BASE_TABLES, Grain, TableSpec

_ROWS: dict[Grain, str] = {
    "media": "one media: a file, known by its bytes",
    "frame": "one frame of a picture or video",
    "caption": "one text about a media",
    "audio_window": "one stretch of sound of a media",
}

#: Of the tables that every store has: how they come about, and where to go from there.
_STORIES: dict[str, tuple[str, str]] = {
    "listings": (
        "`mmfs ingest` and the sensor `new_media` fill it; no run does. New files join the one open shard until it is "
        "full, then the next shard is opened: a shard is the partition of everything that follows.",
        "`raw_media` reads the files.",
    ),
    "raw_media": (
        "Every file of a shard is read once, hashed, probed and validated in a process of its own. Equal bytes are one "
        "media, however many names they have (table `sources`); what cannot be read is a row of `quarantine` with the "
        "reason, and fails nothing.",
        "`frames`, `captions` and `audio_windows` cut media into samples.",
    ),
    "captions": (
        "Texts come from files beside the media, from lists, and from models.",
        "`text_embeddings` makes them searchable by meaning.",
    ),
    "frames": (
        "Videos are sampled and photos are taken whole (`MMFS_FRAMES__...`), resized, and kept as JPEG in packs, so "
        "that no feature decodes a video again.",
        "every feature of frames: `clip_embeddings`, `depth_maps`, `frame_quality`, and those of your own.",
    ),
    "audio_windows": (
        "Sound is cut into windows of one length, resampled (`MMFS_AUDIO__...`), and kept as FLAC in packs, so that no "
        "feature decodes a file again.",
        "`audio_features`, and features of your own.",
    ),
    "qdrant_index": (
        "One run brings every search space up to date with its table, checks the build against it (recall and rows), "
        "and publishes it in one step: searches never see half an index.",
        '`mmfs search "a red ball"`.',
    ),
    "duplicates": (
        "A new frame may join a group in any shard, so all are looked at at once, and there are no partitions.",
        'leave duplicates out where you pin or search: `where="is_kept"`.',
    ),
    "training_runs": (
        "Training runs elsewhere, as their loaders report them (set `MMFS_DAGSTER_URL` where training runs): pin, "
        "selection, table versions, and where they stand. The data version is the id of the pin.",
        "`mmfs runs` lists them, `mmfs keys-at` says which samples a step saw.",
    ),
}


def described(name: str) -> str:
    """Of a table that every store has, as Markdown."""
    table = BASE_TABLES[name]
    story, then = _STORIES[name]
    return _page(table.description, [story, _reading(table), f"**Next:** {then}"])


def described_feature(cls: type[Feature], table: TableSpec | None) -> str:
    """Of a feature, as Markdown: what its class says of itself.

    Args:
        table: Its table; None where the model is not here.
    """
    spec = cls.spec
    paragraphs = inspect.cleandoc(cls.__doc__ or "").replace("``", "`").split("\n\n")[1:]
    reads = ", ".join(f"`{column.name}`" for column in spec.inputs)
    then = "`qdrant_index` makes it searchable." if spec.space else "columns for SQL, conditions and the loader."
    made = f"Computed from {reads} by `{cls.__module__}.{cls.__qualname__}`. Rows are computed again when its code, "
    made += f"weights, parameters or inputs change: `mmfs plan {spec.table} --why`."
    return _page(spec.description, [*paragraphs, made, _reading(table) if table else "", f"**Next:** {then}"])


def _page(first: str, paragraphs: list[str]) -> str:
    return "\n\n".join([first, *(paragraph for paragraph in paragraphs if paragraph)])


def _reading(table: TableSpec) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    row = f"**A row** is {_ROWS[table.grain]}: {key}." if table.grain else f"**A row** has the key {key}."
    looks = [f'`mmfs sql "SELECT * FROM {table.name} LIMIT 5"`']
    value = table.blob or next((column.name for column in table.columns if column.vector), None)
    if value:
        looks.append(f"in training the column `{table.name}.{value}`")
    if table.grain:
        looks.append(f'with pictures `store.table("{table.name}").show()`')
    return f"{row} **Read it:** {'; '.join(looks)}."
