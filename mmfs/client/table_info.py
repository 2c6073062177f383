"""What each table of a store holds, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from mmfs.schemas import GRAIN_TABLES, TableSpec
from mmfs.store import Store

_PACK_REFERENCE = frozenset({"pack", "offset", "length", "crc32"})


@dataclass(frozen=True)
class TableInfo:
    """What a table holds.

    Attributes:
        grain: What a row is about; None for bookkeeping tables.
        rows: Rows in the newest version.
        bytes: Parquet bytes of the newest version; packs are not counted.
        version: Newest Delta version.
        columns: Names as users ask for them: a blob's logical column instead of its pack references.
        fingerprint: The one fingerprint that all rows share; None where they differ or have none.
        coverage: Rows over rows of the table that defines the grain; None for tables that define one.
    """

    grain: str | None
    rows: int
    bytes: int
    version: int
    columns: tuple[str, ...]
    fingerprint: str | None
    coverage: float | None


def table_infos(store: Store) -> dict[str, TableInfo]:
    """All tables, by name."""
    files = {name: store.tables.files(name) for name in store.tables.names()}
    rows = {name: sum(file.rows for file in found) for name, found in files.items()}
    infos = {}
    for name, found in files.items():
        spec = store.tables.spec(name)
        base = GRAIN_TABLES[spec.grain] if spec.grain else name
        infos[name] = TableInfo(
            grain=spec.grain,
            rows=rows[name],
            bytes=sum(file.size_bytes for file in found),
            version=store.tables.version(name),
            columns=_user_columns(spec),
            fingerprint=_only_fingerprint(store, spec),
            coverage=rows[name] / rows[base] if base != name and rows.get(base) else None,
        )
    return infos


def _user_columns(spec: TableSpec) -> tuple[str, ...]:
    names = [column.name for column in spec.columns]
    if not spec.blob:
        return tuple(names)
    return (*(name for name in names if name not in _PACK_REFERENCE), spec.blob)


def _only_fingerprint(store: Store, spec: TableSpec) -> str | None:
    if not spec.is_derived:
        return None
    found = store.tables.fingerprints(spec.name)
    return next(iter(found)) if len(found) == 1 else None
