"""Dagster packages hold plumbing: what computes lives in `mmfs`, where it is tested without Dagster."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmfs_assets
import mmfs_resources

HEAVY = {"numpy", "torch", "av", "PIL", "deltalake", "obstore", "pyarrow", "pandas", "qdrant_client", "qdrant_edge"}
#: The training loop is an example of what users write, and knows torch when it runs; the lease asks torch for devices.
MAY_IMPORT_TORCH_WHEN_RUN = {"demo_head.py", "gpu_lease.py"}

FILES = sorted(
    path
    for package in (mmfs_assets, mmfs_resources)
    for path in Path(package.__file__ or "").parent.rglob("*.py")
    if path.parent.name != "demo"
)


def _imports(nodes: Iterator[ast.AST]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_that_computes_is_imported(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not _imports(iter(tree.body)) & HEAVY
    allowed = {"torch"} if path.name in MAY_IMPORT_TORCH_WHEN_RUN else set()
    assert _imports(ast.walk(tree)) & HEAVY <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 160
