"""Versioned tables: create, read, and replace one shard at a time."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from hashlib import sha256

import pyarrow as pa

from mmfs.errors import IntegrityError, MissingObjectError, StalePlanError, StoreError
from mmfs.schemas import BASE_TABLES, TableSpec
from mmfs.store.arrays import empty_table, repeated_text
from mmfs.store.commit import Commit, ShardState, commit_shard, stale
from mmfs.store.data_check import mend_of
from mmfs.store.data_file import DataFile, data_path
from mmfs.store.delta import ConflictError, DeltaLog, Snapshot, gone_version
from mmfs.store.digest import combined_digest, content_digest
from mmfs.store.faults import fault_point
from mmfs.store.names import Catalog
from mmfs.store.objects import Objects
from mmfs.store.origin import origin
from mmfs.store.pack_copy import Place
from mmfs.store.parquet import StoredFile, parquet_bytes, read_footer, read_parquet
from mmfs.store.rows import canonical_rows, public_schema, spec_as_written, stored_schema
from mmfs.store.specs import change_to

__all__ = ["Commit", "DataFile", "ShardState", "Tables"]

_REPLANS = 50
_READERS = 8
_SHARD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TABLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
#: Folders of a store that are no tables.
RESERVED = frozenset({"packs", "pins", "index", "media", "staging", "dagster_home"})


class Tables:
    """The Delta tables of one store. Safe to use from several threads; never across fork().

    Attributes:
        log: The Delta logs, for the other files of this folder.
    """

    def __init__(self, objects: Objects, *, keep_log_days: int = 3650) -> None:
        self._objects = objects
        self.log = DeltaLog(objects, keep_log_days=keep_log_days)
        self._ensured: dict[str, TableSpec] = {}
        self._known: dict[str, TableSpec] = {}
        self._there: set[str] = set()
        self._lock = threading.Lock()

    def ensure(self, spec: TableSpec) -> None:
        """Make the table if there is none; adopt new columns, and another dimension of its vectors.

        Raises:
            StoreError: It exists with columns that do not go with these, or its name is taken by a folder of the store.
        """
        if self._ensured.get(spec.name) == spec:
            return
        if not _TABLE.fullmatch(spec.name) or spec.name in RESERVED:
            raise StoreError(
                f"{spec.name!r} cannot name a table", mend="use a-z, 0-9 and _, and no folder of the store"
            )
        if self.log.exists(spec.name) or not self.log.create(spec):
            self._change_to(spec)
        with self._lock:
            self._ensured[spec.name] = spec
            self._known.pop(spec.name, None)

    def spec(self, name: str) -> TableSpec:
        """The table's columns, key and grain, as the table itself keeps them."""
        return BASE_TABLES.get(name) or self.log.snapshot(name).spec

    def catalog(self) -> Catalog:
        """All tables, for WHERE to resolve names by."""
        return Catalog({name: self._known.get(name) or self._remembered(name) for name in self.names()})

    def names(self) -> list[str]:
        """All tables, sorted."""
        found = [name for name in self._objects.folders() if name not in RESERVED and _TABLE.fullmatch(name)]
        self._there.update(found)
        return found

    def __contains__(self, name: str) -> bool:
        """Whether there is such a table. One that was there stays there, so that a bucket is listed once for it."""
        return name in self._there or name in self.names()

    def one_moment(self) -> AbstractContextManager[None]:
        """Look at each table once: within the block, what this thread reads is as it was at its first look."""
        return self.log.one_moment()

    def version(self, name: str) -> int:
        """The newest Delta version."""
        return self.log.snapshot(name).version

    def shards(self, name: str, version: int | None = None) -> dict[str, int]:
        """Rows by shard, sorted by shard; a shard that was written without rows counts 0."""
        rows: dict[str, int] = {}
        for file in self.log.snapshot(name, version).files:
            rows[file.shard] = rows.get(file.shard, 0) + file.rows
        return rows

    def files(self, name: str, *, shard: str | None = None, version: int | None = None) -> list[DataFile]:
        """The table's Parquet files, sorted by shard."""
        snapshot = self.log.snapshot(name, version)
        return list(snapshot.files if shard is None else snapshot.of(shard))

    def files_reaching(self, name: str, keys: Sequence[str], *, version: int | None = None) -> list[DataFile]:
        """The files that may hold rows whose first key column has one of these values, sorted by shard.

        Args:
            keys: Sorted. What the log says of each file's first and last value leaves out the others.
        """
        return list(self.log.snapshot(name, version).reaching(keys))

    def fingerprints(self, name: str) -> set[str]:
        """The fingerprints of a table's rows. Only files with several are read, and those of an older mmfs."""
        snapshot = self.log.snapshot(name)
        said = snapshot.bounds.column("fingerprint")
        found = set(said.drop_null().unique().to_pylist())
        silent = [file for file in snapshot.silent if file.rows]
        rows = self.read(name, columns=["fingerprint"], files=silent) if silent else None
        return found | (set(rows.column("fingerprint").unique().to_pylist()) if rows else set())

    def state(self, name: str, shard: str) -> ShardState:
        """The shard as it is now: what `replace` compares with."""
        return _state(name, shard, self.log.snapshot(name))

    def read(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        shard: str | Sequence[str] | None = None,
        version: int | None = None,
        files: Sequence[DataFile] | None = None,
    ) -> pa.Table:
        """Rows in canonical order: shards sorted, rows by key. Vectors are ``fixed_size_list<float16|float32>[dim]``.

        Args:
            columns: Only these (``shard`` may be among them), in this order; None: all, ``shard`` last.
            shard: Only this shard, or these.
            version: A Delta version; None: the newest.
            files: Read exactly these files (a pin's), without looking at the log.

        Raises:
            StoreError: No such table, version or column, or a file was vacuumed.
            IntegrityError: A file is damaged.
        """
        if files is None:
            snapshot = self.log.snapshot(name, version)
            wanted = [shard] if isinstance(shard, str) else shard
            chosen = (
                list(snapshot.files) if wanted is None else [f for s in sorted(set(wanted)) for f in snapshot.of(s)]
            )
            spec = snapshot.spec
        else:
            chosen, spec = sorted(files, key=lambda file: (file.shard, file.path)), self.spec(name)
        names = list(columns) if columns is not None else None
        schema = public_schema(spec, names)
        try:
            parts = [part for part in self._read_files(chosen, schema) if part.num_rows]
        except StoreError as error:
            if version is None or all(self._objects.exists(file.path) for file in chosen):
                raise
            raise gone_version(name, version) from error
        if not parts:
            return empty_table(schema)
        types = {part.schema for part in parts}
        if len(types) > 1:
            raise StoreError(
                f"shards of {name} hold vectors of different dimensions",
                mend="they were computed by different models; materialize the stale ones",
            )
        return pa.concat_tables(parts)

    def replace(
        self,
        name: str,
        shard: str,
        rows: pa.Table,
        *,
        planned: ShardState,
        info: Mapping[str, str] | None = None,
        check: Callable[[int], None] | None = None,
    ) -> Commit:
        """Make these the shard's rows, if it is still in the planned state.

        Args:
            rows: In any order, without ``shard``; missing nullable columns become null; vectors as fixed-size lists.
            planned: From `state`, taken before the rows were read.
            info: Kept with the shard's rows, see `commit_info`; with the run that commits, if one does (`origin`).
            check: For rows that must agree with other shards: called before every try of the commit with the
                table version that it would directly follow; raises StalePlanError when they do not.

        Raises:
            StalePlanError: Somebody replaced the shard meanwhile.
            StoreError: The rows do not fit the table, or cannot be written.
        """
        if not _SHARD.fullmatch(shard):
            raise StoreError(f"{shard!r} cannot name a shard", mend="use letters, digits, '.', '_' and '-'")
        info = {**(info or {}), **origin()}
        snapshot = self.log.snapshot(name)
        current = _state(name, shard, snapshot)
        if current.app_version != planned.app_version:
            raise stale(planned)
        spec = snapshot.spec
        rows = canonical_rows(spec, rows.drop_columns("shard") if "shard" in rows.column_names else rows)
        digest = content_digest(rows)
        if current.files and self._digest_in(current.files[0]) == digest:
            size = sum(file.size_bytes for file in current.files)
            return Commit(
                name, shard, snapshot.version, current.app_version, rows.num_rows, size, digest, changed=False
            )
        return self._publish(spec, planned, rows, digest, kept=info, logged=info, check=check)

    def relocate(self, name: str, shard: str, moved: Mapping[Place, Place], *, planned: ShardState) -> Commit:
        """Give blobs of a shard's rows new places, and change nothing else: content digest and ``info`` stay.

        Args:
            moved: The new pack and offset by the old ones; rows that are not named keep theirs.
            planned: The state whose rows name the old places.

        Raises:
            StalePlanError: Somebody replaced the shard meanwhile.
            IntegrityError: The rows differ from their digest; nothing was written.
            StoreError: The rows cannot be written.
        """
        (file,) = planned.files
        digest, info = read_footer(self._objects, file)
        rows = read_parquet(self._objects, file)
        places = zip(rows.column("pack").to_pylist(), rows.column("offset").to_pylist(), strict=True)
        packs, offsets = zip(*(moved.get(place, place) for place in places), strict=True)
        for column, values in (("pack", packs), ("offset", offsets)):
            at = rows.schema.get_field_index(column)
            rows = rows.set_column(at, column, pa.array(values, rows.schema.field(column).type))
        # Columns may have come to the table after the file was written, and are no content of it.
        spec = spec_as_written(self.spec(name), rows)
        rows = canonical_rows(spec, rows)
        if content_digest(rows) != digest:
            raise IntegrityError(f"rows of {file.path} differ from their digest", mend=mend_of(spec, shard))
        return self._publish(spec, planned, rows, digest, kept=info, logged=origin())

    def _publish(
        self,
        spec: TableSpec,
        planned: ShardState,
        rows: pa.Table,
        digest: str,
        *,
        kept: Mapping[str, str],
        logged: Mapping[str, str],
        check: Callable[[int], None] | None = None,
    ) -> Commit:
        """Write canonical rows as the shard's file and commit it.

        Args:
            kept: Goes with the rows, into the footer.
            logged: Goes with the commit, into the table's log.
        """
        name, shard = planned.table, planned.shard
        data = memoryview(parquet_bytes(spec, rows, digest=digest, info=kept))
        number = planned.app_version + 1
        path = data_path(name, shard, digest, sha256(data).hexdigest(), number)
        fault_point("tables.before_file")
        self._objects.put(path, data)
        file = DataFile(path, shard, rows.num_rows, len(data))
        version = commit_shard(self.log, spec, planned, file, rows=rows, info={"digest": digest, **logged}, check=check)
        return Commit(name, shard, version, number, rows.num_rows, len(data), digest, changed=True)

    def update(
        self,
        name: str,
        shard: str,
        build: Callable[[pa.Table], pa.Table],
        *,
        info: Mapping[str, str] | None = None,
        check: Callable[[int], None] | None = None,
    ) -> Commit:
        """Replace a shard's rows by ``build(current rows)``, planning again whenever somebody was faster.

        Args:
            check: See `replace`; a StalePlanError from it makes `build` run again.

        Raises:
            StalePlanError: Others were faster 50 times in a row.
        """
        for attempt in range(_REPLANS):
            planned = self.state(name, shard)
            current = self.read(name, files=planned.files).drop_columns("shard")
            try:
                return self.replace(name, shard, build(current), planned=planned, info=info, check=check)
            except StalePlanError:
                if attempt == _REPLANS - 1:
                    raise
                time.sleep(random.uniform(0.001, 0.02 * min(10, attempt + 1)))
        raise AssertionError("unreachable")

    def digest(self, name: str, shard: str | None = None, version: int | None = None) -> str:
        """Content digest of a shard, or of the table: rows in order without times, pack names and offsets.

        A shard that was never written has the digest of no rows.
        """
        snapshot = self.log.snapshot(name, version)
        if shard is not None:
            files = snapshot.of(shard)
            return read_footer(self._objects, files[0])[0] if files else content_digest(_no_rows(snapshot.spec))
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(lambda file: (file.shard, read_footer(self._objects, file)[0]), snapshot.files)
        return combined_digest(dict(found))

    def digests(self, name: str, shards: Sequence[str]) -> dict[str, str]:
        """Content digests of many shards, as `digest` gives them one by one; footers are read side by side."""
        snapshot = self.log.snapshot(name)
        written = {file.shard: file for file in reversed(snapshot.files)}
        files = {shard: written.get(shard) for shard in shards}
        none = content_digest(_no_rows(snapshot.spec)) if None in files.values() else ""
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(lambda file: read_footer(self._objects, file)[0] if file else none, files.values())
            return dict(zip(files, found, strict=True))

    def commit_info(self, name: str, shard: str) -> dict[str, str]:
        """The ``info`` given with the shard's rows; empty when it was never written."""
        files = self.log.snapshot(name).of(shard)
        return read_footer(self._objects, files[0])[1] if files else {}

    def commit_infos(self, name: str) -> dict[str, dict[str, str]]:
        """The ``info`` given with the rows of each shard; footers are read side by side."""
        files = self.log.snapshot(name).files
        with ThreadPoolExecutor(_READERS) as pool:
            return dict(pool.map(lambda file: (file.shard, read_footer(self._objects, file)[1]), reversed(files)))

    def _digest_in(self, file: DataFile) -> str | None:
        """The content digest that a file carries; None of one that is damaged or gone, and may be replaced by any."""
        try:
            return read_footer(self._objects, file)[0]
        except (IntegrityError, MissingObjectError):
            return None

    def packs_of(self, file: StoredFile) -> set[str]:
        """The packs that rows of one data file name."""
        column = read_parquet(self._objects, file, ["pack"]).column("pack")
        return {pack for pack in column.unique().to_pylist() if pack is not None}

    def _remembered(self, name: str) -> TableSpec:
        spec = self.spec(name)
        with self._lock:
            return self._known.setdefault(name, spec)

    def _change_to(self, spec: TableSpec) -> None:
        """Give a table the columns it lacks, however many do so at the same time."""
        for attempt in range(_REPLANS):
            change = change_to(self.log.snapshot(spec.name).spec, spec)
            try:
                if change.added:
                    self.log.add_columns(spec.name, change.added)
                for column, metadata in change.vectors.items():
                    self.log.set_column_metadata(spec.name, column, metadata)
                return
            except ConflictError as error:
                if attempt == _REPLANS - 1:
                    raise StoreError(str(error), where=spec.name, mend="run again") from error

    def _read_files(self, files: Sequence[DataFile], schema: pa.Schema) -> list[pa.Table]:
        names = [field.name for field in schema]
        stored = [name for name in names if name != "shard"]

        def one(file: DataFile) -> pa.Table:
            if not stored:  # without columns a table forgets how many rows it has
                return pa.Table.from_arrays([repeated_text(file.shard, file.rows)], names=names)
            table = read_parquet(self._objects, file, stored)
            for position, field in enumerate(table.schema):
                if pa.types.is_null(field.type):  # a column that came after the file
                    column = table.column(position).cast(schema.field(field.name).type)
                    table = table.set_column(position, field.name, column)
            if "shard" in names:
                table = table.append_column("shard", repeated_text(file.shard, table.num_rows))
            return table.select(names)

        if len(files) < 2:
            return [one(file) for file in files]
        with ThreadPoolExecutor(min(_READERS, len(files))) as pool:
            return list(pool.map(one, files))


def _state(name: str, shard: str, snapshot: Snapshot) -> ShardState:
    files = snapshot.of(shard)
    # The log knows the number too, but a look-up a shard is dear; the file name carries it.
    number = int(files[0].path.rsplit("-", 1)[-1].removesuffix(".parquet")) if files else -1
    return ShardState(name, shard, number, snapshot.version, files)


def _no_rows(spec: TableSpec) -> pa.Table:
    return canonical_rows(spec, empty_table(stored_schema(spec)))
