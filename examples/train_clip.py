"""Train an image-text model on a store's pictures and captions. Stop it whenever you like: it goes on to the sample.

On the store that ``make demo`` leaves, from the repository's folder::

    python examples/train_clip.py --steps 100
    python examples/train_clip.py --steps 200    # goes on behind step 100

The model is the demo's by default, with fresh weights; ``--model ViT-B-32`` is open_clip's.
"""

import argparse
from itertools import compress, islice
from pathlib import Path

import open_clip
import torch
from checkpoint import load, save  # the file beside this one

import mmfs
from mmfs.settings import DEMO_CLIP_DIR


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", help="default: MMFS_STORE or ./data/store")
    parser.add_argument("--pin", default="train-clip", help="made of all captioned frames when there is none")
    parser.add_argument("--model", default=f"local-dir:{DEMO_CLIP_DIR}", help="an architecture of open_clip")
    parser.add_argument("--steps", type=int, default=200, help="of the whole run")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the order")
    parser.add_argument("--checkpoint", type=Path, default=Path("data/train-clip.safetensors"))
    parser.add_argument("--save-every", type=int, default=50, help="steps")
    return parser.parse_args(argv)


def main(argv=None):
    args = arguments(argv)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    model = open_clip.create_model(args.model, load_weights=False, device=device).train()
    tokenize = open_clip.get_tokenizer(args.model)
    contrast = open_clip.ClipLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)

    store = mmfs.open_store(args.store, create=False)
    if args.pin not in store.pins():
        store.pin(args.pin, columns=["frames.image", "captions.text"], missing="skip")
    size = model.visual.image_size
    loader = store.loader(
        args.pin,
        batch_size=args.batch_size,
        seed=args.seed,
        image_size=size if isinstance(size, int) else size[0],
        captions="random",  # another one of a frame's captions in each epoch
        device=device,
    )
    if args.checkpoint.exists():
        loader.load_state_dict(load(args.checkpoint, model, optimizer))

    mean, std = (
        torch.tensor(values, device=device).view(1, 3, 1, 1)
        for values in (model.visual.image_mean, model.visual.image_std)
    )
    done = loader.state_dict()["step"]
    for step, batch in enumerate(islice(loader.stream(), max(0, args.steps - done)), done + 1):
        valid = batch["_valid"]  # False only where a sample could not be read
        pictures = (batch["frames.image"][valid].float() / 255 - mean) / std
        texts = tokenize(list(compress(batch["captions.text"], valid.tolist()))).to(device)
        loss = contrast(*model(pictures, texts)[:3])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0 or step == args.steps:
            print(f"step {step}  loss {loss.item():.4f}", flush=True)
        if step % args.save_every == 0 or step == args.steps:
            save(args.checkpoint, model, optimizer, loader.state_dict())


if __name__ == "__main__":
    main()
