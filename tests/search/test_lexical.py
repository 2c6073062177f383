"""BM25 over captions."""

from __future__ import annotations

import math

import pytest

from mmfs.search.lexical import Words, words_of

TEXTS = ["a red ball", "a red ball and a red cube on the grass", "two blue cubes", ""]


def test_scores_follow_the_formula() -> None:
    scores = Words(TEXTS).scores("ball")
    lengths = [3, 10, 3, 0]
    rarity = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    for number in (0, 1):
        damping = 1.2 * (1 - 0.75 + 0.75 * lengths[number] / (sum(lengths) / 4))
        assert scores[number] == pytest.approx(rarity * 2.2 / (1 + damping))
    assert scores[2:].tolist() == [0.0, 0.0]


def test_rare_words_short_texts_and_repeated_words_weigh_more() -> None:
    words = Words(TEXTS)
    assert words.scores("red ball").argmax() == 0
    assert words.scores("grass red").argmax() == 1
    assert words.scores("blue cube").argmax() == 2


def test_case_plural_and_signs_do_not_matter() -> None:
    assert words_of("Two CUBES, a glass!") == ["two", "cube", "a", "glass"]
    assert (Words(TEXTS).scores("CUBE!") == Words(TEXTS).scores("cubes")).all()
    assert words_of("Straße ÄPFEL") == ["strasse", "äpfel"]


def test_words_of_most_texts_count_only_where_there_are_no_others() -> None:
    texts = ["a dog", "a cat", "a bird", "fish"]
    assert Words(texts).scores("a dog").tolist()[1:] == [0.0, 0.0, 0.0]
    assert (Words(texts).scores("a") > 0).tolist() == [True, True, True, False]


def test_unknown_words_and_no_texts_score_nothing() -> None:
    assert Words(TEXTS).scores("zebra").tolist() == [0.0] * 4
    assert Words([]).scores("ball").tolist() == []
