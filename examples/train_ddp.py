"""Train on several processes or machines: a small network learns the store's embeddings from its pictures.

On the store that ``make demo`` leaves, from the repository's folder (NCCL on GPUs, else Gloo)::

    torchrun --standalone --nproc-per-node 2 examples/train_ddp.py --epochs 3
    torchrun --standalone --nproc-per-node 3 examples/train_ddp.py --epochs 6    # goes on, on three ranks now

Each rank makes its own loader. The order of samples does not depend on how many there are, so a checkpoint goes on
with any number of them: nothing is read twice in an epoch, nothing is left out.
"""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from checkpoint import load, save  # the file beside this one
from torch import nn
from torch.nn.functional import cosine_similarity
from torch.nn.parallel import DistributedDataParallel

import mmfs

COLUMNS = ["frames.image", "clip_embeddings.vector"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="default: MMFS_STORE or ./data/store")
    parser.add_argument("--pin", default="train-ddp", help="made of all frames with embeddings when there is none")
    parser.add_argument("--name", help="under which training_runs records the run")
    parser.add_argument("--epochs", type=int, default=3, help="of the whole run")
    parser.add_argument("--batch-size", type=int, default=32, help="samples a rank and step")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--checkpoint", type=Path, default=Path("data/train-ddp.safetensors"))
    parser.add_argument("--save-every", type=int, default=50, help="steps")
    return parser.parse_args()


def network(dim):
    """Pictures, float32 [B, 3, 64, 64], to embeddings, [B, dim]. It has no batch norm, which repeats would disturb."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, stride=4),
        nn.GELU(),
        nn.Conv2d(32, 64, 3, stride=2),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(1024, dim),
    )


def main():
    args = arguments()
    on_gpu = torch.cuda.is_available()
    dist.init_process_group("nccl" if on_gpu else "gloo")
    device = f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else "cpu"
    is_first = dist.get_rank() == 0

    store = mmfs.open_store(args.store, create=False)
    if is_first and args.pin not in store.pins():
        store.pin(args.pin, columns=COLUMNS, missing="skip")
    dist.barrier()
    loader = store.loader(args.pin, run=args.name, batch_size=args.batch_size, image_size=64, device=device)

    torch.manual_seed(0)
    model = network(loader.pin.sources["clip_embeddings.vector"].dim).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    if args.checkpoint.exists():
        loader.load_state_dict(load(args.checkpoint, model, optimizer))
    parallel = DistributedDataParallel(model)

    while loader.state_dict()["epoch"] < args.epochs:
        for batch in loader:
            valid = batch["_valid"].float()  # 0 for the repeats that fill an epoch's last step
            guess = parallel(batch["frames.image"].float() / 255)
            distance = 1 - cosine_similarity(guess, batch["clip_embeddings.vector"], dim=-1)
            # Every sample counts the same, however many of them the ranks have: DDP takes the mean of their gradients.
            count = valid.sum()
            dist.all_reduce(count)
            loss = (distance * valid).sum() * dist.get_world_size() / count
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            state = loader.state_dict()  # the same on every rank, so the first one's is everybody's
            if is_first and state["step"] % args.save_every == 0:
                save(args.checkpoint, model, optimizer, state)
        if is_first:
            print(f"epochs {state['epoch']}  steps {state['step']}  loss {loss.item():.4f}", flush=True)
            save(args.checkpoint, model, optimizer, state)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
