"""What may be mixed, and what a mixture is called."""

from __future__ import annotations

from typing import Any

import pytest

from mmfs.errors import LoaderError
from mmfs.loader import Mixture
from mmfs.store.pin import Bucket, LiveColumn, LiveInput, Pin
from mmfs.store.pins import Window
from tests.loader.world import World

VECTOR, IMAGE, TEXT = "clip_embeddings.vector", "frames.image", "captions.text"
COLUMNS = [VECTOR, IMAGE, TEXT]


def mixed(*pins: Pin, weights: tuple[Any, ...] = ()) -> Mixture:
    names = [str(number) for number in range(len(pins))]
    return Mixture.of(dict(zip(names, pins, strict=True)), dict(zip(names, weights or [1] * len(pins), strict=True)))


def changed(pin: Pin, column: str, **parts: Any) -> Pin:
    """A pin of another name, with a source that differs."""
    source = pin.sources[column].model_copy(update=parts)
    return pin.model_copy(update={"name": "b", "sources": {**pin.sources, column: source}})


def test_weights_are_reduced_and_the_order_of_pins_counts(world: World) -> None:
    a, b = world.pin("a", [VECTOR]), world.pin("b", [VECTOR], where="time_s > 0")
    assert mixed(a, b, weights=(6, 2)).weights == (3, 1)
    assert mixed(a, b, weights=(6, 2)).selection_id == mixed(a, b, weights=(3, 1)).selection_id
    ids = {mixed(*pins, weights=weights).selection_id for pins in ((a, b), (b, a)) for weights in ((3, 1), (1, 3))}
    assert len(ids) == 4


def test_other_columns_of_the_same_samples_are_the_same_selection(world: World) -> None:
    a, b = world.pin("a", [VECTOR]), world.pin("b", [VECTOR], where="time_s > 0")
    other = [world.pin(f"{name}2", [IMAGE, TEXT], like=name) for name in ("a", "b")]
    assert mixed(a, b).selection_id == mixed(*other).selection_id
    assert mixed(*other).columns == (IMAGE, TEXT)


@pytest.mark.parametrize("weight", [0, -1, 1.5, True, "2"])
def test_weights_are_positive_integers(world: World, weight: Any) -> None:
    a = world.pin("a", [VECTOR])
    with pytest.raises(LoaderError, match=r"pin '1' has the weight .*positive integers"):
        mixed(a, a, weights=(1, weight))


def test_weights_need_pins_and_may_not_be_too_fine(world: World) -> None:
    a = world.pin("a", [VECTOR])
    with pytest.raises(LoaderError, match="no pins"):
        mixed()
    with pytest.raises(LoaderError, match="add up to 100,001"):
        mixed(a, a, weights=(100_000, 1))
    assert mixed(a, a, weights=(10**9, 10**9)).weights == (1, 1)


def test_columns_may_come_in_another_order_but_must_be_the_same(world: World) -> None:
    a = world.pin("a", COLUMNS)
    assert mixed(a, world.pin("b", [TEXT, VECTOR, IMAGE])).columns == tuple(COLUMNS)
    c = world.pin("c", [VECTOR, IMAGE])
    for pins in ((a, c), (c, a)):
        with pytest.raises(LoaderError, match=r"pin 'c' has no column 'captions.text', which pin 'a' has"):
            mixed(*pins)


@pytest.mark.parametrize(
    ("column", "parts", "differs"),
    [
        (IMAGE, {"codec": "depth16"}, "codec jpeg and depth16"),
        (VECTOR, {"dim": 9}, "length 8 and 9"),
        (VECTOR, {"dtype": "<f4"}, "dtype <f2 and <f4"),
        (TEXT, {"kind": "scalar"}, "kind text and scalar"),
        (TEXT, {"grain": "media"}, "several values a sample True and False"),
    ],
)
def test_columns_must_be_alike(world: World, column: str, parts: dict[str, str], differs: str) -> None:
    a = world.pin("a", COLUMNS)
    with pytest.raises(LoaderError, match=f"column '{column}' is not alike: .*{differs}") as failure:
        mixed(a, changed(a, column, **parts))
    assert "pins 'a' and 'b'" in str(failure.value)


def test_windows_must_be_of_the_same_length(world: World) -> None:
    a = world.pin("a", [VECTOR, TEXT], window=Window(frames=2))
    assert mixed(a, world.pin("b", [VECTOR, TEXT], window=Window(frames=2, stride=2, step=3))).weights == (1, 1)
    with pytest.raises(LoaderError, match=r"column 'clip_embeddings.vector' is not alike: frames 2 and 3"):
        mixed(a, world.pin("c", [VECTOR, TEXT], window=Window(frames=3)))
    with pytest.raises(LoaderError, match="frames 2 and None"):
        mixed(a, world.pin("d", [VECTOR, TEXT]))


def test_masks_come_from_all_pins_or_none(world: World) -> None:
    a, b = world.pin("a", [VECTOR]), world.pin("b", [VECTOR], missing="skip")
    assert mixed(a, b).weights == (1, 1)
    with pytest.raises(LoaderError, match="missing='error', pin 'c' missing='null'"):
        mixed(a, world.pin("c", [VECTOR], missing="null"))


def test_live_columns_must_have_the_same_fingerprint(world: World) -> None:
    def live_pin(name: str, fingerprint: str) -> Pin:
        pin = world.pin(name, [VECTOR, IMAGE])
        live = LiveColumn(
            value=pin.sources[VECTOR],
            inputs=(LiveInput(name=IMAGE, column=IMAGE),),
            fingerprint=fingerprint,
            parts={},
        )
        return pin.model_copy(update={"columns": (f"live:{VECTOR}",), "live": {f"live:{VECTOR}": live}})

    a = live_pin("a", "f1")
    assert mixed(a, live_pin("b", "f1")).columns == (f"live:{VECTOR}",)
    with pytest.raises(LoaderError, match="fingerprint f1 and f2"):
        mixed(a, live_pin("c", "f2"))
    with pytest.raises(LoaderError, match=r"codec of frames.image jpeg and array16"):
        mixed(a, changed(live_pin("d", "f1"), IMAGE, codec="array16"))


def test_pins_with_shape_buckets_are_refused(world: World) -> None:
    a = world.pin("a", [IMAGE])
    bucketed = a.model_copy(update={"name": "b", "buckets": (Bucket.model_construct(height=32, width=32),)})
    with pytest.raises(LoaderError, match="pin 'b' has shape buckets"):
        mixed(a, bucketed)
