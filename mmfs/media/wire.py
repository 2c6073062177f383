"""Messages between the guard and its decoding processes: a JSON object and raw bytes, each with its length.

Not pickle, which is what `multiprocessing` speaks: a decoder taken over by its input could then run code in the
process that reads its answers. What comes back is checked field by field instead.
"""

from __future__ import annotations

import json
import socket
import struct
from functools import cache
from typing import Any

from mmfs.media.info import DecodedFrame, MediaInfo, SoundWindow

_LENGTHS = struct.Struct("!II")
_MAX_HEADER_BYTES = 1 << 20
_MAX_BODY_BYTES = 1 << 30
_MAX_INTEGER = (1 << 63) - 1


class WireError(Exception):
    """The other side does not speak the protocol; it is not to be trusted any more."""


def send(connection: socket.socket, header: dict[str, Any], body: bytes = b"") -> None:
    """Send one message, waiting until it is taken."""
    text = json.dumps(header, allow_nan=False).encode()
    connection.sendall(_LENGTHS.pack(len(text), len(body)) + text)
    if body:
        connection.sendall(body)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Wait for one message without a body; None when the other side is gone."""
    lengths = _exactly(connection, _LENGTHS.size)
    if lengths is None:
        return None
    text = _exactly(connection, _LENGTHS.unpack(lengths)[0])
    header: dict[str, Any] | None = None if text is None else json.loads(text)
    return header


class Inbox:
    """Puts messages together from bytes as they arrive."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """Take more bytes; returns the messages that are now whole, as header and body.

        Raises:
            WireError: These are no messages.
        """
        self._bytes += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def _next(self) -> tuple[dict[str, Any], bytes] | None:
        if len(self._bytes) < _LENGTHS.size:
            return None
        header_size, body_size = _LENGTHS.unpack_from(self._bytes)
        if header_size > _MAX_HEADER_BYTES or body_size > _MAX_BODY_BYTES:
            raise WireError(f"a message of {header_size} + {body_size} bytes")
        middle = _LENGTHS.size + header_size
        end = middle + body_size
        if len(self._bytes) < end:
            return None
        try:
            header = json.loads(self._bytes[_LENGTHS.size : middle], parse_constant=_refuse_constant)
        except ValueError as error:
            raise WireError("a header that is not JSON") from error
        if not isinstance(header, dict):
            raise WireError("a header that is not an object")
        body = bytes(self._bytes[middle:end])
        del self._bytes[:end]
        return header, body


def parse_info(fields: object) -> MediaInfo:
    """A `MediaInfo` from another process, every field checked.

    Raises:
        WireError: A field is missing or of another type.
    """
    info: MediaInfo = _checked(MediaInfo, fields)
    return info


def parse_frame(fields: object, jpeg: bytes) -> DecodedFrame:
    """A `DecodedFrame` from another process, every field checked.

    Raises:
        WireError: A field is missing or of another type.
    """
    frame: DecodedFrame = _checked(DecodedFrame, {**fields, "jpeg": jpeg} if isinstance(fields, dict) else fields)
    return frame


def parse_window(fields: object, flac: bytes) -> SoundWindow:
    """A `SoundWindow` from another process, every field checked.

    Raises:
        WireError: A field is missing or of another type.
    """
    window: SoundWindow = _checked(SoundWindow, {**fields, "flac": flac} if isinstance(fields, dict) else fields)
    return window


def parse_versions(fields: object) -> dict[str, str]:
    """Library versions from another process.

    Raises:
        WireError: They are no object.
    """
    if not isinstance(fields, dict):
        raise WireError("versions that are no object")
    return {str(name): str(version) for name, version in fields.items()}


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _checked(cls: type, fields: object) -> Any:
    try:
        checked = _validator(cls).validate_python(fields)
    except ValueError as error:
        raise WireError(f"not a {cls.__name__}: {error}") from error
    if any(isinstance(value, int) and abs(value) > _MAX_INTEGER for value in vars(checked).values()):
        raise WireError(f"not a {cls.__name__}: a number that no column can hold")
    return checked


@cache
def _validator(cls: type) -> Any:
    # Decoding processes load this module too, and start faster without Pydantic.
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        chunk = connection.recv(size - len(parts))
        if not chunk:
            return None
        parts += chunk
    return bytes(parts)
