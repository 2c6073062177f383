"""Where new media come from."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from mmfs.ingest import Page, look_page
from mmfs.settings import Settings


class MediaSourceResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Looks through the watched places, a page at a time."""

    uris: list[str] = Field(
        default_factory=list,
        description="Directories, globs, s3:// prefixes or lists of URIs to look at; default: MMFS_WATCH.",
    )

    def look(self, settings: Settings, cursor: str | None, *, now_us: int) -> Page:
        """The next page of the watched places; no media byte is read.

        Args:
            cursor: What the last page gave; None: begin with the first place.
            now_us: Microseconds since 1970: files that were written to just before wait.
        """
        return look_page(self.watched(settings), settings, cursor, now_us=now_us)

    def watched(self, settings: Settings) -> tuple[str, ...]:
        """The watched places."""
        return tuple(self.uris) or settings.watch
