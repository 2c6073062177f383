"""What the README shows works as it stands."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mmfs.client import open_store
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.settings import load_settings
from mmfs.store import Store
from mmfs_assets.demo.show import next_steps
from tests.features.tiny import SHARD, add_frames

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_feature_of_the_readme_fills_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = re.search(r"```python\n(# my_lab/features\.py.*?)```", README, re.DOTALL)
    assert code is not None
    (tmp_path / "readme_lab.py").write_text(code[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MMFS_FEATURES", "readme_lab")
    store = Store.open(settings=load_settings(store=str(tmp_path / "store"), device="cpu"))
    add_frames(store, range(3))
    report = run_feature(store, instantiate(registered(store.settings)["mean_colour"], store.settings), SHARD)
    assert report.computed == 3
    colours = np.array(store.tables.read("mean_colour")["rgb"].to_pylist())
    assert colours.shape == (3, 3)
    assert (colours > 0).all()
    assert (colours < 255).all()


def test_every_file_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`((?:mmfs|mmfs_assets|mmfs_resources|dagster_home)/[\w./]+)`", README))
    named |= set(re.findall(r"\]\(((?!http)[\w./-]+)\)", README))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_demo_says_how_to_go_on_in_the_words_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = StringIO()
    features = open_store("data/store")
    next_steps(Console(file=said, width=120), features, (tmp_path / "dagster_home").absolute(), seconds=30)
    _, lines = said.getvalue().split("\n\n", maxsplit=1)
    assert lines.strip("\n") in README
