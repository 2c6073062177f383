"""A table's columns with their meanings, as the UI shows them."""

import dagster as dg

from mmfs.schemas import SHARD, Column, TableSpec


def column_schema(table: TableSpec) -> dg.TableSchema:
    """Columns of a table: type, meaning, unit; the sort key is marked."""
    return dg.TableSchema(columns=[_column(column, table) for column in (*table.columns, SHARD)])


def _column(column: Column, table: TableSpec) -> dg.TableColumn:
    unit = f" Unit: {column.unit}." if column.unit else ""
    key = " Part of the key." if column.name in table.key else ""
    kind = str(column.vector.arrow) if column.vector else str(column.type)
    return dg.TableColumn(name=column.name, type=kind, description=f"{column.description}{unit}{key}")
