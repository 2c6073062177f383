"""Captions are varied truly, near misses are false, and the tokenizer reads what people type."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from mmfs.media.scenes import captions, phrases, scene
from mmfs.models.tokenizer import CONTEXT_LENGTH, END, UNKNOWN, vocabulary, write_tokenizer
from mmfs.models.wording import near_miss, nonsense, with_fillers


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    from transformers import AutoTokenizer

    directory: Path = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(directory)
    return AutoTokenizer.from_pretrained(directory)


def test_near_misses_are_false() -> None:
    rng = random.Random(0)
    for i in range(200):
        drawn = scene("train", i)
        full = captions(drawn)[0]
        missed = near_miss(full, rng)
        assert missed != full
        assert missed not in phrases(drawn)


def test_fillers_keep_the_text_and_nonsense_says_nothing_known() -> None:
    rng, known = random.Random(0), set(vocabulary())
    assert all(with_fillers("a red cube", rng).endswith("a red cube") for _ in range(50))
    assert all(set(nonsense(rng).split()) & known <= {"a", "the", "of"} for _ in range(50))


def test_every_caption_is_known_and_fits() -> None:
    known = set(vocabulary())
    for i in range(300):
        for text in phrases(scene("train", i)):
            assert set(text.split()) <= known
            assert len(text.split()) + 2 <= CONTEXT_LENGTH


def test_the_end_mark_is_the_highest_id_and_survives_long_texts(tokenizer) -> None:  # type: ignore[no-untyped-def]
    ids = vocabulary()
    assert ids[END] == max(ids.values()) == len(ids) - 1
    long = tokenizer("a red cube and " * 30, truncation=True, max_length=CONTEXT_LENGTH).input_ids
    assert len(long) == CONTEXT_LENGTH
    assert long[-1] == ids[END]


def test_synonyms_plurals_and_case_fold_and_other_words_are_unknown(tokenizer) -> None:  # type: ignore[no-untyped-def]
    def words(text: str) -> list[str]:
        return tokenizer.convert_ids_to_tokens(tokenizer(text).input_ids)[1:-1]  # type: ignore[no-any-return]

    assert words("Big red Balls, two boxes") == ["large", "red", "sphere", UNKNOWN, UNKNOWN, "cube"]
    assert words("ringing") == [UNKNOWN]
    assert json.dumps(words("a gray donut")) == '["a", "grey", "ring"]'
