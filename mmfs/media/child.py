"""How a child process ended, in words."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import IO

_SAID_BYTES = 2000


def end_child(child: subprocess.Popen[bytes], stderr: IO[bytes]) -> str:
    """Kill a decoding process, unless it died by itself, and say how it ended, with its last line.

    Args:
        stderr: The file that it wrote its errors to; closed here.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        # A process that died by itself must be heard before it is killed, or its signal is lost.
        child.wait(0.05)
    child.kill()
    code = child.wait()
    with stderr as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(0, size - _SAID_BYTES))
        said = log.read().decode(errors="replace").strip()
    how = f"died of {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
    return f"the decoding process {how}" + (f": {said.splitlines()[-1]}" if said else "")
