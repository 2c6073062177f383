"""From files, buckets and lists to media, captions, frames and windows of sound. See README.md in this folder."""

from mmfs.ingest.assign import assign
from mmfs.ingest.audio_windows import build_audio_windows
from mmfs.ingest.captions import build_captions
from mmfs.ingest.familiar import Familiar
from mmfs.ingest.fingerprints import audio_fingerprint, caption_fingerprint, frames_fingerprint
from mmfs.ingest.frames import build_frames
from mmfs.ingest.listed import Caption, Listed, Listing
from mmfs.ingest.listing import list_sources
from mmfs.ingest.register import register_media
from mmfs.ingest.report import IngestReport, StepReport
from mmfs.ingest.returned import returned_files
from mmfs.ingest.rounds import Page, look_page

__all__ = [
    "Caption",
    "Familiar",
    "IngestReport",
    "Listed",
    "Listing",
    "Page",
    "StepReport",
    "assign",
    "audio_fingerprint",
    "build_audio_windows",
    "build_captions",
    "build_frames",
    "caption_fingerprint",
    "frames_fingerprint",
    "list_sources",
    "look_page",
    "register_media",
    "returned_files",
]
