"""The metrics are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from mmfs.models.evaluate import abs_rel, precision_at_k, recall_at_1


def test_recall_counts_own_pictures_and_pictures_of_the_same_caption() -> None:
    images = np.eye(3, dtype=np.float32)
    text = images[[0, 2, 1]]
    assert recall_at_1(text, images, ["a", "b", "c"]) == pytest.approx(1 / 3)
    assert recall_at_1(text, images, ["a", "b", "b"]) == 1.0


def test_precision_leaves_out_queries_that_cannot_be_answered() -> None:
    scores = np.array([[4, 3, 2, 1], [4, 3, 2, 1]], np.float32)
    relevant = np.array([[True, False, False, True], [True, False, False, False]])
    assert precision_at_k(scores, relevant, k=2) == 0.5
    with pytest.raises(ValueError, match="3 relevant"):
        precision_at_k(scores, relevant, k=3)


def test_relative_error_is_taken_of_the_truth() -> None:
    truth = np.array([[1.0, 2.0]], np.float32)
    assert abs_rel(2 * truth, truth) == 1.0
    assert abs_rel(truth, truth) == 0.0
