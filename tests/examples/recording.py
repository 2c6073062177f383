"""Runs an example with a note of every batch that it is given; a rank may be told to die.

python recording.py NOTES DIE EXAMPLE ARGUMENTS...: notes go to NOTES.<rank>, one line a batch; DIE is ``rank:step``, at
which that rank kills itself before it trains on the batch, or ``-``.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmfs.loader import Loader

notes, die, example = sys.argv[1:4]
sys.argv = sys.argv[3:]
sys.path.insert(0, str(Path(example).parent))
rank = os.environ.get("RANK", "0")
original = Loader.__iter__


def noted(loader: Loader) -> Iterator[dict[str, Any]]:
    """The loader's batches, each noted before it is handed on."""
    with Path(f"{notes}.{rank}").open("a") as file:
        for batch in original(loader):
            step = loader.state_dict()["step"]
            keys = [key for key, valid in zip(batch["_key"], batch["_valid"].tolist(), strict=True) if valid]
            file.write(json.dumps({"step": step, "keys": keys}) + "\n")
            file.flush()
            if die == f"{rank}:{step}":
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch


Loader.__iter__ = noted  # type: ignore[method-assign]
runpy.run_path(example, run_name="__main__")
