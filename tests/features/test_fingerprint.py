"""What makes rows stale, and what does not."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.features.clip import ClipEmbeddings
from mmfs.features.feature import Feature
from mmfs.features.fingerprint import (
    changed_parts,
    fingerprint_parts,
    recorded_parts,
    row_fingerprint,
    static_fingerprint,
)
from mmfs.settings import ClipConfig
from tests.features.tiny import write_clip

_SOURCE = '''
from pydantic import BaseModel
from mmfs import Feature, Scalar, feature

class Config(BaseModel, frozen=True):
    gain: float = 1.0
    batch_size: int = 8

def reached(x):
    return x + 1

@feature(table="mean", grain="frame", inputs=["frames.image"], depends_on=[reached])
class Mean(Feature):
    """Mean of all pixels."""

    config: Config
    outputs = {"mean": Scalar("float32")}

    def compute(self, batch):
        # the mean
        return {"mean": self.config.gain * batch["frames.image"].float().mean((1, 2, 3))}
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
        ('self.config.gain * batch["frames.image"]', 'self.config.gain * (batch["frames.image"])'),
        ('table="mean"', 'table="average"'),
        ("def reached(x):", "def reached(x):  # adds one"),
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
