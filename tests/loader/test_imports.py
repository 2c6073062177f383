"""What a training process loads: no orchestrator, no data frames."""

from __future__ import annotations

import subprocess
import sys

from tests.loader.world import World

_EPOCH = """
import sys
from mmfs.loader import Loader
from mmfs.store import Store
from mmfs.store.pins import Pins
assert "torch" not in sys.modules
store = Store.open(sys.argv[1])
loader = Loader(store, Pins(store).get("p"), batch_size=16, image_size=32)
assert sum(int(batch["_valid"].sum()) for batch in loader) == 54
unwanted = {"dagster", "pandas", "qdrant_client", "av", "PIL", "transformers"}
print(sorted({name.split(".")[0] for name in sys.modules} & unwanted))
print(sorted(name for name in sys.modules if name.startswith("mmfs.features")))
"""


def test_an_epoch_loads_no_orchestrator_no_data_frames_and_no_features(world: World) -> None:
    columns = ["frames.image", "clip_embeddings.vector", "depth_maps.depth", "captions.text", "raw_media.width"]
    world.pin("p", columns, where="frame_index > 0")
    done = subprocess.run(
        [sys.executable, "-c", _EPOCH, world.store.url], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
