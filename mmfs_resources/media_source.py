"""Where new media come from."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from mmfs.ingest import Listing, list_sources
from mmfs.settings import Settings


class MediaSourceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Lists the watched places."""

    uris: list[str] = Field(
        default_factory=list,
        description="Directories, globs, s3:// prefixes or lists of URIs to look at; default: MMFS_WATCH.",
    )

    def look(self, settings: Settings) -> Listing:
        """Everything the watched places hold now; no media byte is read.

        Raises:
            IngestError: A place does not exist or may not be read.
        """
        return list_sources(self.watched(settings), settings)

    def watched(self, settings: Settings) -> tuple[str, ...]:
        """The watched places."""
        return tuple(self.uris) or settings.watch
