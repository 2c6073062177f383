"""A decoding process: takes one job at a time from its guard and streams the answer back.

Run as ``python -P -m mmfs.media.worker <descriptor of a socket>``. It imports no torch and no settings, holds the
limits of `mmfs.media.sandbox`, and ends when the guard closes the socket.
"""

from __future__ import annotations

import importlib
import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmfs.media import wire
from mmfs.media.image import PILLOW_PLUGINS
from mmfs.media.info import DecodedFrame, Reason, RefusedError, SoundWindow
from mmfs.media.probe import Caps, probe_file, sample_file, window_file
from mmfs.media.sampling import Sampling
from mmfs.media.sandbox import allow_cpu_seconds, enter_sandbox
from mmfs.media.windows import Windowing


def main() -> None:
    """Serve jobs until the guard is gone."""
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        start = wire.receive(connection)
        if start is None:
            return
        versions = _load_decoders()
        enter_sandbox(start["memory_bytes"])
        caps = Caps(**start["caps"])
        wire.send(connection, {"type": "ready", "versions": versions})
        while (job := wire.receive(connection)) is not None:
            allow_cpu_seconds(job["deadline_s"])
            _serve(connection, job, caps)


def _serve(connection: socket.socket, job: dict[str, Any], caps: Caps) -> None:
    path = Path(job["path"])
    try:
        if job["type"] == "probe":
            wire.send(connection, {"type": "probed", "info": asdict(probe_file(path, caps))})
            return

        def emit_frame(frame: DecodedFrame) -> None:
            fields = {name: value for name, value in vars(frame).items() if name != "jpeg"}
            wire.send(connection, {"type": "frame", "frame": fields}, frame.jpeg)

        def emit_window(window: SoundWindow) -> None:
            fields = {name: value for name, value in vars(window).items() if name != "flac"}
            wire.send(connection, {"type": "window", "window": fields}, window.flac)

        if job["type"] == "sound":
            salvaged = window_file(path, job["sha256"], Windowing(**job["windowing"]), caps, emit_window)
            wire.send(connection, {"type": "windowed", "salvaged": salvaged})
            return
        salvaged = sample_file(path, job["sha256"], Sampling(**job["sampling"]), caps, emit_frame)
        wire.send(connection, {"type": "sampled", "salvaged": salvaged})
    except RefusedError as error:
        _fail(connection, error.reason, error.what)
    except MemoryError:
        _fail(connection, Reason.OUT_OF_MEMORY, "decoding needs more memory than MMFS_GUARD__MEMORY_MB")
    except BrokenPipeError:
        raise
    except Exception as error:  # a decoder's surprise costs one file
        _fail(connection, Reason.CORRUPT, f"{type(error).__name__}: {error}")


def _fail(connection: socket.socket, reason: Reason, message: str) -> None:
    wire.send(connection, {"type": "failure", "reason": reason, "message": message[:2000]})


def _load_decoders() -> dict[str, str]:
    """Import everything a job may need while memory is not yet limited; returns the versions."""
    import av
    import av.logging
    import numpy as np
    import PIL.Image
    import simplejpeg
    import soundfile

    for name in PILLOW_PLUGINS:  # its own `init` would load forty parsers, most of them for formats refused here
        importlib.import_module(f"PIL.{name}")
    PIL.Image.MAX_IMAGE_PIXELS = None  # our own limit stands before it
    av.logging.set_level(None)
    libraries = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return {
        "av": av.__version__,
        "libavcodec": libraries.get("libavcodec", ""),
        "libavformat": libraries.get("libavformat", ""),
        "pillow": PIL.__version__,
        "simplejpeg": simplejpeg.__version__,
        "soundfile": soundfile.__version__,
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    main()
