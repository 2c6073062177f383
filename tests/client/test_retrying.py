"""Which failures are tried again, and what is said of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.main import get_command

import mmfs
from mmfs.cli.app import app
from mmfs.client.retrying import Retried
from mmfs.errors import StoreError
from mmfs.ingest.quarantine import MAY_PASS, unmarked
from mmfs.media import Reason
from mmfs.store import Store
from tests.conftest import media_id

ROWS = {
    "000000": [
        ("raw_media", "file:///a.mp4", None, "timeout"),
        ("raw_media", "file:///b.jpg", None, "corrupt"),
        ("frames", "file:///c.mp4", media_id(1), "out_of_memory"),
        ("clip_embeddings", f"{media_id(2)}:0", media_id(2), "not_finite"),
    ],
    "000001": [
        ("frames", "file:///d.mp4", media_id(3), "out_of_memory"),
        ("clip_embeddings", f"{media_id(3)}:4", media_id(3), "model_failed"),
        ("removed_feature", f"{media_id(3)}:4", media_id(3), "crashed"),
    ],
}


@pytest.fixture
def features(store: Store) -> mmfs.FeatureStore:
    for shard, rows in ROWS.items():
        _quarantine(store, shard, rows)
    return mmfs.open_store(store.url)


def _quarantine(store: Store, shard: str, rows: list[tuple[str, str, str | None, str]]) -> None:
    names = ("stage", "uri", "media_id", "reason")
    more: dict[str, Any] = {"message": "", "library_versions": "{}", "attempts": 2, "mark": "m", "at_us": 1}
    made = [{**dict(zip(names, row, strict=True)), **more} for row in rows]
    store.tables.update("quarantine", shard, lambda rows: pa.Table.from_pylist(made, rows.schema))


def _waiting(features: mmfs.FeatureStore) -> set[str]:
    """What is to be tried again, by URI or key."""
    rows = features.sql("SELECT stage, uri FROM quarantine WHERE mark IS NULL").to_pylist()
    return {f"{row['stage']} {row['uri']}" for row in rows}


def test_without_more_words_it_takes_what_may_pass_and_says_what_it_left(features: mmfs.FeatureStore) -> None:
    report = features.retry()
    assert report.retried == (
        Retried("clip_embeddings", "000001", "model_failed", 1),
        Retried("frames", "000000", "out_of_memory", 1),
        Retried("frames", "000001", "out_of_memory", 1),
        Retried("raw_media", "000000", "timeout", 1),
    )
    assert report.left == {"corrupt": 1, "not_finite": 1}
    assert _waiting(features) == {
        f"clip_embeddings {media_id(3)}:4",
        "frames file:///c.mp4",
        "frames file:///d.mp4",
        "raw_media file:///a.mp4",
    }
    assert features.table("quarantine").to_arrow().num_rows == 7, "all of it stays until it was tried"


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"tables": ["frames"], "shards": ["000001"]}, {"frames file:///d.mp4"}),
        ({"reasons": ["corrupt"]}, {"raw_media file:///b.jpg"}),
        ({"shards": ["000001"], "tables": ["clip_embeddings"]}, {f"clip_embeddings {media_id(3)}:4"}),
        ({"media": [media_id(3)]}, {"frames file:///d.mp4", f"clip_embeddings {media_id(3)}:4"}),
        ({"media": ["file:///b.jpg"]}, {"raw_media file:///b.jpg"}),
        ({"media": [f"{media_id(2)}:0"]}, {f"clip_embeddings {media_id(2)}:0"}),
        ({"media": [media_id(2)], "reasons": ["timeout"]}, set()),
    ],
)
def test_tables_reasons_shards_and_media_narrow_it_down(
    features: mmfs.FeatureStore, chosen: dict[str, list[str]], expected: set[str]
) -> None:
    assert features.retry(**chosen).rows == len(expected)  # type: ignore[arg-type]
    assert _waiting(features) == expected


def test_a_dry_run_says_the_same_and_writes_nothing(features: mmfs.FeatureStore) -> None:
    version = features.core.tables.version("quarantine")
    would = features.retry(dry_run=True)
    assert features.core.tables.version("quarantine") == version
    assert unmarked(features.core) == set()
    assert would.summary() == "4 rows would be tried again; left for their reason: corrupt 1, not_finite 1"
    assert features.retry().retried == would.retried


def test_what_was_asked_for_before_waits(features: mmfs.FeatureStore) -> None:
    features.retry(["frames"])
    report = features.retry()
    assert (report.rows, report.waiting) == (2, 2)
    assert features.retry().summary().startswith("0 rows are tried again by the next run; 4 wait for it already")


def test_each_shard_is_one_commit(features: mmfs.FeatureStore) -> None:
    version = features.core.tables.version("quarantine")
    features.retry()
    assert features.core.tables.version("quarantine") == version + 2


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"tables": ["frame"]}, r"no table 'frame'.*raw_media, captions, frames"),
        ({"reasons": ["oom"]}, r"no reason 'oom'.*out_of_memory"),
        ({"shards": ["000009"]}, r"no shard '000009'.*mmfs plan"),
        ({"media": ["file:///e.jpg"]}, r"nothing in quarantine is about 'file:///e.jpg'.*SELECT uri"),
    ],
)
def test_names_that_mean_nothing_are_refused_before_anything_is_written(
    features: mmfs.FeatureStore, chosen: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        features.retry(**chosen)  # type: ignore[arg-type]
    assert unmarked(features.core) == set()


def test_the_page_the_help_and_the_docstring_name_what_is_taken_by_default() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
    table = page[page.index("| reason | may pass |") :].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == MAY_PASS
    (help_text,) = (option.help for option in get_command(app).commands["retry"].params if option.name == "reason")  # type: ignore[attr-defined]
    for text in (help_text, mmfs.FeatureStore.retry.__doc__ or ""):
        assert {reason for reason in Reason if re.search(rf"\b{reason}\b", text)} == MAY_PASS


def test_a_store_without_failures_has_nothing_to_try(store: Store) -> None:
    report = mmfs.open_store(store.url).retry()
    assert (report.retried, report.waiting, report.left) == ((), 0, {})
