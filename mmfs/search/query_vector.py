"""One vector for a whole query: words, pictures and examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from mmfs.errors import SearchError, StoreError
from mmfs.ids import parse_key, sample_key
from mmfs.schemas import GRAIN_KEYS
from mmfs.search.encoder import SpaceEncoder
from mmfs.search.inspect_build import unit
from mmfs.search.points import point_id
from mmfs.search.port import Index, SpaceSpec
from mmfs.search.query import SearchQuery
from mmfs.search.query_image import query_image

if TYPE_CHECKING:
    from mmfs.store import Store

Vector = npt.NDArray[np.float32]
#: How strongly a dislike pushes away, where likes weigh 1 (Rocchio's method).
_UNLIKE = 0.5
_LIKE_A_KEY = re.compile(r"[0-9a-fA-F]{8,}(:.*)?")


class QueryEncoder:
    """Makes query vectors.

    Args:
        store: Names of samples become ids by its namespace.
        index: Where vectors of samples are.
        encoder: Encodes words and pictures.
        space: What the index holds.
    """

    def __init__(self, store: Store, index: Index, encoder: SpaceEncoder, space: SpaceSpec) -> None:
        self._store, self._index, self._encoder, self._space = store, index, encoder, space

    def vector(self, query: SearchQuery) -> tuple[Vector, frozenset[UUID]]:
        """The query as one unit vector, float32 [D], and the samples it names, which are no answers.

        It is ``unit(mean(likes) - 0.5 * mean(unlikes))``, each like and unlike taken at unit length.

        Raises:
            SearchError: A sample is not in the index or of another grain, a picture cannot be read, the space has no
                model for what is asked, or a vector has another length.
        """
        likes: list[Vector] = []
        if query.text is not None:
            likes.append(self._encoder.encode_text([query.text])[0])
        if query.image is not None:
            picture = query_image(query.image, self._store.settings.guard)
            likes.append(self._encoder.encode_images([picture])[0])
        if query.vector is not None:
            likes.append(self._given(query.vector))
        keys = {key for key in (*query.like, *query.unlike) if _is_key(key)}
        if query.frame is not None:
            if self._space.grain != "frame":
                raise SearchError(
                    f"frame= names a frame, but {self._space.table} holds vectors of another grain",
                    mend=f"give like=[...] with keys of {self._space.table}: {self._key_form}",
                )
            keys.add(sample_key(query.frame[0], int(query.frame[1])))
        samples = self._samples(sorted(keys))
        if query.frame is not None:
            likes.append(samples[sample_key(query.frame[0], int(query.frame[1]))])
        likes += self._examples(query.like, samples)
        unlikes = self._examples(query.unlike, samples)
        if query.not_text is not None:
            unlikes.append(self._encoder.encode_text([query.not_text])[0])
        vector = np.mean([unit(like) for like in likes], axis=0)
        if unlikes:
            vector = vector - _UNLIKE * np.mean([unit(unlike) for unlike in unlikes], axis=0)
        if not np.isfinite(vector).all() or not vector.any():
            raise SearchError("likes and unlikes cancel out", mend="take some of them away")
        named = frozenset(point_id(self._store.namespace, key) for key in keys)
        return unit(vector).astype(np.float32), named

    def _examples(self, examples: Sequence[str], samples: dict[str, Vector]) -> list[Vector]:
        words = [example for example in examples if not _is_key(example)]
        encoded = list(self._encoder.encode_text(words)) if words else []
        return [samples[example] for example in examples if _is_key(example)] + encoded

    def _samples(self, keys: Sequence[str]) -> dict[str, Vector]:
        ids = {key: point_id(self._store.namespace, key) for key in keys}
        found = self._index.vectors(list(ids.values())) if ids else {}
        for key, point in ids.items():
            if point not in found:
                raise SearchError(
                    f"sample {key} is not in the index of {self._space.table}, whose keys are {self._key_form}",
                    mend="take a key from hits.table of this space, or from batch['_key'] of its grain",
                )
        return {key: found[point] for key, point in ids.items()}

    def _given(self, vector: Any) -> Vector:
        given = np.asarray(vector.tolist() if hasattr(vector, "tolist") else vector, np.float32)
        dim = self._space.dim
        if given.shape != (dim,) or not np.isfinite(given).all() or not given.any():
            raise SearchError(
                f"the query vector has shape {list(given.shape)}", mend=f"give {dim} finite numbers, not all zero"
            )
        return given

    @property
    def _key_form(self) -> str:
        return ":".join(f"<{column.name}>" for column in GRAIN_KEYS[self._space.grain])


def asks_in_words(query: SearchQuery) -> bool:
    """Whether words must be encoded: a text, or an example that is no key.

    Raises:
        SearchError: An example looks like a key and is none.
    """
    in_words = query.text is not None or query.not_text is not None
    return in_words or not all(_is_key(example) for example in (*query.like, *query.unlike))


def _is_key(text: str) -> bool:
    """Whether an example is a sample key; else it is words.

    Raises:
        SearchError: It looks like a key and is none.
    """
    try:
        parse_key(text)
    except StoreError as error:
        if _LIKE_A_KEY.fullmatch(text):
            raise SearchError(error.what, mend=error.mend) from error
        return False
    return True
