"""A table's columns with their meanings, as the UI shows them."""

import dagster as dg

from mmfs.schemas import SHARD, Column, TableSpec

#: What the loader and `store.blobs` give for bytes of a codec.
_DECODED = {
    "jpeg": "picture, uint8[3, H, W]",
    "flac": "sound, float32[C, T]",
    "depth16": "map, float32[H, W]",
    "array16": "array, float32[...]",
}


def column_schema(table: TableSpec) -> dg.TableSchema:
    """Columns of a table: type, meaning, unit; the sort key is marked, and what lies in packs is named."""
    columns = [_column(column, table) for column in (*table.columns, SHARD)]
    return dg.TableSchema(columns=[*columns[: len(table.key)], *_blob(table), *columns[len(table.key) :]])


def _column(column: Column, table: TableSpec) -> dg.TableColumn:
    unit = f" Unit: {column.unit}." if column.unit else ""
    key = " Part of the key." if column.name in table.key else ""
    kind = f"{column.vector.dtype}[{column.vector.dim}]" if column.vector else str(column.type)
    return dg.TableColumn(name=column.name, type=kind, description=f"{column.description}{unit}{key}")


def _blob(table: TableSpec) -> list[dg.TableColumn]:
    if not table.blob:
        return []
    where = "Lies in a pack, where `pack`, `offset` and `length` say, and not in the table."
    return [dg.TableColumn(name=table.blob, type=_DECODED.get(table.codec or "", "bytes"), description=where)]
