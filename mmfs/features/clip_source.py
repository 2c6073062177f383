"""Where an open_clip model comes from: its architecture, preprocessing and weights, found without torch or network."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mmfs.errors import MissingExtraError, ModelError
from mmfs.features.hub import cached_file, fetch_snapshot
from mmfs.features.weights import files_digest, refused, require_safetensors, safetensors_in
from mmfs.ids import digest
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig

SETTING = "MMFS_CLIP__MODEL"
_CONFIG = "open_clip_config.json"
_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
_HUB_WEIGHTS = _WEIGHTS[:2]  # model.safetensors on the hub is the same model in the form of transformers
_TOKENIZER = ("tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
_OFFLINE = (
    "connect once, or set MMFS_CLIP__MODEL=local-dir:/path to a directory with open_clip_config.json and "
    f"open_clip_model.safetensors; the demo model is local-dir:{DEMO_CLIP_DIR}"
)


@dataclass(frozen=True)
class ClipSource:
    """An open_clip model, as far as it is on this machine.

    Attributes:
        build: What open_clip is asked to build: a built-in architecture or ``local-dir:<path>``.
        architecture: open_clip's model configuration; None while it is still on the hub.
        preprocess: open_clip's preprocessing configuration, where it differs from the default.
        weights: The safetensors file; None while it is still on the hub.
        repo: Hub repository of the weights, if they come from one.
        identity: Digest of architecture, preprocessing and weights; of the model's name while weights are missing.
        weight_names: Files of the repository that may hold the weights, best first.
    """

    build: str
    architecture: dict[str, Any] | None
    preprocess: dict[str, Any]
    weights: Path | None
    repo: str | None
    identity: str
    weight_names: tuple[str, ...] = _HUB_WEIGHTS


def find_clip(config: ClipConfig) -> ClipSource:
    """The model's files, as far as they are on this machine.

    Raises:
        ModelError: The model, tag or directory does not exist, or its weights are not safetensors.
    """
    scheme, _, name = config.model.partition(":")
    if scheme == "local-dir":
        return _in_directory(Path(name).expanduser(), repo=None)
    if scheme == "hf-hub":
        found = cached_file(name, _CONFIG)
        weights = _first_cached(name, _HUB_WEIGHTS)
        if found and weights:
            return _in_directory(found.parent, repo=name)
        return ClipSource(config.model, None, {}, None, name, digest("unreachable", config.model))
    return _built_in(config)


def fetch_clip(config: ClipConfig) -> ClipSource:
    """The model's files, downloaded where they are missing.

    Raises:
        ModelError: As `find_clip`; or the weights are neither here nor reachable.
    """
    source = find_clip(config)
    if source.weights is None and source.repo is not None:
        fetch_snapshot(
            source.repo,
            (_CONFIG, *_TOKENIZER),
            one_of=source.weight_names,
            where=SETTING,
            offline_mend=_OFFLINE,
        )
        source = find_clip(config)
    if source.weights is None:
        raise refused(f"what {source.repo or config.model} offers", where=SETTING)
    return source


def embedding_dim(config: ClipConfig) -> int:
    """Width of the model's embeddings, read without torch or network.

    Raises:
        ModelError: The model's configuration is not on this machine and ``config.dim`` is not set.
    """
    architecture = find_clip(config).architecture
    if architecture is not None:
        return int(architecture["embed_dim"])
    if config.dim is None:
        raise ModelError(
            f"the embedding width of {config.model} cannot be read offline",
            where="MMFS_CLIP__DIM",
            mend="set it by hand, or connect once so that the model is fetched",
        )
    return config.dim


def tokenizer_digest(config: ClipConfig) -> str:
    """Digest of the tokenizer's files where the model brings its own; open_clip's own tokenizers are its code.

    Raises:
        ModelError: As `find_clip`.
    """
    scheme, _, folder = find_clip(config).build.partition(":")
    if scheme != "local-dir":
        return ""
    found = {path for pattern in _TOKENIZER for path in Path(folder).glob(pattern) if path.is_file()}
    return files_digest(sorted(found))


def _in_directory(directory: Path, *, repo: str | None) -> ClipSource:
    path = directory / _CONFIG
    try:
        content = json.loads(path.read_text())
        architecture = content["model_cfg"]
        int(architecture["embed_dim"])
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist", where=SETTING, mend=_OFFLINE) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} is no open_clip configuration: {error!r}",
            where=SETTING,
            mend="write model_cfg with embed_dim in it",
        ) from error
    weights = safetensors_in(directory, where=SETTING, preferred=_WEIGHTS)[0]
    # The size always comes from the architecture, as in open_clip itself.
    preprocess = {key: value for key, value in (content.get("preprocess_cfg") or {}).items() if key != "size"}
    return ClipSource(
        f"local-dir:{directory}", architecture, preprocess, weights, repo, _identity(architecture, preprocess, weights)
    )


def _built_in(config: ClipConfig) -> ClipSource:
    name = config.model.replace("/", "-")
    architecture = _packaged_architecture(name)
    tag = config.pretrained
    if tag is None:
        raise ModelError(
            f"{name} without pretrained weights would give random embeddings",
            where="MMFS_CLIP__PRETRAINED",
            mend="name an open_clip tag or a safetensors file",
        )
    if Path(tag).suffix and Path(tag).is_file():
        require_safetensors(Path(tag), where="MMFS_CLIP__PRETRAINED")
        return ClipSource(name, architecture, {}, Path(tag), None, _identity(architecture, {}, Path(tag)))
    known = _pretrained_table().get_pretrained_cfg(name, tag)
    if not known:
        tags = ", ".join(_pretrained_table().list_pretrained_tags_by_model(name)) or "none"
        raise ModelError(
            f"{tag!r} is neither a file nor a pretrained tag of {name}",
            where="MMFS_CLIP__PRETRAINED",
            mend=f"tags of {name}: {tags}",
        )
    organisation, _, rest = known["hf_hub"].partition("/")
    if not rest:
        raise refused(f"what open_clip offers for {name} {tag}", where="MMFS_CLIP__PRETRAINED")
    # organisation/name/ or organisation/name/file.bin: such a file is a pickle, its safetensors may lie beside it.
    model, _, file = rest.partition("/")
    repo, names = f"{organisation}/{model}", (str(Path(file).with_suffix(".safetensors")),) if file else _HUB_WEIGHTS
    weights = _first_cached(repo, names)
    preprocess = {key: known[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in known}
    identity = _identity(architecture, preprocess, weights) if weights else digest("unreachable", name, tag)
    return ClipSource(name, architecture, preprocess, weights, repo, identity, names)


def _first_cached(repo: str, names: tuple[str, ...]) -> Path | None:
    return next((found for name in names if (found := cached_file(repo, name))), None)


def _packaged_architecture(name: str) -> dict[str, Any]:
    folder = _open_clip_folder() / "model_configs"
    path = folder / f"{name}.json"
    if not path.is_file():
        names = [file.stem for file in folder.glob("*.json")]
        near = ", ".join(get_close_matches(name, names, n=3, cutoff=0.3))
        raise ModelError(
            f"open_clip has no architecture {name!r}",
            where=SETTING,
            mend=f"near names: {near or 'none'}; or use hf-hub:organisation/name or local-dir:/path",
        )
    architecture: dict[str, Any] = json.loads(path.read_text())
    return architecture


def _open_clip_folder() -> Path:
    found = importlib.util.find_spec("open_clip")
    if found is None or found.origin is None:
        raise MissingExtraError("open_clip is not installed", where=SETTING, mend="pip install 'mmfs[compute]'")
    return Path(found.origin).parent


@cache
def _pretrained_table() -> Any:
    """open_clip's module of pretrained tags, run alone: importing the package would import torch.

    Its optional imports, which are for downloading, are left out; they would import torch as well.
    """
    path = _open_clip_folder() / "pretrained.py"
    tree = ast.parse(path.read_text(), str(path))
    tree.body = [node for node in tree.body if not isinstance(node, ast.Try)]
    package, module = ModuleType("_mmfs_open_clip"), ModuleType("_mmfs_open_clip.pretrained")
    package.__path__, module.__package__ = [str(path.parent)], package.__name__
    sys.modules[package.__name__] = package  # for its relative imports: constants, version
    exec(compile(tree, str(path), "exec"), vars(module))
    return module


def _identity(architecture: dict[str, Any], preprocess: dict[str, Any], weights: Path) -> str:
    described = json.dumps([architecture, preprocess], sort_keys=True)
    return digest(described, files_digest([weights]))
