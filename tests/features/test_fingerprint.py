"""What makes rows stale, and what does not."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.code.reach import changed_files
from mmfs.features.feature import Feature
from mmfs.features.fingerprint import (
    changed_parts,
    fingerprint_parts,
    recorded_parts,
    row_fingerprint,
    static_fingerprint,
)
from mmfs.features.runner import run_feature
from mmfs.features.status import shard_status
from mmfs.features.text import TextEmbeddings
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig
from mmfs.store import Store
from tests.features.tiny import SHARD, write_clip

_SOURCE = '''
from pydantic import BaseModel
from mmfs import Feature, Scalar, feature

class Config(BaseModel, frozen=True):
    gain: float = 1.0
    batch_size: int = 8

def registered(x):
    return x + 1

def called(x):
    return x.float() * 1

def unrelated(x):
    return x + 3

@feature(table="mean", grain="frame", inputs=["frames.image"], depends_on=[registered])
class Mean(Feature):
    """Mean of all pixels."""

    config: Config
    outputs = {"mean": Scalar("float32")}

    def compute(self, batch):
        # the mean
        return {"mean": self.config.gain * called(batch["frames.image"]).mean((1, 2, 3))}

@feature(table="twice", grain="frame", inputs=["mean.mean"])
class Twice(Feature):
    """Twice the mean."""

    outputs = {"twice": Scalar("float32")}

    def compute(self, batch):
        return {"twice": [2 * value for value in batch["mean.mean"]]}
'''
_numbers = itertools.count()


def _mean(folder: Path, *changes: tuple[str, str], gain: float = 1.0, batch_size: int = 8) -> Feature:
    """The feature of `_SOURCE`, with text replaced."""
    source = _SOURCE
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    path = folder / f"mean_{next(_numbers)}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module.Mean(module.Config(gain=gain, batch_size=batch_size))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "change",
    [
        ("        # the mean\n", ""),
        ('"""Mean of all pixels."""', '"""The average of all pixels, of course."""'),
        ("        return {", "\n\n        return {"),
        ('called(batch["frames.image"])', '(called)((batch["frames.image"]))'),
        ('table="mean"', 'table="average"'),
        ("def registered(x):", "def registered(x):  # adds one"),
        ("return x + 3", "return x + 4"),
        ("batch_size: int = 8", "batch_size: int = 9"),
        ("class Config(BaseModel, frozen=True):", "UNRELATED = 1\n\nclass Config(BaseModel, frozen=True):"),
    ],
)
def test_comments_docstrings_layout_and_unrelated_code_do_not_count(tmp_path: Path, change: tuple[str, str]) -> None:
    assert static_fingerprint(_mean(tmp_path, change)) == static_fingerprint(_mean(tmp_path))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ((".mean((1, 2, 3))", ".amax((1, 2, 3))"), "code"),
        (("return x + 1", "return x + 2"), "code"),
        (("return x.float() * 1", "return x.float() * 2"), "code"),
        (('Scalar("float32")', 'Scalar("float64")'), "outputs"),
        (('inputs=["frames.image"]', 'inputs=["frames.image", "frames.time_s"]'), "config"),
    ],
)
def test_a_change_of_code_outputs_or_inputs_counts_and_is_named(
    tmp_path: Path, change: tuple[str, str], part: str
) -> None:
    before, after = fingerprint_parts(_mean(tmp_path)), fingerprint_parts(_mean(tmp_path, change))
    assert before.digest != after.digest
    assert part in changed_parts(recorded_parts(before), after)


def test_parameters_count_and_the_batch_size_does_not(tmp_path: Path) -> None:
    plain = static_fingerprint(_mean(tmp_path))
    assert static_fingerprint(_mean(tmp_path, batch_size=99)) == plain
    assert static_fingerprint(_mean(tmp_path, gain=2.0)) != plain


def test_weights_count_and_where_they_lie_does_not(tmp_path: Path, clip_dir: Path) -> None:
    def fingerprint(directory: Path, batch_size: int = 4) -> str:
        return static_fingerprint(ClipEmbeddings(ClipConfig(model=f"local-dir:{directory}", batch_size=batch_size)))

    moved = Path(shutil.copytree(clip_dir, tmp_path / "moved"))
    other = write_clip(tmp_path / "other", seed=1)
    assert fingerprint(moved, batch_size=64) == fingerprint(clip_dir)
    assert fingerprint(other) != fingerprint(clip_dir)


def test_preprocessing_counts_with_the_weights(tmp_path: Path, clip_dir: Path) -> None:
    other = Path(shutil.copytree(clip_dir, tmp_path / "other"))
    config = (other / "open_clip_config.json").read_text()
    (other / "open_clip_config.json").write_text(config.replace("0.25", "0.26"))
    one, two = (ClipEmbeddings(ClipConfig(model=f"local-dir:{path}")) for path in (clip_dir, other))
    assert changed_parts(recorded_parts(fingerprint_parts(one)), fingerprint_parts(two)) == ["weights"]


def test_changed_weights_in_the_same_file_are_noticed(tmp_path: Path) -> None:
    feature = ClipEmbeddings(ClipConfig(model=f"local-dir:{write_clip(tmp_path / 'model')}"))
    before = static_fingerprint(feature)
    write_clip(tmp_path / "model", seed=5)
    assert static_fingerprint(feature) != before


@settings(max_examples=50)
@given(st.lists(st.text(max_size=5), max_size=3), st.lists(st.text(max_size=5), max_size=3))
def test_a_row_fingerprint_tells_its_upstream_rows_apart(one: list[str], two: list[str]) -> None:
    assert (row_fingerprint("s", one) == row_fingerprint("s", two)) == (one == two)


@pytest.fixture
def computed(store: Store, frames: Callable[..., None], tmp_path: Path) -> Store:
    """A store with three rows of ``mean`` and of ``twice``, which reads it."""
    frames(range(3))
    mean = _mean(tmp_path)
    run_feature(store, mean, SHARD)
    run_feature(store, _twice_of(mean), SHARD)
    return store


def _twice_of(mean: Feature) -> Feature:
    return sys.modules[type(mean).__module__].Twice()  # type: ignore[no-any-return]


def test_an_edited_helper_makes_its_rows_stale_by_code_and_those_computed_from_them_by_upstream(
    computed: Store, tmp_path: Path
) -> None:
    mean = _mean(tmp_path, ("return x.float() * 1", "return x.float() * 2"))
    twice = _twice_of(mean)
    assert shard_status(computed, mean, SHARD).causes == {"code": 3}
    run_feature(computed, mean, SHARD)
    assert shard_status(computed, mean, SHARD).causes == {}
    assert shard_status(computed, twice, SHARD).causes == {"upstream": 3}
    assert run_feature(computed, twice, SHARD).computed == 3


def test_an_edited_helper_that_nothing_calls_makes_nothing_stale(computed: Store, tmp_path: Path) -> None:
    mean = _mean(tmp_path, ("return x + 3", "return x + 4"))
    assert shard_status(computed, mean, SHARD).fresh == 3
    assert shard_status(computed, _twice_of(mean), SHARD).fresh == 3


_DIGESTS = """
import json, sys
from pathlib import Path
import mmfs
from mmfs.features.code.reach import reach_of
from mmfs.features.registry import registered

