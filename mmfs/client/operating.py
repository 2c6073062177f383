"""The part of `FeatureStore` that looks after a store: verification, new tries of what failed, compaction, vacuum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmfs.store import Store

if TYPE_CHECKING:
    from mmfs.client.retrying import RetryReport
    from mmfs.store.compaction import CompactionReport
    from mmfs.store.retention import VacuumReport
    from mmfs.store.verify import VerifyReport


class Operating:
    """Operations on a whole store; `mmfs_assets` runs the regular ones every night."""

    core: Store

    def verify(self, *, deep: bool = False, index: bool = False) -> VerifyReport:
        """Compare tables, packs, pins and index.

        Args:
            deep: Also compare every byte of tables, packs and an index in a bucket with its checksum, and every point
                of the index, vector included, with its row.
            index: Also compare every point of the index with its row, but for its vector.
        """
        from mmfs.client.verifying import verify_store

        return verify_store(self.core, deep=deep, index=index)

    def drop_damaged(
        self, tell: Callable[[str, str, int], object] = lambda _table, _shard, _rows: None
    ) -> dict[tuple[str, str], int]:
        """Drop computed rows whose bytes in packs are damaged or gone, and all rows of a damaged data file.

        The next run computes them again.

        Args:
            tell: Is told table, shard and rows as soon as they are dropped: an error later on takes back nothing.

        Returns:
            Rows dropped, by table and shard.

        Raises:
            StoreError: Something cannot be read here and now, so that nothing is known to be damaged there.
        """
        from mmfs.store.damaged import drop_damaged

        return drop_damaged(self.core, tell)

    def retry(
        self,
        tables: Sequence[str] = (),
        *,
        reasons: Sequence[str] = (),
        shards: Sequence[str] = (),
        media: Sequence[str] = (),
        dry_run: bool = False,
    ) -> RetryReport:
        """Have what lies in quarantine tried again by the next run, although neither files nor code changed.

        The rows stay in quarantine until that run: then they are gone, or back with a new reason. `plan` counts them as
        missing meanwhile.

        Args:
            tables: Tables whose rows failed; default: all that ingest and the registered features fill.
            reasons: Of the closed set (`mmfs.media.Reason`); default: those that lie in the machine, the settings or
                the moment (timeout, crashed, out_of_memory, too_large, changed, missing, model_failed), or all where
                media are named.
            shards: Only in these shards.
            media: Only what is about these: media ids, URIs of files, or keys of samples.
            dry_run: Say what would be done.

        Raises:
            StoreError: There is no such table, reason or shard, or nothing in quarantine is about one of the media.
        """
        from mmfs.client.retrying import retry_rows

        return retry_rows(self.core, tables=tables, reasons=reasons, shards=shards, media=media, dry_run=dry_run)

    def compact(self, *, dry_run: bool = False) -> CompactionReport:
        """Rewrite packs that are mostly dead, and many small ones into few. Nothing becomes stale; pins keep theirs.

        Args:
            dry_run: Say what would be done.
        """
        return self.core.compact(dry_run=dry_run)

    def vacuum(self, *, keep_days: float = 7) -> VacuumReport:
        """Delete files that no kept version and no pin names."""
        return self.core.vacuum(keep_days=keep_days)
