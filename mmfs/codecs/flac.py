"""FLAC of 16 bits, for windows of sound."""

from __future__ import annotations

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from mmfs.errors import DROP_DAMAGED, IntegrityError, MissingExtraError

_FULL_SCALE = 32768.0
_MOST_CHANNELS = 8
#: Where a FLAC file keeps the MD5 of its samples.
_MD5 = slice(26, 42)


def encode_flac(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> bytes:
    """Encode sound, float32 [C, T] of -1 to 1, as FLAC of 16 bits.

    Values beyond are clipped. Samples of 16 bits divided by 32768 come back exactly.

    Raises:
        ValueError: There is no sample, a value is not finite, or there are more than eight channels.
    """
    soundfile = _soundfile()
    if samples.ndim != 2 or not samples.size or len(samples) > _MOST_CHANNELS or not np.isfinite(samples).all():
        raise ValueError(f"sound is a finite [C, T] array of at most eight channels; got shape {samples.shape}")
    scaled = np.rint(samples.T * np.float32(_FULL_SCALE))
    whole = np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1, out=scaled).astype(np.int16)
    file = BytesIO()
    soundfile.write(file, whole, sample_rate_hz, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def decode_flac(data: bytes | memoryview) -> npt.NDArray[np.float32]:
    """Decode `encode_flac` bytes to float32 [C, T] of -1 to 1.

    Raises:
        IntegrityError: The bytes are not whole FLAC of 16 bits, or their samples differ from the MD5 kept with them.
    """
    soundfile = _soundfile()
    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            if (file.format, file.subtype) != ("FLAC", "PCM_16"):
                raise ValueError(f"{file.format} {file.subtype}")
            whole = file.read(dtype="int16", always_2d=True)
        # The decoder itself passes over damage with silence.
        if hashlib.md5(whole.astype("<i2", copy=False), usedforsecurity=False).digest() != bytes(data[_MD5]):
            raise ValueError("the samples are not those that were encoded")
    except (soundfile.SoundFileError, ValueError) as error:
        raise IntegrityError(f"bytes are not sound: {error}", mend=DROP_DAMAGED) from error
    return np.ascontiguousarray(whole.T).astype(np.float32) * np.float32(1 / _FULL_SCALE)


def _soundfile() -> Any:
    try:
        import soundfile
    except ImportError as error:
        raise MissingExtraError(
            "soundfile is not installed", where="coding sound", mend="pip install 'mmfs[loader]'"
        ) from error
    return soundfile
