"""Lightning and Accelerate on two ranks: each sample once, and neither of them shards what is sharded already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mmfs.loader import Loader
from tests.loader.world import World

_LIGHTNING = """
import json, sys, torch, lightning
from lightning.pytorch.callbacks import ModelCheckpoint
from mmfs import open_store

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(8, 1)
        self.keys = []

    def train_dataloader(self):
        return open_store(sys.argv[1]).loader("p", batch_size=4)

    def training_step(self, batch, step):
        self.keys.append(batch["_key"])
        return self.head(batch["clip_embeddings.vector"]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

def trainer(*callbacks, **until):
    return lightning.Trainer(accelerator="cpu", strategy="ddp", devices=2, callbacks=list(callbacks), logger=False,
        enable_checkpointing=bool(callbacks), enable_progress_bar=False, enable_model_summary=False, **until)

first, second = Model(), Model()
trainer(ModelCheckpoint(sys.argv[2], "stopped", every_n_train_steps=3), max_steps=3).fit(first)
trainer(max_epochs=2).fit(second, ckpt_path=sys.argv[2] + "/stopped.ckpt", weights_only=True)
with open(f"{sys.argv[2]}.{first.global_rank}", "w") as file:
    json.dump(first.keys + second.keys, file)
"""

_ACCELERATE = """
import json, sys, torch
from accelerate import Accelerator
from mmfs import open_store

accelerator = Accelerator(cpu=True)
head = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
loader = open_store(sys.argv[1]).loader("p", batch_size=4)
head, optimizer, prepared = accelerator.prepare(head, optimizer, loader)
assert prepared is loader
keys = []
for epoch in range(2):
    for batch in loader:
        keys.append(batch["_key"])
        accelerator.backward(head(batch["clip_embeddings.vector"]).square().mean())
        optimizer.step()
with open(f"{sys.argv[2]}.{accelerator.process_index}", "w") as file:
    json.dump(keys, file)
"""


def _on_two_ranks(code: str, world: World, out: Path) -> list[list[list[str]]]:
    """What each rank was given: its steps' keys."""
    script = out.with_suffix(".py")
    script.write_text(code)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    done = subprocess.run(
        [*command, world.store.url, str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(Path(f"{out}.{rank}").read_text()) for rank in (0, 1)]


def _expected(world: World) -> list[list[list[str]]]:
    """What each of two ranks should be given in two epochs."""
    pin = world.pin("p", ["clip_embeddings.vector"])
    loaders = [Loader(world.store, pin, batch_size=4, rank=rank, world_size=2) for rank in (0, 1)]
    return [[batch["_key"] for _ in range(2) for batch in loader] for loader in loaders]


def test_accelerate_hands_the_loader_on_as_it_is(world: World, tmp_path: Path) -> None:
    expected = _expected(world)
    assert _on_two_ranks(_ACCELERATE, world, tmp_path / "with_accelerate") == expected


def test_lightning_trains_from_the_loader_and_resumes_it_with_its_own_checkpoint(world: World, tmp_path: Path) -> None:
    expected = _expected(world)
    assert _on_two_ranks(_LIGHTNING, world, tmp_path / "with_lightning") == expected
