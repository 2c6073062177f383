"""Untrusted media in, facts, JPEG frames and windows of sound out; everything that parses foreign bytes is in here."""

from mmfs.media.guard import Guard
from mmfs.media.info import (
    DecodedFrame,
    Failure,
    FrameJob,
    Kind,
    MediaInfo,
    Probed,
    ProbeJob,
    Reason,
    RefusedError,
    Sampled,
    SoundJob,
    SoundWindow,
    Windowed,
)
from mmfs.media.sniff import MEDIA_SUFFIXES, TEXT_SUFFIXES, Sniffed, sniff

__all__ = [
    "MEDIA_SUFFIXES",
    "TEXT_SUFFIXES",
    "DecodedFrame",
    "Failure",
    "FrameJob",
    "Guard",
    "Kind",
    "MediaInfo",
    "ProbeJob",
    "Probed",
    "Reason",
    "RefusedError",
    "Sampled",
    "Sniffed",
    "SoundJob",
    "SoundWindow",
    "Windowed",
    "sniff",
]
