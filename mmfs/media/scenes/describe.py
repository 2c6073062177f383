"""What can truly be said of a scene, in words."""

from __future__ import annotations

from mmfs.media.scenes.scene import Relation, Scene, Thing

_INVERSE: dict[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "in front of": "behind",
    "behind": "in front of",
}
# Other words that people type for what the captions name; `canonical` turns them back.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "sphere": ("ball",),
    "cube": ("box", "block"),
    "ring": ("torus", "donut"),
    "large": ("big",),
    "small": ("little", "tiny"),
    "floor": ("ground",),
    "object": ("thing",),
    "grey": ("gray",),
    "checkered": ("chequered",),
}
_CANONICAL = {word: name for name, words in SYNONYMS.items() for word in words}


def captions(scene: Scene) -> list[str]:
    """The scene's captions: first all of it, then its parts, so that short queries find it too.

    Order: everything; the relation read the other way round; each object with its colour; the first object
    with its size; the floor; the wall. Between 5 and 8 captions, no two equal.
    """
    lines = [_all(scene)]
    if scene.relation is not None:
        first, second = scene.things[:2]
        lines.append(f"{_noun(second)} {_phrase(_INVERSE[scene.relation])} {_noun(first)}")
    lines += [_noun(thing) for thing in scene.things]
    lines += [_noun(scene.things[0], size=True), _floor(scene), _article(f"{scene.wall} wall")]
    return list(dict.fromkeys(lines))


def phrases(scene: Scene) -> frozenset[str]:
    """Every caption, and every shorter phrase about one object, the floor or the wall that is true of the
    scene.

    Phrases are in the captions' own words (see `canonical`), so a text of this form that is not among them is
    false.
    """
    said = set(captions(scene))
    for thing in scene.things:
        said |= {
            _noun(thing),
            _noun(thing, size=True),
            _article(thing.shape),
            _article(f"{thing.size} {thing.shape}"),
            _article(f"{thing.color} object"),
            _article(f"{thing.size} {thing.color} object"),
        }
    said |= {_article(f"{scene.floor} floor"), _article(f"{scene.pattern} floor"), _floor(scene)}
    if scene.relation is not None:
        first, second = scene.things[:2]
        said.add(f"{_noun(first)} {_phrase(scene.relation)} {_noun(second)}")
    return frozenset(said)


def canonical(text: str) -> str:
    """A text in the captions' own words.

    >>> canonical("A big red ball")
    'a large red sphere'
    """
    words = text.lower().split()
    return " ".join(_CANONICAL.get(word, word) for word in words)


def _all(scene: Scene) -> str:
    named = [_noun(thing, size=True) for thing in scene.things]
    text = named[0]
    if scene.relation is not None:
        text = f"{text} {_phrase(scene.relation)} {' and '.join(named[1:])}"
    return f"{text} on {_floor(scene)} before {_article(f'{scene.wall} wall')}"


def _noun(thing: Thing, *, size: bool = False) -> str:
    return _article(f"{thing.size} {thing.color} {thing.shape}" if size else f"{thing.color} {thing.shape}")


def _floor(scene: Scene) -> str:
    words = scene.floor if scene.pattern == "plain" else f"{scene.floor} {scene.pattern}"
    return _article(f"{words} floor")


def _phrase(relation: Relation) -> str:
    return f"to the {relation}" if relation in ("left of", "right of") else relation


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"
