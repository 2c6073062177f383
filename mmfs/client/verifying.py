"""Verification of a whole store: tables, packs and pins below, the points of the search index here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmfs.errors import MissingExtraError, MmfsError, StoreError
from mmfs.store import Store
from mmfs.store.verify import VerifyReport

if TYPE_CHECKING:
    from mmfs.search.port import Engine

_MEND = (
    "run `mmfs materialize qdrant_index --all`; where a difference stays, remove the folder `index` of the store first"
)


def verify_store(store: Store, *, deep: bool, index: bool) -> VerifyReport:
    """Compare tables, packs, index and pins; see `FeatureStore.verify`."""
    report = store.verify(deep=deep)
    if index or deep:
        _verify_points(store, report)
    return report


def _verify_points(store: Store, report: VerifyReport) -> None:
    """Compare every point of every published index with its row; what was never indexed is no fault."""
    from mmfs.search.engines import engine_of  # search engines are loaded for this alone

    try:
        entries = store.tables.read("qdrant_index", columns=["space", "shard"])
    except MmfsError:
        return  # its file was reported already
    shards: dict[str, list[str]] = {}
    for table, shard in sorted(zip(*(column.to_pylist() for column in entries.columns), strict=True)):
        shards.setdefault(table, []).append(shard)
    if not shards:
        return
    try:
        engine = engine_of(store)
        for table, indexed in shards.items():
            report.problems += _table_problems(store, engine, table, indexed)
    except MmfsError as error:
        report.problems.append(f"no search index can be compared: {error}")


def _table_problems(store: Store, engine: Engine, table: str, shards: list[str]) -> Iterator[str]:
    from mmfs.search.checks import space_of

    spaces: dict[str, list[str]] = {}
    for shard in shards:
        try:
            if name := space_of(store, table, shard):
                spaces.setdefault(name, []).append(shard)
        except MmfsError as error:
            yield f"shard {shard}: the index of {table} cannot be compared: {error}"
    for name, members in spaces.items():
        try:
            yield from _space_problems(store, engine, name, table, members)
        except MissingExtraError:
            raise  # no other space can be opened either
        except MmfsError as error:
            yield f"the index {name} cannot be compared: {error}"


def _space_problems(store: Store, engine: Engine, name: str, table: str, shards: list[str]) -> Iterator[str]:
    """Of one space, whose build is opened once."""
    from mmfs.search.checks import opened_build, published_manifest, shard_differences, unpublished

    manifest = published_manifest(store, engine, name)
    if manifest is None:
        yield f"{unpublished(store, table, shards)}; {_MEND}"
        return
    with opened_build(engine, manifest) as index:
        for shard in shards:
            try:
                problems = [str(problem) for problem in shard_differences(store, manifest.space, index, shard)]
            except StoreError as error:  # of its table; what the engine refuses would be refused for every shard
                yield f"shard {shard}: the index of {table} cannot be compared: {error}"
                continue
            yield from (f"shard {shard}: {problem}; {_MEND}" for problem in problems)
