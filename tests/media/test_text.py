"""Text counts as media by its suffix and as UTF-8, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmfs.media.info import Reason, RefusedError
from mmfs.media.probe import Caps, probe_file

CAPS = Caps(image_pixels=1, video_side=1)


def test_a_utf8_text_is_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ein Würfel auf dem Tisch.\n", encoding="utf-8")
    info = probe_file(tmp_path / "a.txt", CAPS)
    assert (info.kind, info.container, info.width, info.duration_s) == ("text", "text", None, None)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.mp4", b"A cube on a table.", Reason.UNKNOWN_TYPE),
        ("a.txt", b"\xff\xfe\x00A\x00", Reason.UNKNOWN_TYPE),
        ("a.txt", b"A\x00B", Reason.UNKNOWN_TYPE),
        ("a.txt", b"", Reason.EMPTY),
        ("a.md", b"<html><script>alert(1)</script>", Reason.FORBIDDEN),
    ],
)
def test_other_bytes_are_no_text(tmp_path: Path, name: str, data: bytes, reason: Reason) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(RefusedError) as refused:
        probe_file(tmp_path / name, CAPS)
    assert refused.value.reason is reason
