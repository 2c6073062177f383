"""What the demo asks."""

from dataclasses import dataclass

from mmfs.client import FeatureStore
from mmfs.search.query import CAPTIONS

_EMBEDDINGS = "clip_embeddings"


@dataclass(frozen=True)
class Question:
    """One search.

    Attributes:
        text: What is asked.
        where: SQL condition.
        space: Embedding table, or ``captions``.
    """

    text: str
    where: str | None
    space: str


def scene_questions() -> list[Question]:
    """Three questions whose answers can be checked against the scenes."""
    rendered = "raw_media.creator = 'mmfs scenes'"
    return [
        Question("a red object", rendered, _EMBEDDINGS),
        Question("a yellow cube", f"{rendered} AND kind = 'image'", _EMBEDDINGS),
        Question("a blue floor", f"{rendered} AND kind = 'video' AND duration_s >= 2", _EMBEDDINGS),
    ]


def own_questions(features: FeatureStore) -> list[Question]:
    """Captions of three different media, asked as words; and one of them by meaning, which the demo model labels."""
    rows = features.sql(
        "SELECT text FROM captions JOIN raw_media ON captions.media_id = raw_media.media_id "
        "WHERE caption_index = 0 AND (creator IS NULL OR creator <> 'mmfs scenes') ORDER BY raw_media.uri"
    )
    texts = rows["text"].to_pylist()
    if not texts:
        return [Question("a person outdoors", None, _EMBEDDINGS)]
    chosen = list(dict.fromkeys([texts[0], texts[len(texts) // 2], texts[-1]]))
    return [*(Question(text, None, CAPTIONS) for text in chosen), Question(chosen[0], None, _EMBEDDINGS)]
