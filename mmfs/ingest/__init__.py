"""From files, buckets and lists to media, captions, frames and windows of sound. See README.md in this folder."""

from mmfs.ingest.assign import assign
from mmfs.ingest.audio_windows import build_audio_windows
from mmfs.ingest.captions import build_captions
from mmfs.ingest.fingerprints import audio_fingerprint, caption_fingerprint, frames_fingerprint
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
    "audio_fingerprint",
    "build_audio_windows",
    "build_captions",
    "build_frames",
    "caption_fingerprint",
    "frames_fingerprint",
    "list_sources",
    "register_media",
]