resize = Path(mmfs.__file__).parent / "features/resize.py"
assert resize.is_relative_to(sys.argv[1])

def digests():
    return {table: reach_of(spec.cls).digest for table, spec in registered(mmfs.Settings()).items()}

before = digests()
resize.write_text("# A comment.\\n" + resize.read_text().replace("Returns:", "Gives:"))
commented = digests()
resize.write_text(resize.read_text().replace("clamp_(0, 255)", "clamp_(0, 254)"))
print(json.dumps([before, commented, digests()]))
"""


def test_another_resize_changes_the_features_that_resize_and_no_others(tmp_path: Path) -> None:
    import mmfs

    home = Path(mmfs.__file__).parent
    shutil.copytree(home, tmp_path / "mmfs", ignore=lambda folder, names: [n for n in names if _is_no_code(folder, n)])
    command = [sys.executable, "-c", _DIGESTS, str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    before, commented, edited = json.loads(ran.stdout)
    assert commented == before
    changed = {table for table in before if edited[table] != before[table]}
    assert changed == {"clip_embeddings", "depth_maps", "frame_quality"} & set(before)
    assert {"clip_embeddings", "depth_maps"} <= changed


def _is_no_code(folder: str, name: str) -> bool:
    return not name.endswith(".py") and not (Path(folder) / name).is_dir()


def test_a_file_that_changed_under_a_process_is_named(tmp_path: Path) -> None:
    feature = _mean(tmp_path)
    static_fingerprint(feature)
    assert changed_files(type(feature)) == []
    path = Path(inspect.getfile(type(feature)))
    path.write_text(path.read_text().replace("x + 1", "x + 222"))
    assert changed_files(type(feature)) == [str(path)]


def test_the_tokenizer_counts_where_texts_are_embedded_and_not_where_pictures_are(tmp_path: Path) -> None:
    model = Path(shutil.copytree(DEMO_CLIP_DIR, tmp_path / "model"))
    config = ClipConfig(model=f"local-dir:{model}")
    before = [static_fingerprint(cls(config)) for cls in (TextEmbeddings, ClipEmbeddings)]
    (model / "tokenizer.json").write_text((model / "tokenizer.json").read_text() + " ")
    after = [static_fingerprint(cls(config)) for cls in (TextEmbeddings, ClipEmbeddings)]
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)


def test_a_mixin_whose_compute_nobody_names_counts(tmp_path: Path) -> None:
    mixin = """class ComputeMixin:
    def compute(self, batch):
        return {"mean": batch["frames.image"].float().mean((1, 2, 3)) * 1.0}

@feature("""
    own = """
    def compute(self, batch):
        # the mean
        return {"mean": self.config.gain * called(batch["frames.image"]).mean((1, 2, 3))}
"""
    changes = [("@feature(", mixin), ("class Mean(Feature)", "class Mean(ComputeMixin, Feature)"), (own, "")]
    one = static_fingerprint(_mean(tmp_path, *changes))
    assert static_fingerprint(_mean(tmp_path, *changes, ("* 1.0", "* 3.0"))) != one
