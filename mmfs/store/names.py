"""Which column a name means.

An unqualified name means, for a sample of some grain: the table of that grain, else a coarser grain's, else a feature
of the grain, else a feature of the media. Two candidates at one level are an error that names both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from mmfs.errors import WhereError
from mmfs.schemas import GRAIN_KEYS, GRAIN_TABLES, Column, Grain, TableSpec
from mmfs.store.conditions import ColumnRef


@dataclass(frozen=True)
class Catalog:
    """The tables that names may refer to."""

    tables: Mapping[str, TableSpec]

    def resolve(self, name: str, table: str | None, grain: Grain) -> ColumnRef:
        """The column that ``name`` or ``table.name`` means for a sample of this grain.

        Raises:
            WhereError: There is none, or there are two; it names the token and what exists.
        """
        if table is not None:
            return self._qualified(table, name, grain)
        for level in self._levels(grain):
            found = [spec.name for spec in level if _has(spec, name)]
            if len(found) == 1:
                return ColumnRef(found[0], name)
            if found:
                both = " and ".join(f"{owner}.{name}" for owner in found)
                raise WhereError(f"{name!r} could be {both}", mend="write the table before it")
        raise self._unknown(name, grain)

    def column(self, reference: ColumnRef) -> Column:
        """The column behind a resolved reference."""
        return self.tables[reference.table].column(reference.column)

    def is_joined(self, table: str, grain: Grain) -> bool:
        """Whether a sample has at most one row of this table: its own grain, or the coarser grain of media.

        Of any other table a media may have many rows; a condition on one of those asks whether *some* row fits.
        """
        return self.tables[table].grain in (grain, "media")

    def visible(self, grain: Grain) -> list[str]:
        """All names a WHERE at this grain may use without a table, most specific first."""
        names: dict[str, None] = {}
        for level in self._levels(grain):
            for spec in level:
                names |= {column.name: None for column in spec.columns}
        return list(names)

    def _levels(self, grain: Grain) -> Iterator[list[TableSpec]]:
        bases = {GRAIN_TABLES[grain], GRAIN_TABLES["media"]}
        yield [spec for spec in self.tables.values() if spec.name == GRAIN_TABLES[grain]]
        if grain != "media":
            yield [spec for spec in self.tables.values() if spec.name == GRAIN_TABLES["media"]]
        yield [spec for spec in self.tables.values() if spec.grain == grain and spec.name not in bases]
        if grain != "media":
            yield [spec for spec in self.tables.values() if spec.grain == "media" and spec.name not in bases]

    def _qualified(self, table: str, name: str, grain: Grain) -> ColumnRef:
        spec = self.tables.get(table)
        if spec is None:
            near = get_close_matches(table, self.tables, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise WhereError(
                f"there is no table {table!r}",
                where=f"{table}.{name}",
                mend=hint + "there are " + ", ".join(self.tables),
            )
        if not _has(spec, name):
            raise WhereError(
                f"table {table} has no column {name!r}",
                mend=_near(name, [column.name for column in spec.columns])
                + "it has "
                + ", ".join(column.name for column in spec.columns),
            )
        if not self.is_joined(table, grain) and not _has(spec, "media_id"):
            raise WhereError(f"table {table} says nothing about a {grain}", mend="use tables that have a media_id")
        return ColumnRef(table, name)

    def _unknown(self, name: str, grain: Grain) -> WhereError:
        there = "; ".join(
            f"{spec.name}: " + ", ".join(_own(spec)) for level in self._levels(grain) for spec in level if _own(spec)
        )
        elsewhere = [spec.name for spec in self.tables.values() if spec.grain not in (None, grain) and _has(spec, name)]
        hint = f"write {elsewhere[0]}.{name} for that table's; " if elsewhere else _near(name, self.visible(grain))
        return WhereError(f"{name!r} is no column of a {grain}", mend=f"{hint}there are {there}")


def _has(spec: TableSpec, name: str) -> bool:
    return name == "shard" or any(column.name == name for column in spec.columns)


def _own(spec: TableSpec) -> list[str]:
    """Its columns without the keys that all tables of the grain share."""
    shared = {key.name for keys in GRAIN_KEYS.values() for key in keys}
    is_base = spec.name in GRAIN_TABLES.values()
    return [column.name for column in spec.columns if is_base or column.name not in shared]


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}? " if near else ""
