"""A checkpoint in one file: weights, optimizer and loader state. No pickle; written whole, or not at all.

Tensors are kept as safetensors, by name: ``model.<parameter>`` and ``optimizer.<number>.<name>``. The optimizer's
groups and the loader's state are JSON in the same file's header, so that the three can never be of different steps.
Optimizers whose state is tensors fit (Adam, AdamW, Adafactor, SGD with momentum).
"""

import json
import os
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file


def save(path, model, optimizer, loader_state):
    """Write a checkpoint; a reader sees the old one or the new one."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    moments = optimizer.state_dict()
    for number, state in moments["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
    header = {"loader": json.dumps(loader_state), "groups": json.dumps(moments["param_groups"])}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    partial = f"{path}.partial"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata=header)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path, model, optimizer):
    """Read a checkpoint into a model and its optimizer; returns the loader's state."""
    weights, moments = {}, {}
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        for name in file.keys():  # noqa: SIM118, the file is no dict
            part, _, rest = name.partition(".")
            if part == "model":
                weights[rest] = file.get_tensor(name)
            else:
                number, _, moment = rest.partition(".")
                moments.setdefault(int(number), {})[moment] = file.get_tensor(name)
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": moments, "param_groups": json.loads(header["groups"])})
    return json.loads(header["loader"])
