"""What decoding processes answer is data: cut anywhere, checked field by field, never executed."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.media import wire

headers = st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20) | st.none(), max_size=4)
INFO = {"sha256": "0" * 64, "size_bytes": 3, "kind": "image", "container": "png", "width": 4, "fps": None}


def sent(header: dict[str, object], body: bytes = b"") -> bytes:
    """The bytes of one message."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, header, body)
        ours.shutdown(socket.SHUT_WR)
        parts = []
        while part := theirs.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


@given(st.lists(st.tuples(headers, st.binary(max_size=50)), max_size=4), st.lists(st.integers(1, 40), min_size=1))
def test_messages_are_whole_however_their_bytes_arrive(
    messages: list[tuple[dict[str, object], bytes]], steps: list[int]
) -> None:
    stream = b"".join(sent(header, body) for header, body in messages)
    inbox, got, at = wire.Inbox(), [], 0
    while at < len(stream):
        step = steps[len(got) % len(steps)]
        got += inbox.feed(stream[at : at + step])
        at += step
    assert got == messages


def test_names_that_are_no_unicode_cross_unharmed() -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert wire.Inbox().feed(sent({"path": name}))[0][0]["path"] == name


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack("!II", 1 << 30, 0),
        struct.pack("!II", 2, 1 << 31),
        struct.pack("!II", 4, 0) + b"nope",
        struct.pack("!II", 2, 0) + b"[]",
        struct.pack("!II", 3, 0) + b"NaN",
        struct.pack("!II", 2, 0) + b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_an_error(stream: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.Inbox().feed(stream)


def test_facts_are_checked_field_by_field() -> None:
    assert wire.parse_info(INFO).width == 4
    for wrong in (None, [], {}, {**INFO, "kind": "code"}, {**INFO, "width": "wide"}, {**INFO, "sha256": 7}):
        with pytest.raises(wire.WireError):
            wire.parse_info(wrong)


def test_frames_are_checked_field_by_field() -> None:
    fields = {"frame_index": 0, "pts_us": 0, "time_s": 0.0, "width": 1, "height": 1, "is_keyframe": True}
    assert wire.parse_frame(fields, b"jpeg").jpeg == b"jpeg"
    for wrong in (None, [], {}, {**fields, "pts_us": "soon"}, {**fields, "pts_us": -(1 << 64)}):
        with pytest.raises(wire.WireError):
            wire.parse_frame(wrong, b"")


def test_windows_of_sound_are_checked_field_by_field() -> None:
    fields = {"window_index": 0, "start_s": 0.0, "end_s": 1.0, "sample_rate_hz": 16_000, "channels": 1}
    assert wire.parse_window(fields, b"flac").flac == b"flac"
    for wrong in (None, [], {}, {**fields, "start_s": "soon"}, {**fields, "window_index": 1 << 64}):
        with pytest.raises(wire.WireError):
            wire.parse_window(wrong, b"")


def test_a_closed_connection_ends_the_conversation() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(struct.pack("!II", 100, 0) + b"{")
        ours.close()
        assert wire.receive(theirs) is None
