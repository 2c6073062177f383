"""What a row of a list, or a JSON sidecar, states about a media: captions, licence, creator, free attributes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmfs.errors import IngestError
from mmfs.ingest.listed import Caption, storable

#: Columns that may name the file; the first that is filled wins. ``file_name`` is what image folders of hubs use.
URI_NAMES = ("uri", "file", "path", "url", "file_name")
_CAPTION_NAMES = ("caption", "captions", "text")
_LICENCE_NAMES = ("licence", "license")
_CREATOR_NAMES = ("creator", "author")


@dataclass(frozen=True)
class Statements:
    """What is said about one media.

    Attributes:
        reference: The file as the row names it; None when no column does.
        attributes: JSON-able values: the ``attributes`` object and every column without a meaning of its own.
    """

    reference: str | None = None
    captions: tuple[Caption, ...] = ()
    licence: str | None = None
    creator: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def names_files(columns: Iterable[str]) -> bool:
    """Whether a list with these columns refers to files at all.

    >>> names_files(["File", "caption"]), names_files(["id", "score"])
    (True, False)
    """
    return any(column.strip().lower() in URI_NAMES for column in columns)


def reference_of(cells: Mapping[str, Any]) -> str | None:
    """The file that a row names, and nothing else of it: far cheaper than all it states.

    >>> reference_of({"Path": "a.jpg", "caption": "x"}), reference_of({"caption": "x"})
    ('a.jpg', None)
    """
    lowered = {name.strip().lower(): value for name, value in cells.items()}
    for name in URI_NAMES:
        value = lowered.get(name)
        if value is not None and str(value).strip():
            return storable(str(value))
    return None


def read_statements(cells: Mapping[str, Any], *, source: str) -> Statements:
    """Sort the cells of a row, or the members of a sidecar, by their meaning. Names are matched in any case.

    Args:
        source: What its captions are attributed to: ``list`` or ``sidecar``.

    Raises:
        IngestError: ``attributes`` is no JSON object, or a caption is no text.
    """
    lowered = {name.strip().lower(): name for name in cells}
    used: set[str] = set()

    def take(*names: str) -> str | None:
        for name in names:
            value = cells.get(lowered.get(name, ""))
            if value is not None and str(value).strip():
                used.add(lowered[name])
                return storable(str(value).strip() if name not in URI_NAMES else str(value))
        return None

    reference = take(*URI_NAMES)
    licence, creator, language = take(*_LICENCE_NAMES), take(*_CREATOR_NAMES), take("language")
    captions: list[Caption] = []
    for name in _CAPTION_NAMES:
        if name in lowered:
            used.add(lowered[name])
            captions += _captions(cells[lowered[name]], source, language)
    attributes: dict[str, Any] = {}
    if "attributes" in lowered:
        used.add(lowered["attributes"])
        attributes |= _attributes(cells[lowered["attributes"]])
    for name, value in cells.items():
        if name not in used and name.strip() and value is not None and value != "":
            attributes[storable(name.strip())] = jsonable(value)
    return Statements(reference, tuple(captions), licence, creator, attributes)


def _captions(value: Any, source: str, language: str | None) -> list[Caption]:
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json_texts(value)  # a CSV cell can hold a list only as JSON
    if value is None:
        return []
    if isinstance(value, str):
        text = storable(value.strip())
        return [Caption(text, source, language)] if text else []
    if isinstance(value, list | tuple):
        return [caption for item in value for caption in _captions(item, source, language)]
    if isinstance(value, dict) and isinstance(value.get("text"), str):
        spoken = value.get("language")
        return _captions(value["text"], source, storable(spoken) if isinstance(spoken, str) else language)
    raise IngestError(
        f"a caption is {type(value).__name__} {str(value)[:40]!r}", mend="captions are text or lists of it"
    )


def _json_texts(cell: str) -> Any:
    """The list of texts a cell spells in JSON, or the cell itself: a caption may begin with a bracket."""
    try:
        texts = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return texts if all(isinstance(text, str) for text in texts) else cell


def _attributes(value: Any) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise IngestError(f"attributes are no JSON: {error}", mend='write them as {"name": value}') from error
    if not isinstance(value, dict):
        raise IngestError(
            f"attributes are a JSON {type(value).__name__}", mend='write them as an object, {"name": value}'
        )
    return {storable(str(name)): jsonable(item) for name, item in value.items()}


def jsonable(value: Any) -> Any:
    """The value as JSON can hold it: what is not finite becomes null, what is not JSON becomes text.

    >>> jsonable({"a": [1, float("nan")]})
    {'a': [1, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(name)): jsonable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return storable(str(value))
