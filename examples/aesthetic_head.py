"""A small head over embeddings that are there already: a score of a frame by a linear model of your own.

Fit ``sigmoid(weight @ vector + bias)`` to frames that people rated, and save both, float32 [1, D] and [1]::

    safetensors.torch.save_file({"weight": weight, "bias": bias}, "aesthetic_head.safetensors")

Then, from the repository's folder::

    export PYTHONPATH=. MMFS_FEATURES=examples.aesthetic_head  # and AESTHETIC_HEAD, where the file lies elsewhere
    mmfs materialize aesthetics
    mmfs search "a mountain" --where "score > 0.6"
"""

import os
from pathlib import Path

import mmfs
from mmfs.features.weights import files_digest

FILE = Path(os.environ.get("AESTHETIC_HEAD", "aesthetic_head.safetensors"))


@mmfs.feature(table="aesthetics", grain="frame", inputs=["clip_embeddings.vector"])
class AestheticHead(mmfs.Feature):
    """How much people are said to like a frame, 0 to 1."""

    outputs = {"score": mmfs.Scalar("float32", "Predicted liking, 0 to 1.")}

    def weights_digest(self):
        return files_digest([FILE]) if FILE.exists() else f"no {FILE} yet"

    def setup(self, device):
        from safetensors.torch import load_file

        self.head = load_file(FILE, device=device)

    def compute(self, batch):
        logits = batch["clip_embeddings.vector"] @ self.head["weight"].T + self.head["bias"]
        return {"score": logits.sigmoid()[:, 0]}
