"""The page that teaches adding a feature is followed word by word, on a small store."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmfs.client import open_store
from mmfs.ingest import assign, list_sources, register_media
from mmfs.ingest import build_frames as frames_of
from mmfs.settings import Settings
from mmfs.store import Store
from tests.ingest.making import photo

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "features.md").read_text()
PYTHON, USE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `data/store`, as the demo leaves it, and the environment of the page."""
    for number in range(9):
        photo(tmp_path / "media" / f"{number}.jpg", number)
    store = Store.open(tmp_path / "data" / "store", settings=Settings(workers=1, device="cpu"))
    listed = list_sources([str(tmp_path / "media")], store.settings)
    assign(store, listed, added_by="tests", now_us=1)
    for shard in store.tables.shards("listings"):
        register_media(store, shard, now_us=1)
        frames_of(store, shard, now_us=1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_lab").mkdir()
    (tmp_path / "my_lab" / "features.py").write_text(PYTHON)
    return tmp_path


def _environment(world: Path) -> dict[str, str]:
    [exported] = [block for block in SHELL if block.startswith("export")]
    said = dict(pair.split("=", 1) for pair in exported.removeprefix("export ").split())
    here = Path(__file__).resolve().parents[1]
    return {
        **os.environ,
        **said,
        "PYTHONPATH": f"{said['PYTHONPATH']}:{here}",
        "DAGSTER_HOME": str(world / "home"),
        "MMFS_DEVICE": "cpu",
        "COLUMNS": "200",
    }


def _run(world: Path, line: str) -> str:
    command = re.sub(r"^mmfs", str(Path(sys.executable).with_name("mmfs")), line)
    done = subprocess.run(
        command, shell=True, cwd=world, env=_environment(world), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_page_works_word_by_word(world: Path) -> None:
    (world / "home").mkdir()
    activate, _, plan_and_run, sql, plan_again = SHELL
    assert activate.startswith("source .venv")
    plan, materialize = plan_and_run.strip().splitlines()
    assert "1 asset, 9 rows to compute" in _run(world, plan)
    assert "9 of 9 rows" in _run(world, materialize)
    assert "warmth" in _run(world, sql.strip())
    use = f"{USE}\n    assert batch['warmth.warmth'].shape == (8,)\nprint(len(store.pinned('warm').columns))"
    (world / "use.py").write_text(use)
    _run(world, f"{sys.executable} use.py")
    changed = PYTHON.replace("red - blue}", "(red - blue) / 255}")
    assert changed != PYTHON
    (world / "my_lab" / "features.py").write_text(changed)
    said = _run(world, plan_again.strip())
    assert "code 9" in said
    assert open_store(world / "data" / "store").tables()["warmth"].rows == 9
