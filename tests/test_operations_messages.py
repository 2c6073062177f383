"""What the operations page quotes is what the code says."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from mmfs.errors import IntegrityError, MmfsError
from mmfs.media.info import Reason
from mmfs.settings import Settings
from mmfs.store.packs import BlobRef, check_blob
from mmfs.store.refusals import refusal_of
from mmfs_assets.execution.history_errors import history_errors
from mmfs_assets.execution.instance_file import differences
from mmfs_assets.planning import orphans
from mmfs_assets.planning.backfill import require_daemon
from mmfs_assets.steps import code_guard, shard_step
from mmfs_resources import GpuLeaseResource
from mmfs_resources.devices import candidates

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text()
SECTION = PAGE[PAGE.index("## When something is wrong") : PAGE.index("## Sizing a store")]
QUOTED = [text.partition("...")[0].strip() for text in re.findall(r'"([^"]+)"', SECTION)]


def _error(act: Callable[[], object]) -> str:
    with pytest.raises(MmfsError) as raised:
        act()
    return str(raised.value)


def _refused(text: str) -> str:
    found = refusal_of(text)
    assert found is not None
    return found.what


def _said_by_the_lease(folder: Path) -> str:
    said: list[str] = []
    lease = GpuLeaseResource(devices=["cpu:0"], directory=str(folder), timeout_s=0.01)
    with lease.lease("auto", holder="run ab, clip_embeddings"):
        _error(lambda: lease.lease("auto", say=said.append).__enter__())
    return re.sub(r"process \d+", "process 17", said[0]).replace("cpu:0", "cuda:0")


def _full(home: Path) -> str:
    def work() -> None:
        with history_errors(Settings(), home):
            raise sqlite3.OperationalError("database or disk is full")

    return _error(work)


def _without_daemon(home: Path) -> str:
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home))) as instance:
        return _error(lambda: require_daemon(instance))


def _source(module: object) -> str:
    """A module's text with its formatted parts as the page fills them in."""
    text = re.sub(r'"\s*\n\s*f?"', "", Path(str(getattr(module, "__file__", ""))).read_text())
    filled = {
        "{op.name}": "frames",
        "{ours}": "b",
        "{planned}": "a",
        "{len(failed)}": "1",
        "{len(failed) + len(done)}": "8",
        "{self.asset}": "depth_maps",
    }
    for name, value in filled.items():
        text = text.replace(name, value)
    return text


def test_every_quoted_message_is_one_that_the_code_says(tmp_path: Path) -> None:
    listing = "Error performing GET http://127.0.0.1:9000/media?list-type=2&prefix=a in 1ms - 403 Forbidden"
    absent = "Error performing GET http://127.0.0.1:9000/media?list-type=2 in 1ms - 404 Not Found"
    silent = "Error performing GET http://127.0.0.1:9000/media?list-type=2 in 2s - error sending request"
    alone = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms"
    blob = BlobRef("packs/frames/000024/ab.tar", 512, 9012, 1)
    with pytest.raises(IntegrityError) as damaged:
        check_blob(blob, bytes(9012))
    misfit = differences(tmp_path, Settings.model_validate({"executor": "ray"}))
    said = [
        *(_refused(text) for text in (listing, absent, silent, alone)),
        Reason.MISSING.value,
        *((ROOT / "mmfs" / "ingest" / name).read_text() for name in ("folders.py", "originals.py")),
        _source(code_guard),
        _error(lambda: candidates("cuda", [])),
        _said_by_the_lease(tmp_path),
        _full(tmp_path),
        _source(shard_step) + " 000024 (IntegrityError:",
        str(damaged.value),
        _source(orphans),
        _without_daemon(tmp_path),
        "dagster.yaml:",
        *misfit,
        "".join(path.read_text() for path in (ROOT / "mmfs" / "features").rglob("*.py")),
    ]
    assert len(QUOTED) >= 14
    for text in QUOTED:
        parts = [text]
        if text.startswith("1 of 8 shards"):
            parts = ["1 of 8 shards of depth_maps failed:", "000024 (IntegrityError:"]
        for part in parts:
            assert any(part in one for one in said), part
    assert any("has run_launcher by default, MMFS_EXECUTOR asks for" in text for text in misfit)


def test_commands_and_checks_that_the_page_names_are_there() -> None:
    from typer.testing import CliRunner

    from mmfs.cli.app import app

    for command in sorted(set(re.findall(r"`mmfs ([a-z]+)", SECTION))):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command
    assert "--drop-damaged" in CliRunner().invoke(app, ["verify", "--help"], env={"COLUMNS": "200"}).output
    assert "few_files_are_quarantined" in (ROOT / "mmfs_assets" / "assets" / "checks.py").read_text()
