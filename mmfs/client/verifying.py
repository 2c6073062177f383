"""Verification of a whole store: tables, packs and pins below, the points of the search index here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmfs.errors import MissingExtraError, MmfsError, StoreError
from mmfs.store import Store
from mmfs.store.verify import VerifyReport

if TYPE_CHECKING:
    from mmfs.search.port import Engine

_MEND = "run `mmfs materialize qdrant_index --all`"


def verify_store(store: Store, *, deep: bool, index: bool) -> VerifyReport:
    """Compare tables, packs, index and pins; see `FeatureStore.verify`."""
    report = store.verify(deep=deep)
    if index or deep:
        _verify_points(store, report, deep=deep)
    return report


def _verify_points(store: Store, report: VerifyReport, *, deep: bool) -> None:
    """Compare every point of every published index with its row; what was never indexed is no fault.

    Args:
        deep: Compare vectors, and bytes with their checksums where the engine keeps any, too.
    """
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
            report.problems += _table_problems(store, engine, table, indexed, deep=deep)
    except MmfsError as error:
        report.problems.append(f"no search index can be compared: {error}")


def _table_problems(store: Store, engine: Engine, table: str, shards: list[str], *, deep: bool) -> Iterator[str]:
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
            yield from _space_problems(store, engine, name, members, deep=deep)
        except MissingExtraError:
            raise  # no other space can be opened either
        except MmfsError as error:
            yield f"the index {name} cannot be compared: {error}"


def _space_problems(store: Store, engine: Engine, name: str, shards: list[str], *, deep: bool) -> Iterator[str]:
    """Of one space, whose build is opened once."""
    from mmfs.search.checks import published_index, shard_differences, unpublished
    from mmfs.search.manifest import manifest_path
    from mmfs.search.port import DamagedBuildError

    table = name.rpartition("-")[0]
    with published_index(store, engine, name, deep=deep) as found:
        if found is None:
            yield f"{unpublished(store, table, shards)}; {_MEND}"
            return
        manifest, index = found
        # A run compares a build with its tables by the states of rows; without the description it makes another.
        path = manifest_path(name, manifest.build_id)
        mend = f"{_MEND}; where a difference stays, delete {path} of the store first"
        for shard in shards:
            try:
                differences = shard_differences(store, manifest.space, index, shard, deep=deep)
                problems = [str(problem) for problem in differences]
            except StoreError as error:  # of its table; what the engine refuses would be refused for every shard
                yield f"shard {shard}: the index of {table} cannot be compared: {error}"
                continue
            except DamagedBuildError as error:  # shown by reading points, which a run only counts
                found_at = f"{error.what} [{error.where}]"
                yield f"the index {name} cannot be compared: {found_at}; delete {path} of the store, then {_MEND}"
                return
            yield from (f"shard {shard}: {problem}; {mend}" for problem in problems)
