"""Near duplicates: what is found, what is kept, and that nothing is missed."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.curation import DuplicateRule, duplicates, figures_of, tiles
from mmfs.errors import CurationError
from mmfs.settings import Settings
from mmfs.store import Store
from tests.curation.world import SPACE, clustered, fill, frame_key, unit

VECTORS = DuplicateRule(max_hamming=None)
HASHES = DuplicateRule(threshold=None)
FAR = [0x0F0F << (4 * step) for step in range(8)]


def _by_key(store: Store, rule: DuplicateRule | None = None, **asked: str) -> dict[str, dict[str, object]]:
    return {row["key"]: row for row in duplicates(store, rule, **asked).to_pylist()}


def test_frames_with_nearly_the_same_vector_or_hash_are_one_group_and_the_largest_media_is_kept(store: Store) -> None:
    apart = unit(np.eye(5))
    vectors = unit(np.stack([apart[0], apart[1], apart[0] + 0.1 * apart[1], apart[2], apart[3]]))
    hashes = [FAR[0], FAR[1], FAR[2], FAR[3], FAR[1] ^ 0b101]
    fill(store, vectors, hashes=hashes, raw={2: {"width": 1280}, 4: {"width": 320}})
    rows = _by_key(store)
    assert {key: row["group_key"] for key, row in rows.items()} == {
        frame_key(0): frame_key(2),
        frame_key(2): frame_key(2),
        frame_key(1): frame_key(1),
        frame_key(4): frame_key(1),
        frame_key(3): frame_key(3),
    }
    assert [key for key, row in rows.items() if not row["is_kept"]] == [frame_key(0), frame_key(4)]
    assert rows[frame_key(0)]["similarity"] == pytest.approx(0.995, abs=1e-3)
    assert rows[frame_key(4)]["similarity"] == pytest.approx(0.0, abs=1e-3)
    assert [rows[frame_key(media)]["reason"] for media in range(5)] == ["vector", "phash", "vector", None, "phash"]
    assert rows[frame_key(3)]["similarity"] is None
    figures = figures_of(duplicates(store))
    assert (figures["groups"], figures["dropped"], figures["every_pair_compared"]) == (2, 2, True)


def test_the_first_of_a_group_is_kept_when_asked(store: Store) -> None:
    vectors = unit([[1, 0], [1, 0.01], [1, 0.02]])
    times = {media: {"ingested_at_us": when} for media, when in ((0, 300), (1, 100), (2, 200))}
    fill(store, vectors, raw=times)
    rows = _by_key(store, DuplicateRule(max_hamming=None, keep="first"))
    assert [key for key, row in rows.items() if row["is_kept"]] == [frame_key(1)]


def test_frames_of_one_media_are_no_duplicates_of_one_another_unless_asked(store: Store) -> None:
    vectors = unit([[1, 0], [1, 0.01], [1, 0.02], [0, 1]])
    fill(store, vectors, media=[0, 0, 0, 1], hashes=[7, 7, 7, FAR[3]])
    assert all(row["reason"] is None for row in _by_key(store).values())
    rows = _by_key(store, DuplicateRule(within_media=True))
    assert [row["is_kept"] for row in rows.values()] == [True, False, False, True]
    assert {row["reason"] for row in rows.values()} == {"phash and vector", None}


def test_a_copied_video_is_dropped_whole_and_the_other_one_kept_whole(store: Store) -> None:
    still = unit([[1, 0.01 * step, 0] for step in range(4)])
    fill(
        store,
        np.concatenate([still, still, unit([[0, 0, 1]])]),
        media=[0] * 4 + [1] * 4 + [2],
        hashes=[5] * 8 + [FAR[2]],
    )
    rows = _by_key(store)
    assert [row["is_kept"] for row in rows.values()] == [True] * 4 + [True] + [False] * 4
    assert {row["group_key"] for key, row in rows.items() if key != frame_key(2)} == {frame_key(0)}


def test_blank_frames_are_not_taken_for_one_another_by_their_hash(store: Store) -> None:
    fill(store, unit(np.eye(4)), hashes=[0, 0, FAR[1], FAR[1]], blank=[0, 1])
    assert [row["reason"] for row in _by_key(store).values()] == [None, "phash", None, "phash"]
    fill(store, unit(np.eye(4)), hashes=[0] * 4, blank=range(4))
    assert {row["reason"] for row in _by_key(store, HASHES).values()} == {None}


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), st.sampled_from(["vectors", "hashes", "both"]))
def test_groups_are_those_of_comparing_all_with_all(
    tmp_path_factory: pytest.TempPathFactory, seed: int, within: bool, by: str
) -> None:
    draw = np.random.default_rng(seed)
    base = clustered(50, 8, seed=seed, width=0.3)
    vectors = unit(base[draw.integers(0, 50, 80)] + 0.03 * draw.normal(size=(80, 8)))
    roots = draw.integers(0, 2**62, 30)
    hashes = [int(roots[draw.integers(30)]) ^ (1 << int(draw.integers(60))) for _ in range(80)]
    owners = np.sort(draw.integers(0, 40, 80)).tolist()
    store = Store.open(tmp_path_factory.mktemp("oracle") / "store", settings=Settings())
    fill(store, vectors, media=owners, hashes=hashes)
    rule = DuplicateRule(
        threshold=None if by == "hashes" else 0.97, max_hamming=None if by == "vectors" else 4, within_media=within
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "ONE_CLUSTER", 16)
        patch.setattr(tiles, "SIDE", 5)  # several tiles each
        found = duplicates(store, rule)
    stored = store.tables.read(SPACE)
    keys = [f"{m}:{i}" for m, i in zip(stored["media_id"].to_pylist(), stored["frame_index"].to_pylist(), strict=True)]
    values = unit(np.array(stored["vector"].to_pylist(), np.float32))
    bits = store.tables.read("frame_quality")["phash"].to_pylist()
    close = values @ values.T
    group = list(range(80))
    for i, j in combinations(range(80), 2):
        linked = (by != "hashes" and close[i, j] >= 0.97) or (by != "vectors" and (bits[i] ^ bits[j]).bit_count() <= 4)
        if linked and (within or keys[i][:32] != keys[j][:32]):
            low, high = sorted((group[i], group[j]))
            group = [low if name == high else name for name in group]
    answers = dict(zip(found["key"].to_pylist(), found["group_key"].to_pylist(), strict=True))
    ours: dict[object, set[str]] = {}
    theirs: dict[object, set[str]] = {}
    for key, name in zip(keys, group, strict=True):
        ours.setdefault(answers[key], set()).add(key)
        theirs.setdefault(name, set()).add(key)
    assert sorted(map(sorted, ours.values())) == sorted(map(sorted, theirs.values()))
    kept = found.filter(found["is_kept"])
    assert set(kept["group_key"].to_pylist()) == set(answers.values())
    for members in kept.group_by("group_key").aggregate([("media_id", "count_distinct"), ("key", "count")]).to_pylist():
        assert members["media_id_count_distinct"] == 1
        assert members["key_count"] == 1 or not within


def test_only_the_samples_asked_for_are_looked_at(store: Store) -> None:
    fill(store, unit([[1, 0], [1, 0.01], [1, 0.02]]), raw={1: {"licence": "no"}})
    found = duplicates(store, VECTORS, where="licence IS NULL")
    assert found["key"].to_pylist() == [frame_key(0), frame_key(2)]
    assert pc.sum(found["is_kept"]).as_py() == 1


def test_what_cannot_be_asked_is_said_with_the_mend(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match=r"no space.*there is no such table"):
        duplicates(store)
    fill(store, clustered(6, 4, seed=0))
    with pytest.raises(CurationError, match=r"none of 6 frames has a perceptual hash.*materialize frame_quality"):
        duplicates(store)
    with pytest.raises(CurationError, match=r"threshold = 0\.2"):
        duplicates(store, DuplicateRule(threshold=0.2))
    with pytest.raises(CurationError, match="max_hamming = 40"):
        duplicates(store, DuplicateRule(max_hamming=40))
    with pytest.raises(CurationError, match="neither vectors nor hashes"):
        duplicates(store, DuplicateRule(None, None))
    with pytest.raises(CurationError, match="keep = 'best'"):
        duplicates(store, DuplicateRule(keep="best"))  # type: ignore[arg-type]
    with pytest.raises(CurationError, match="'frames' is no space: it has no vectors"):
        duplicates(store, VECTORS, space="frames")
