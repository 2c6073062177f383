"""FeatureStore: the facade that ties the layers together. Every method is a few lines; the work is done below."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import pyarrow as pa

from mmfs.client.clock import now_us
from mmfs.client.operating import Operating
from mmfs.client.searching import Searching
from mmfs.errors import LoaderError
from mmfs.settings import Settings, load_settings
from mmfs.store import Store

if TYPE_CHECKING:  # what training needs none of is imported where it is used
    from mmfs.client.curate import Curation
    from mmfs.client.subset import Subset
    from mmfs.client.table_info import TableInfo
    from mmfs.client.table_view import TableView
    from mmfs.features.plan import Plan
    from mmfs.ingest import IngestReport
    from mmfs.loader.loader import Loader
    from mmfs.search.gallery import Gallery
    from mmfs.store.pins import Pin, Version, Window

Missing = Literal["error", "skip", "null"]


def open_store(store: str | Path | Settings | None = None, *, create: bool = True) -> FeatureStore:
    """Open a store.

    Args:
        store: A directory, ``s3://bucket/prefix``, or settings; default: ``MMFS_STORE`` or ``./data/store``.
        create: Whether to make the store when there is none.

    Raises:
        StoreError: There is no store and ``create`` is False, or it cannot be reached.
        SettingsError: A setting is unknown or malformed.
    """
    if isinstance(store, Settings):
        settings = store
    else:
        settings = load_settings(**({"store": str(store)} if store is not None else {}))
    return FeatureStore(Store.open(settings=settings, create=create))


class FeatureStore(Searching, Operating):
    """A store with everything that can be done with it. Open one with :func:`mmfs.open_store`.

    Searches, neighbours, facets and random samples are in `Searching`; verification, compaction and what else looks
    after a store in `Operating`.
    """

    @property
    def url(self) -> str:
        """Where the store is."""
        return self.core.url

    @property
    def settings(self) -> Settings:
        """The settings in force: set by hand, else recorded when the store was made, else the defaults."""
        return self.core.settings

    # -- looking ------------------------------------------------------------------------------------------------

    def tables(self) -> dict[str, TableInfo]:
        """All tables, by name."""
        from mmfs.client.table_info import table_infos

        return table_infos(self.core)

    def table(self, name: str) -> TableView:
        """One table, to read."""
        from mmfs.client.table_view import TableView

        return TableView(self.core, self.core.tables.spec(name))

    def sql(self, query: str, *, pin: str | None = None) -> pa.Table:
        """Run one read-only SELECT over the store's tables.

        Args:
            query: The SELECT. Vectors come back as fixed-size lists.
            pin: Read the versions of this pin instead of the newest ones.

        Raises:
            SqlError: The query is not one SELECT over known tables, or fails.
        """
        versions = {table: pinned.version for table, pinned in self.pinned(pin).tables.items()} if pin else None
        return self.core.sql(query, versions=versions)

    def show(self, rows: pa.Table, *, n: int = 50) -> Gallery:
        """The first rows of an answer of `sql` or `curate`, to look at: cards where they have key columns, else values.

        Args:
            rows: An Arrow table.
            n: Rows, 1 to 200.

        Raises:
            StoreError: ``n`` is out of range.
        """
        from mmfs.client.showing import show_rows

        return show_rows(self.core, rows, n=n)

    def blobs(self, table: str, rows: pa.Table) -> list[bytes]:
        """The bytes of these rows' blobs, in row order; reads are coalesced and checked.

        Args:
            table: Table with a blob column (frames, depth_maps).
            rows: Rows of that table with the columns pack, offset, length and crc32.

        Raises:
            IntegrityError: Bytes differ from their checksum; the message names pack and offset.
        """
        return self.core.blobs(table, rows)

    def rows_of(self, media_id: str, index: int | None = None) -> dict[str, pa.Table]:
        """The rows about one media (or one sample of it) in every table that has any."""
        from mmfs.client.table_view import rows_of

        return rows_of(self.core, media_id, index)

    # -- media and features -------------------------------------------------------------------------------------

    def ingest(self, uris: Sequence[str | Path], *, added_by: str = "mmfs ingest") -> IngestReport:
        """Find media and give unseen ones to shards. Nothing is decoded yet.

        Args:
            uris: Directories, globs, files, ``s3://`` prefixes, or CSV/JSONL/Parquet lists of URIs.
            added_by: Recorded with each media.

        Raises:
            IngestError: A source does not exist or may not be read.
        """
        from mmfs.ingest import assign, list_sources

        listed = list_sources([str(uri) for uri in uris], self.settings)
        return assign(self.core, listed, added_by=added_by, now_us=now_us())

    def features(self) -> list[str]:
        """Names of the registered features."""
        from mmfs.features.registry import registered

        return list(registered(self.settings))

    @overload
    def plan(self, table: str) -> Plan: ...
    @overload
    def plan(self) -> dict[str, Plan]: ...
    def plan(self, table: str | None = None) -> Plan | dict[str, Plan]:
        """What bringing tables up to date would do: rows by cause, bytes and times from measured history.

        Rows are counted down the whole chain: what reads rows that will change will change, too.

        Args:
            table: A feature, or a table of media. Without one, all plans are returned by table, upstream first.

        Raises:
            FeatureError: There is no such table to bring up to date.
        """
        from mmfs.client.plan import plan_one, plan_store

        return plan_store(self.core) if table is None else plan_one(self.core, table)

    # -- subsets and curation -----------------------------------------------------------------------------------

    def subset(self, name: str) -> Subset:
        """A named subset, to save or to read."""
        from mmfs.client.subset import Subset

        return Subset(self.core, name)

    @property
    def curate(self) -> Curation:
        """Near duplicates, outliers, diverse and balanced subsets, clusters, leaks, distributions."""
        from mmfs.client.curate import Curation

        return Curation(self.core)

    # -- pins and training --------------------------------------------------------------------------------------

    def pin(
        self,
        name: str,
        *,
        columns: Sequence[str] | None = None,
        subset: str | None = None,
        where: str | None = None,
        missing: Missing = "error",
        versions: Mapping[str, Version] | None = None,
        like: str | None = None,
        grain: str | None = None,
        window: Window | None = None,
        buckets: Sequence[tuple[int, int]] = (),
    ) -> Pin:
        """Fix columns, selection and versions under a name. A pin never changes.

        Args:
            name: Name of the pin.
            columns: ``table.column`` names, e.g. ``frames.image``; ``live:clip_embeddings.vector`` for a feature's
                output that is computed while loading: what it is computed from is pinned, and what computes it.
            subset: Only samples of this subset.
            where: Only samples that meet this SQL condition.
            missing: What a sample without a value means: ``"error"``, ``"skip"`` it, or ``"null"`` (zeros and a mask);
                of a live column, a sample without what it is computed from.
            versions: By table, its version, the id of a Dagster run that committed it, or a time (UTC without an
                offset) at which it was the newest; default: the newest.
            like: Take the selection of this pin and swap the columns.
            grain: Default: the finest asked for, frame > audio_window > caption > media.
            window: Runs of consecutive frames instead of single rows.
            buckets: Shapes, (height, width) in pixels, for training on several aspect ratios, e.g. ``[(256, 256),
                (224, 288), (288, 224)]``. Each sample goes to the one whose aspect ratio is nearest to that of its
                stored picture; a loader's batches are of one bucket each, its pictures and depth maps cut to that
                shape. Needs a picture or depth column at the grain of the samples.

        Raises:
            PinError: The name is taken, a column or version is unknown, values are missing, or buckets cannot be made.
            ModelError: The weights of a live column's feature cannot be reached.
        """
        from mmfs.loader.live_features import live_columns
        from mmfs.store.pins import Pins

        return Pins(self.core).create(
            name,
            columns=columns,
            live=live_columns(self.settings, columns or ()),
            subset=subset,
            where=where,
            missing=missing,
            versions=versions,
            like=like,
            grain=grain,
            window=window,
            buckets=buckets,
            now_us=now_us(),
        )

    def pins(self) -> list[str]:
        """Names of all pins."""
        from mmfs.store.pins import Pins

        return Pins(self.core).names()

    def pinned(self, name: str) -> Pin:
        """The pin of this name."""
        from mmfs.store.pins import Pins

        return Pins(self.core).get(name)

    def unpin(self, name: str) -> None:
        """Remove a pin; vacuum may then free what only it named."""
        from mmfs.store.pins import Pins

        Pins(self.core).remove(name)

    def loader(
        self,
        pin: str | Mapping[str, int] | None = None,
        *,
        columns: Sequence[str] | None = None,
        subset: str | None = None,
        where: str | None = None,
        window: Window | None = None,
        run: str | None = None,
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        epoch: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        decode: bool = True,
        image_size: int | None = 256,
        device: str | None = None,
        transforms: Mapping[str, Callable[[Any], Any]] | None = None,
        captions: Literal["first", "random", "all"] = "first",
        drop_last: bool = False,
        threads: int | None = None,
        verify: bool = True,
        cache: str | Path | None = None,
        small: bool = False,
        bad_samples: Literal["repeat", "error"] = "repeat",
        status: bool = False,
    ) -> Loader:
        """Batches of a pin, in one global order, resumable to the sample.

        Columns named ``live:table.column`` are computed on the loader's threads by the feature that fills the table:
        the same keys in the same order, shapes and dtypes as the stored column, values alike (mmfs/loader/README.md).

        Args:
            pin: Name of a pin. Without one, a pin ``run-<id>`` is made from columns, subset, where and window.
                Or a mixture: integer weights by name, ``{"pin-a": 3, "pin-b": 1}``, for pins of the same columns. It
                has a ``stream()`` only. ``batch["_source"]`` numbers the pins in this order, which a state keeps to.
            run: Name under which the run is recorded in ``training_runs``.
            batch_size: Samples a rank and step.
            seed, epoch: Choose the order together with the pin's selection.
            rank, world_size: Default: from torch.distributed, RANK and WORLD_SIZE.
            decode: False hands out the stored bytes.
            image_size: Short side and centre crop, the same for depth; None: a list of tensors as stored. A pin with
                buckets has sizes of its own: leave it out, or give None.
            device: Where tensors go and live columns are computed; default: tensors stay in host memory, and the
                setting ``device`` says where live columns are computed.
            transforms: A function a column, applied to the batch's value.
            captions: Which caption of a media; ``"all"`` gives lists.
            drop_last: Drop the last partial global batch instead of padding it.
            threads: Reading and decoding threads; default: by the cores.
            verify: Compare everything read with its CRC-32.
            cache: Folder on a fast disk that the processes of a node share; default: the setting ``cache.dir``.
            small: Fetch all samples into that folder before the first batch, in few requests and once a node.
            bad_samples: What becomes of a sample whose bytes are damaged: a repeat that is not valid, or an error.
            status: Write one line on stderr now and then, from the first rank: how fast samples come, and how long
                training waits for them.

        Raises:
            PinError: The pin is unknown or nothing can be delivered.
            LoaderError: Arguments contradict each other, a live column would come out other than it was pinned, or
                pins of a mixture are not alike.
        """
        from mmfs.loader import Loader, Mixture

        if pin is None:
            if not columns:
                raise LoaderError("a loader needs a pin or columns", mend='store.loader("my-pin", ...)')
            pin = f"run-{run or time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"
            self.pin(pin, columns=columns, subset=subset, where=where, window=window)
        return Loader(
            self.core,
            self.pinned(pin) if isinstance(pin, str) else Mixture.of({name: self.pinned(name) for name in pin}, pin),
            run=run,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            epoch=epoch,
            rank=rank,
            world_size=world_size,
            decode=decode,
            image_size=image_size,
            device=device,
            transforms=transforms,
            captions=captions,
            drop_last=drop_last,
            threads=threads,
            verify=verify,
            cache=cache,
            small=small,
            bad_samples=bad_samples,
            status=status,
        )

    def keys_at(self, run: str, *, step: int, rank: int = 0) -> list[str]:
        """Keys of the samples that a step of a training run saw, computed from its order."""
        from mmfs.loader.ledger import keys_at

        return keys_at(self.core, run, step=step, rank=rank)

    def trace(self, media_id: str) -> dict[str, list[str]]:
        """Which tables, subsets, pins and training runs saw a media."""
        from mmfs.loader.ledger import trace

        return trace(self.core, media_id)
