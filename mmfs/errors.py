"""Every error that mmfs raises on purpose.

Each says three things: what is wrong (with the value), where (file, row or setting), and the mend. A message
without a mend is a bug report waiting to happen, so ``mend`` is a required argument.
"""

from __future__ import annotations

#: The mend of bytes in packs that are not what they were.
DROP_DAMAGED = "run `mmfs verify --drop-damaged`, then materialize the shard again"


class MmfsError(Exception):
    """Base of all errors that mmfs raises on purpose.

    Args:
        what: What is wrong, with the offending value.
        mend: What the reader can do about it.
        where: The file, table, row or setting concerned; ``None`` when ``what`` already names it.
    """

    def __init__(self, what: str, *, mend: str, where: str | None = None) -> None:
        self.what = what
        self.where = where
        self.mend = mend
        place = f" [{where}]" if where else ""
        super().__init__(f"{what}{place}; {mend}")

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders whole (the default would drop the keyword arguments)."""
        return (_rebuild, (type(self), self.what, self.mend, self.where))


def _rebuild(kind: type[MmfsError], what: str, mend: str, where: str | None) -> MmfsError:
    return kind(what, mend=mend, where=where)


class SettingsError(MmfsError):
    """A setting is unknown, malformed or contradicts another."""


class MissingExtraError(MmfsError):
    """A package of an optional extra is not installed."""


class StoreError(MmfsError):
    """The store cannot be opened, read or written."""


class NoStoreError(StoreError):
    """There is no store at this place."""


class MissingObjectError(StoreError):
    """There is no object of this name."""


class UnreachableError(StoreError):
    """An object cannot be opened, could not be read in time, or may not be read."""


class NoAnswerError(UnreachableError):
    """An object could not be read in time."""


class StalePlanError(StoreError):
    """Somebody else replaced the shard after it was planned; read it again and plan anew."""


class IntegrityError(StoreError):
    """Stored bytes differ from their checksum, or tables, packs and index disagree."""


class WhereError(MmfsError):
    """A WHERE condition does not parse, names no known column, or uses what is not allowed."""


class SqlError(MmfsError):
    """A SQL query is not one read-only SELECT over the store's tables, or fails to run."""


class PinError(MmfsError):
    """A pin cannot be made, found or read."""


class NoSampleError(PinError):
    """No sample is selected, so that there is nothing to pin."""


class IngestError(MmfsError):
    """A source cannot be listed or may not be read."""


class MediaError(MmfsError):
    """A media file cannot be decoded. Inside a batch it becomes a quarantine row, never an abort."""


class FeatureError(MmfsError):
    """A feature is declared wrongly or computed something it did not declare."""


class CodeChangedError(FeatureError):
    """The code of a feature was edited under the process that imported it."""


class ModelError(MmfsError):
    """Model weights cannot be found, downloaded or loaded."""


class SearchError(MmfsError):
    """A query cannot be answered by the index as it is."""


class CurationError(MmfsError):
    """Samples cannot be chosen as asked: other grain, no vectors, fewer than wanted."""


class LoaderError(MmfsError):
    """The training loader cannot start, resume or deliver."""
