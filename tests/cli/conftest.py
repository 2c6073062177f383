"""Running the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from mmfs.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command with these arguments: exit code, stdout, stderr with line breaks folded."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmfs", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, " ".join(err.split())

    return call
