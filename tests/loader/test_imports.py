"""What a training process loads: no orchestrator, no data frames, no table library."""

from __future__ import annotations

import subprocess
import sys

from tests.loader.world import World

_EPOCH = """
import sys
import mmfs
assert "torch" not in sys.modules
loader = mmfs.open_store(sys.argv[1]).loader("p", batch_size=16, image_size=32)
assert sum(int(batch["_valid"].sum()) for batch in loader) == 54
unwanted = {"dagster", "pandas", "qdrant_client", "av", "PIL", "transformers", "deltalake", "pyarrow.compute"}
print(sorted(set(sys.modules) & unwanted))
print(sorted(name for name in sys.modules if name.startswith("mmfs.features")))
"""


def test_an_epoch_loads_no_orchestrator_no_data_frames_no_table_library_and_no_features(world: World) -> None:
    columns = ["frames.image", "clip_embeddings.vector", "depth_maps.depth", "captions.text", "raw_media.width"]
    world.pin("p", columns, where="frame_index > 0")
    done = subprocess.run(
        [sys.executable, "-c", _EPOCH, world.store.url], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]
