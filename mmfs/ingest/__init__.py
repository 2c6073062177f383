"""From files, buckets and lists to media, captions and frames. See README.md in this folder."""

from mmfs.ingest.assign import assign
from mmfs.ingest.listed import Caption, Listed, Listing
from mmfs.ingest.listing import list_sources
from mmfs.ingest.report import IngestReport, StepReport

__all__ = ["Caption", "IngestReport", "Listed", "Listing", "StepReport", "assign", "list_sources"]
