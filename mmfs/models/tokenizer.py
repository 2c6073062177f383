"""The demo model's tokenizer: one id a word, synonyms folded, everything else unknown."""

from __future__ import annotations

import json
from pathlib import Path

from mmfs.media.scenes.describe import SYNONYMS
from mmfs.media.scenes.scene import COLORS, FLOOR_COLORS, PATTERNS, SHAPES, SIZES, WALL_COLORS

PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[BOS]", "[EOS]"
CONTEXT_LENGTH = 32
_RELATION_WORDS = ("to", "of", "in", "on", "before", "behind", "front", "left", "right")
_OTHER_WORDS = ("a", "an", "and", "the", "object", "floor", "wall")


def vocabulary() -> dict[str, int]:
    """Ids by word. Padding is 0 and the end mark has the highest id, where open_clip reads the text's embedding."""
    words = sorted({*COLORS, *FLOOR_COLORS, *WALL_COLORS, *PATTERNS, *SHAPES, *SIZES, *_RELATION_WORDS, *_OTHER_WORDS})
    return {word: i for i, word in enumerate((PAD, UNKNOWN, BEGIN, *words, END))}


def write_tokenizer(directory: Path) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`, which transformers' AutoTokenizer reads.

    Text is lowercased, synonyms and plurals become the captions' own words ("two balls" reads "two sphere"), and a
    word that no caption has becomes the unknown mark.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = vocabulary()
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    folds = {name: (name, *SYNONYMS.get(name, ())) for name in (*SHAPES, *SYNONYMS)}
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase()]
        + [
            normalizers.Replace(Regex(rf"\b({'|'.join(words)})(s|es)?\b"), name)
            for name, words in sorted(folds.items())
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(BEGIN, ids[BEGIN]), (END, ids[END])]
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT_LENGTH,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "bos_token": BEGIN,
        "eos_token": END,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
