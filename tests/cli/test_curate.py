"""``mmfs curate``: what it prints, and what it saves."""

from __future__ import annotations

import json

import pytest

from mmfs.client import FeatureStore
from mmfs.store import Store
from tests.cli.conftest import Run
from tests.curation.world import fill, frame_key, unit


@pytest.fixture
def url(store: Store) -> str:
    """Four frames: 0 and 1 nearly the same, the others unlike all."""
    vectors = unit([[1, 0, 0], [1, 0.02, 0], [0, 1, 0], [0, 0, 1]])
    fill(store, vectors, hashes=[1, 0xFF << 20, 0xFF << 30, 0xFF << 40], raw={3: {"kind": "video"}})
    return store.url


def test_near_duplicates_are_shown_in_groups_and_what_is_kept_is_saved(run: Run, url: str) -> None:
    code, out, _ = run("curate", "duplicates", "--save", "clean", "--store", url)
    assert code == 0
    assert out.index(frame_key(0)) < out.index(frame_key(1))
    assert frame_key(2) not in out
    assert "dropped: 1" in out
    assert "subset clean: 3 samples; next: mmfs pin NAME --subset clean" in out
    saved = FeatureStore(Store.open(url)).subset("clean").to_arrow()
    assert set(saved["key"].to_pylist()) == {frame_key(0), frame_key(2), frame_key(3)}
    assert saved["query"][0].as_py().startswith("duplicates(threshold=0.95, max_hamming=4")


def test_every_call_prints_rows_and_figures_as_json(run: Run, url: str) -> None:
    asked = {
        "outliers": ("--top", "1", "--neighbours", "2"),
        "diverse": ("2", "--seed", "3"),
        "clusters": ("2", "--where", "kind = 'image'"),
        "balanced": ("raw_media.kind", "--each", "1", "--grain", "media"),
        "distribution": ("raw_media.kind",),
    }
    rows = {}
    for name, arguments in asked.items():
        code, out, err = run("curate", name, *arguments, "--store", url, "--json")
        assert code == 0, err
        answer = json.loads(out)
        assert answer["figures"]
        assert answer["subset"] is None
        rows[name] = len(answer["rows"])
    assert rows == {"outliers": 1, "diverse": 2, "clusters": 3, "balanced": 2, "distribution": 2}


def test_leaks_between_two_subsets(run: Run, url: str) -> None:
    run("curate", "balanced", "kind", "-n", "1", "--where", "kind = 'video'", "--save", "eval", "--store", url)
    run("curate", "clusters", "1", "--save", "train", "--store", url)
    code, out, _ = run("curate", "leaks", "train", "eval", "--store", url, "--json")
    [row] = json.loads(out)["rows"]
    assert (code, row["key"], row["reason"]) == (0, frame_key(3), "same media")


def test_asking_for_more_than_there_is_ends_with_the_mend(run: Run, url: str) -> None:
    code, _, err = run("curate", "diverse", "50", "--store", url)
    assert code == 1
    assert "n = 50" in err
    assert "there are 4 vectors" in err
    assert run("curate", "duplicates", "--keep", "best", "--store", url)[0] == 2
