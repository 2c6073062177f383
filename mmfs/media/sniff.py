"""What a file is, by its first bytes; its name plays no part.

Decoders are then told exactly one format. FFmpeg left to itself would take a text file named ``.mp4`` for a
playlist and open what it lists.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmfs.media.info import Kind, Reason, RefusedError

#: How many bytes `sniff` wants to see; three packets of MPEG-TS need the most.
HEAD_BYTES = 4096

#: Suffixes of files that listing a directory takes for media; what they are is decided by their bytes.
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff",
})  # fmt: skip
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".flv", ".ogv",
})  # fmt: skip
AUDIO_SUFFIXES = frozenset({".mp3", ".m4a", ".aac", ".flac", ".wav", ".ogg", ".oga", ".opus"})
MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES | AUDIO_SUFFIXES

#: Suffixes of text files, which count as media only when they are named one by one.
TEXT_SUFFIXES = frozenset({".txt", ".md"})


@dataclass(frozen=True)
class Sniffed:
    """A file type.

    Attributes:
        kind: image, video, audio or text; a video container may turn out to hold sound only.
        container: Our name of the format.
        mime: Its media type.
    """

    kind: Kind
    container: str
    mime: str


_Test = Callable[[bytes], bool]


def _starts(*magics: bytes) -> _Test:
    return lambda head: head.startswith(magics)


def _riff(form: bytes) -> _Test:
    return lambda head: head[:4] == b"RIFF" and head[8:12] == form


_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MOV_BOXES = frozenset({b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"})


def _brands(head: bytes) -> frozenset[bytes]:
    """Major and compatible brands of an ISO base media file."""
    if head[4:8] != b"ftyp":
        return frozenset()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset({head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))})


def _is_avif(head: bytes) -> bool:
    return bool(_brands(head) & _AVIF_BRANDS)


def _is_heif(head: bytes) -> bool:
    return head[8:12] in _HEIF_BRANDS and bool(_brands(head))


def _is_mov(head: bytes) -> bool:
    return head[8:12] == b"qt  " and bool(_brands(head))


def _is_mp4(head: bytes) -> bool:
    # The first four bytes are a length; were they letters, "The wide ..." would be a box.
    is_text = all(0x20 <= byte < 0x7F for byte in head[:4])
    return bool(_brands(head)) or (head[4:8] in _MOV_BOXES and not is_text)


def _is_webm(head: bytes) -> bool:
    return head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head[:64]


def _is_ts(head: bytes) -> bool:
    return any(
        len(head) > start + size and all(byte == 0x47 for byte in head[start : start + 3 * size : size])
        for start, size in ((0, 188), (4, 192))
    )


def _is_mp3(head: bytes) -> bool:
    layer3 = len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] & 0xF0 != 0xF0
    return layer3 or head.startswith(b"ID3")


def _is_aac(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _is_bmp(head: bytes) -> bool:
    # Two letters alone would take many a text for a picture: the header length must be one that exists.
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)


#: In the order of trial: the narrow before the wide.
_TYPES: tuple[tuple[_Test, Sniffed], ...] = (
    (_starts(b"\xff\xd8\xff"), Sniffed("image", "jpeg", "image/jpeg")),
    (_starts(b"\x89PNG\r\n\x1a\n"), Sniffed("image", "png", "image/png")),
    (_starts(b"GIF87a", b"GIF89a"), Sniffed("image", "gif", "image/gif")),
    (_starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), Sniffed("image", "tiff", "image/tiff")),
    (_riff(b"WEBP"), Sniffed("image", "webp", "image/webp")),
    (_is_bmp, Sniffed("image", "bmp", "image/bmp")),
    (_is_avif, Sniffed("image", "avif", "image/avif")),
    (_is_heif, Sniffed("image", "heif", "image/heif")),
    (_is_mov, Sniffed("video", "mov", "video/quicktime")),
    (_is_mp4, Sniffed("video", "mp4", "video/mp4")),
    (_is_webm, Sniffed("video", "webm", "video/webm")),
    (_starts(b"\x1aE\xdf\xa3"), Sniffed("video", "matroska", "video/matroska")),
    (_riff(b"AVI "), Sniffed("video", "avi", "video/x-msvideo")),
    (_is_ts, Sniffed("video", "mpegts", "video/mp2t")),
    (_starts(b"\0\0\x01\xba"), Sniffed("video", "mpeg", "video/mpeg")),
    (_starts(b"FLV\x01"), Sniffed("video", "flv", "video/x-flv")),
    (_starts(b"OggS"), Sniffed("video", "ogg", "application/ogg")),
    (_riff(b"WAVE"), Sniffed("audio", "wav", "audio/wav")),
    (_starts(b"fLaC"), Sniffed("audio", "flac", "audio/flac")),
    (_is_mp3, Sniffed("audio", "mp3", "audio/mpeg")),
    (_is_aac, Sniffed("audio", "aac", "audio/aac")),
)

TEXT = Sniffed("text", "text", "text/plain")

#: Types that name other files, or are run or rendered by whoever opens them; in lower case, after white space.
_FORBIDDEN: tuple[tuple[bytes, str], ...] = (
    (b"#extm3u", "an M3U playlist"),
    (b"ffconcat", "an ffconcat script"),
    (b"# ffconcat", "an ffconcat script"),
    (b"[playlist]", "a PLS playlist"),
    (b"<asx", "an ASX playlist"),
    (b"<smil", "a SMIL playlist"),
    (b"<mpd", "a DASH manifest"),
    (b"<svg", "an SVG drawing, which can refer to other files"),
    (b"<?xml", "an XML document, which can refer to other files"),
    (b"<!doctype", "an HTML or XML page"),
    (b"<html", "an HTML page"),
    (b"<script", "a script"),
    (b"<?php", "a script"),
    (b"#!", "a script"),
    (b"%!ps", "a PostScript program"),
)


def sniff(head: bytes) -> Sniffed:
    """The type of a file with these first bytes (`HEAD_BYTES`, or all of a shorter file).

    Raises:
        RefusedError: EMPTY, FORBIDDEN or UNKNOWN_TYPE.

    >>> sniff(bytes.fromhex("ffd8ffe000104a464946")).container
    'jpeg'
    """
    if not head:
        raise RefusedError(Reason.EMPTY, "the file has no bytes")
    for test, sniffed in _TYPES:
        if test(head):
            return sniffed
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for magic, name in _FORBIDDEN:
        if text.startswith(magic):
            raise RefusedError(Reason.FORBIDDEN, f"the file is {name}")
    raise RefusedError(Reason.UNKNOWN_TYPE, f"no known media type starts with the bytes {head[:12].hex(' ')}")
