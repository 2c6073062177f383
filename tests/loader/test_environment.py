"""The loader needs what `mmfs[loader]` installs and nothing else: shown in an environment that has nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmfs
from mmfs.client import open_store
from mmfs.codecs import encode_flac
from mmfs.store.delta import DeltaLog
from tests.loader.test_arrays import WINDOWS, sound, write
from tests.loader.world import World

_EPOCH = """
import json, sys, torch
import mmfs

store = mmfs.open_store(sys.argv[1], create=False)
seen = {}
for pin in ("frames", "sound"):
    loader = store.loader(pin, batch_size=16, image_size=32)
    for batch in loader:
        seen[pin] = seen.get(pin, 0) + int(batch["_valid"].sum())
    assert loader.stats().quarantined == 0
json.dump({"seen": seen, "modules": sorted({name.split(".")[0] for name in sys.modules})}, sys.stdout)
"""

_COLUMNS = ["frames.image", "clip_embeddings.vector", "depth_maps.depth", "captions.text", "raw_media.width"]
#: Of other extras: a training process needs none of them.
_UNWANTED = ("dagster", "pandas", "av", "qdrant_client", "qdrant_edge", "open_clip", "transformers", "PIL")


def _closure(root: str, extras: frozenset[str]) -> dict[str, Distribution]:
    """What a requirement brings with it, by name, the project itself left out."""
    installed = {canonicalize_name(one.name): one for one in distributions()}
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(root), extras)]
    while waiting:
        name, wanted = one = waiting.pop()
        if one in asked or name not in installed:  # not installed: of another platform
            continue
        asked.add(one)
        found[name] = installed[name]
        for line in installed[name].requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted)):
                waiting.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    del found[canonicalize_name(root)]
    return found


def _files(distribution: Distribution) -> Iterator[tuple[Path, Path]]:
    """The files of a distribution in its site-packages, and their compiled forms: name there, and where they lie."""
    home = Path(str(distribution.locate_file("")))
    for file in distribution.files or ():
        path = home / file
        if ".." in file.parts or not path.exists():
            continue
        yield Path(*file.parts), path
        if path.suffix == ".py":
            compiled = path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc"
            if compiled.exists():
                yield compiled.relative_to(home), compiled


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with `mmfs[loader]` alone."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    (packages,) = folder.glob("lib/python*/site-packages")
    for distribution in _closure("mmfs", frozenset({"loader"})).values():
        for name, path in _files(distribution):
            target = packages / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.is_symlink():
                target.symlink_to(path)
    (packages / "mmfs").symlink_to(Path(mmfs.__file__).parent)
    return folder / "bin" / "python"


def test_a_loader_works_with_its_own_extra_alone(world: World, python: Path) -> None:
    world.pin("frames", _COLUMNS)
    write(world.store, "audio_windows", WINDOWS, lambda key: encode_flac(sound(key), 8000))
    world.pin("sound", ["audio_windows.audio"])
    done = subprocess.run(
        [python, "-I", "-c", _EPOCH, world.store.url], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout)
    assert said["seen"] == {"frames": 74, "sound": len(WINDOWS)}
    assert sorted(set(_UNWANTED) & set(said["modules"])) == []


def test_opening_making_and_iterating_asks_no_table_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.pin("frames", _COLUMNS)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("the Delta log was opened")

    monkeypatch.setattr(DeltaLog, "snapshot", refuse)
    monkeypatch.setattr(DeltaLog, "open", refuse)
    loader = open_store(world.store.url, create=False).loader("frames", batch_size=16, image_size=32)
    assert sum(int(batch["_valid"].sum()) for batch in loader) == 74


@pytest.mark.parametrize("name", _UNWANTED)
def test_the_environment_is_as_small_as_it_says(python: Path, name: str) -> None:
    done = subprocess.run([python, "-I", "-c", f"import {name}"], capture_output=True, text=True, check=False)
    assert f"No module named '{name}'" in done.stderr
