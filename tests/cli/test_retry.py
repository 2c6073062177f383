"""`mmfs retry`: what would be tried again, what is, and what comes next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmfs.ingest import register_media
from tests.cli.conftest import Run
from tests.dying import dying
from tests.ingest.making import ingest, open_store, photo

SHARD = "000000"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store in which two files killed their decoding process, and one is empty."""
    for number in range(2):
        photo(tmp_path / "media" / f"{number}.jpg", number)
    store = open_store(tmp_path / "store")
    ingest(store, tmp_path / "media")
    with dying("probe"):
        register_media(store, SHARD, now_us=2)
    (tmp_path / "media" / "empty.jpg").touch()
    ingest(store, tmp_path / "media")
    register_media(store, SHARD, now_us=3)
    return store.url


def test_a_dry_run_counts_by_table_and_reason_and_the_real_one_names_the_next_command(run: Run, url: str) -> None:
    code, out, _ = run("retry", "--dry-run", "--store", url)
    assert code == 0
    assert ["raw_media", "crashed", "1", "2"] in [line.split() for line in out.splitlines()]
    assert "2 rows would be tried again; left for their reason: empty 1" in out
    assert "next:" not in out
    code, out, _ = run("retry", "--store", url)
    assert code == 0
    assert "2 rows are tried again by the next run" in out
    assert "next: mmfs materialize" in out
    _, plan, _ = run("plan", "raw_media", "--store", url, "--json")
    assert json.loads(plan)[0]["missing"] == 2
    assert "2 wait for it already" in run("retry", "--store", url)[1]


def test_it_is_told_in_json_and_what_never_passes_only_by_name(run: Run, url: str) -> None:
    code, out, _ = run("retry", "raw_media", "--reason", "empty", "--shard", SHARD, "--store", url, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["retried"] == [{"table": "raw_media", "shard": SHARD, "reason": "empty", "rows": 1}]
    assert found["left"] == {"crashed": 2}


def test_an_unknown_reason_is_wrong_usage_and_an_unknown_table_an_error_with_the_tables(run: Run, url: str) -> None:
    assert run("retry", "--reason", "tired", "--store", url)[0] == 2
    code, _, err = run("retry", "frame", "--store", url)
    assert code == 1
    assert "there is no table 'frame'" in err
    assert "mend: tables: raw_media, captions, frames" in err
