"""From files, buckets and lists to media, captions and frames. See README.md in this folder."""

from mmfs.ingest.assign import assign
from mmfs.ingest.captions import build_captions
from mmfs.ingest.fingerprints import caption_fingerprint, frames_fingerprint
from mmfs.ingest.frames import build_frames
from mmfs.ingest.listed import Caption, Listed, Listing
from mmfs.ingest.listing import list_sources
from mmfs.ingest.register import register_media
from mmfs.ingest.report import IngestReport, StepReport

__all__ = [
    "Caption",
    "IngestReport",
    "Listed",
    "Listing",
    "StepReport",
    "assign",
    "build_captions",
    "build_frames",
    "caption_fingerprint",
    "frames_fingerprint",
    "list_sources",
    "register_media",
]
