"""How a caption is varied while training, and how a near miss is made of it."""

from __future__ import annotations

import random

from mmfs.media.scenes.scene import COLORS, SHAPES

# Words that carry nothing here: a query such as "a photo of a red ball" must find what "a red ball" finds.
_FILLERS = ("photo", "of", "picture", "showing", "there", "is", "with", "near", "scene")
_OPPOSITES = (("to the left of", "to the right of"), ("in front of", "behind"))


def with_fillers(text: str, rng: random.Random, rate: float = 0.25) -> str:
    """The text, at times after one to three words that mean nothing."""
    if rng.random() >= rate:
        return text
    return " ".join([*rng.choices(_FILLERS, k=rng.randint(1, 3)), text])


def nonsense(rng: random.Random) -> str:
    """A text that no scene answers to."""
    return " ".join([*rng.choices(("a", "the", "xyz", "photo", "of"), k=rng.randint(0, 3)), "xyz"])


def near_miss(text: str, rng: random.Random) -> str:
    """A caption that differs from `text` in little and is false: words swapped between objects, or one replaced.

    >>> near_miss("a red cube", random.Random(0)) != "a red cube"
    True
    """
    words = text.split()
    kind = rng.choice(("swap", "side", "replace", "replace"))
    values: tuple[str, ...] = rng.choice((COLORS, SHAPES))
    places = [i for i, word in enumerate(words) if word in values and words[min(i + 1, len(words) - 1)] != "floor"]
    if kind == "side":
        for one, other in _OPPOSITES:
            for said, false in ((one, other), (other, one)):
                if f" {said} " in text:
                    return text.replace(f" {said} ", f" {false} ")
    if kind == "swap" and len(places) > 1 and words[places[0]] != words[places[1]]:
        i, j = places[:2]
        words[i], words[j] = words[j], words[i]
        return " ".join(words)
    if places:
        i = rng.choice(places)
        words[i] = rng.choice([value for value in values if value != words[i]])
        return " ".join(words)
    return " ".join((*words, "behind", "a", rng.choice(COLORS), rng.choice(SHAPES)))
