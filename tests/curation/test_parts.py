"""The parts that curation is made of, against plain loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.curation import neighbours, spread, tiles
from mmfs.curation.balanced import even_shares
from mmfs.curation.hamming import near_pairs
from mmfs.curation.kmeans import cluster, nearest
from mmfs.curation.unions import Unions
from tests.curation.world import clustered, unit

few = settings(max_examples=30, deadline=None)


@few
@given(st.integers(0, 2**32), st.integers(0, 16), st.integers(2, 120))
def test_no_pair_of_hashes_within_the_distance_is_missed_and_none_beyond_it_is_found(
    seed: int, distance: int, count: int
) -> None:
    draw = np.random.default_rng(seed)
    roots = draw.integers(0, 2**64, max(1, count // 6), np.uint64)
    flips = np.array(
        [sum(1 << int(b) for b in draw.choice(64, draw.integers(0, 12), replace=False)) for _ in range(count)]
    )
    hashes = np.unique(roots[draw.integers(0, len(roots), count)] ^ flips.astype(np.uint64))
    found = {
        tuple(sorted(pair)) for left, right in near_pairs(hashes, distance) for pair in zip(left, right, strict=True)
    }
    wanted = {
        (i, j) for i, j in combinations(range(len(hashes)), 2) if int(hashes[i] ^ hashes[j]).bit_count() <= distance
    }
    assert found == wanted


@few
@given(st.lists(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=8), max_size=6))
def test_groups_are_what_hangs_together(rounds: list[list[tuple[int, int]]]) -> None:
    unions, group = Unions(20), list(range(20))
    for links in rounds:
        unions.link(*(np.array([pair[side] for pair in links], np.int64) for side in (0, 1)))
        for one, other in links:
            low, high = sorted((group[one], group[other]))
            group = [low if name == high else name for name in group]
    assert unions.all().tolist() == group


@few
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from([0.6, 0.8, 0.95, 1.0]))
def test_no_pair_of_near_vectors_is_missed_whatever_the_clusters(seed: int, k: int, least: float) -> None:
    base = clustered(60, 6, seed=seed)
    vectors = unit(np.concatenate([base, base + 0.1 * np.random.default_rng(seed).normal(size=base.shape)]))
    clusters = cluster(vectors, k, seed=seed)
    visits = tiles.border_visits(vectors, clusters, least)
    found = {
        tuple(sorted((int(tile.left[i]), int(tile.right[j]))))
        for tile in tiles.tiles(vectors, clusters, visits)
        for i, j in zip(*np.nonzero(tile.similarity >= least), strict=True)
        if tile.left[i] != tile.right[j]
    }
    close = vectors @ vectors.T
    missed = {(i, j) for i, j in combinations(range(len(vectors)), 2) if close[i, j] >= least + 1e-6} - found
    assert visits.is_complete
    assert not missed


def test_vectors_without_clusters_visit_the_most_promising_ones_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "MOST_VISITS", 2)
    vectors = clustered(200, 16, seed=1, centres=200)
    clusters = cluster(vectors, 12, seed=0)
    visits = tiles.border_visits(vectors, clusters, 0.5)
    assert not visits.is_complete
    assert np.bincount(visits.rows).max() <= 2


def test_clusters_are_the_same_for_the_same_seed_and_every_vector_is_with_its_nearest_centre() -> None:
    vectors = clustered(500, 12, seed=2, centres=5, width=0.2)
    one, two = cluster(vectors, 5, seed=3), cluster(vectors, 5, seed=3)
    assert np.array_equal(one.centres, two.centres)
    assert np.array_equal(one.labels, nearest(vectors, one.centres)[0])
    assert one.sizes().sum() == 500
    assert one.similarity.mean() > 0.85
    assert np.allclose(np.linalg.norm(one.centres, axis=1), 1, atol=1e-5)


def test_copies_of_three_vectors_make_no_more_than_three_clusters() -> None:
    vectors = unit(np.eye(3)[np.arange(90) % 3])
    assert sorted(cluster(vectors, 10, seed=0).sizes().tolist()) == [30, 30, 30]


@few
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([4, 16, 8192]))
def test_the_spread_is_that_of_looking_at_every_vector_for_every_choice(seed: int, count: int, candidates: int) -> None:
    vectors = clustered(40, 5, seed=seed)
    vectors[10:15] = vectors[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spread, "_CANDIDATES", candidates)
        found = spread.spread(vectors, count, seed=seed)
    distance = np.full(40, 2.0)
    for number, row in enumerate(found.rows.tolist()):
        assert found.gaps[number] == pytest.approx(distance.max() if number else 2.0, abs=1e-5)
        assert distance[row] == pytest.approx(distance.max(), abs=1e-5)
        distance = np.minimum(distance, 1 - vectors @ vectors[row])
    assert len(set(found.rows.tolist())) == count
    assert found.radius == pytest.approx(max(0, distance.max()), abs=1e-5)
    assert found.mean == pytest.approx(distance.mean(), abs=1e-5)


@few
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 30), st.booleans())
def test_the_farthest_are_those_of_comparing_all_with_all(seed: int, count: int, top: int, grouped: bool) -> None:
    vectors = clustered(90, 8, seed=seed)
    groups = np.arange(90) // (3 if grouped else 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "ONE_CLUSTER", 16)
        patch.setattr(tiles, "SIDE", 5)
        patch.setattr(neighbours, "_BATCH", 7)
        rows, similarity, nearest_one, is_exact = neighbours.farthest(
            neighbours.Nearest(vectors, groups, count), top, seed=0, most=90
        )
    close = vectors @ vectors.T
    close[groups[:, None] == groups] = -np.inf
    kth = np.sort(close, axis=1)[:, -count]
    assert is_exact
    assert np.allclose(similarity, np.sort(kth)[:top], atol=1e-5)
    assert np.allclose(kth[rows], similarity, atol=1e-5)
    assert np.allclose(close[rows, nearest_one], close[rows].max(axis=1), atol=1e-5)


@few
@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.data())
def test_shares_come_to_the_total_and_no_part_could_give_to_a_poorer_one(there: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(there)))
    shares = even_shares(np.array(there), total)
    assert shares.sum() == total
    assert (shares <= there).all()
    poorest = shares[shares < there].min(initial=51)
    assert shares.max() <= poorest + 1
