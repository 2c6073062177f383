"""Mixtures by name, as a user asks for them."""

from __future__ import annotations

from itertools import islice

import pytest

import mmfs
from mmfs.errors import LoaderError, PinError
from mmfs.store import Store
from tests.conftest import add_frames, add_media


@pytest.fixture
def features(store: Store) -> mmfs.FeatureStore:
    """Three media in the pin "a", two in the pin "b"."""
    for shard, numbers in (("000000", range(3)), ("000001", range(3, 5))):
        add_media(store, shard, numbers)
        add_frames(store, shard, numbers, per_media=2)
    features = mmfs.open_store(store.url)
    for name, last in (("a", "0002"), ("b", "0004")):
        after = "0002" if name == "b" else ""
        features.pin(name, columns=["frames.time_s"], where=f"media_id > '{after:0>32}' AND media_id <= '{last:0>32}'")
    return features


def test_pins_are_mixed_by_weight_in_the_order_given(features: mmfs.FeatureStore) -> None:
    sources = [
        batch["_source"].tolist()
        for weights in ({"a": 3, "b": 1}, {"b": 1, "a": 3})
        for batch in islice(features.loader(weights, batch_size=64).stream(), 1)
    ]
    assert [one.count(0) for one in sources] == [48, 16]
    with pytest.raises(LoaderError, match=r"stream\(\)"):
        iter(features.loader({"a": 3, "b": 1}, batch_size=4))


def test_a_mixture_resumes_by_name(features: mmfs.FeatureStore) -> None:
    first = features.loader({"a": 6, "b": 2}, batch_size=4, seed=1)
    assert len(list(islice(first.stream(), 2))) == 2
    state = first.state_dict()
    rest = [key for batch in islice(first.stream(), 6) for key in batch["_key"]]
    again = features.loader({"a": 3, "b": 1}, batch_size=8)
    again.load_state_dict(state)
    assert [key for batch in islice(again.stream(), 3) for key in batch["_key"]] == rest


def test_unknown_pins_and_wrong_weights_are_said_plainly(features: mmfs.FeatureStore) -> None:
    with pytest.raises(PinError, match="'c'"):
        features.loader({"a": 3, "c": 1}, batch_size=4)
    with pytest.raises(LoaderError, match="pin 'b' has the weight 0"):
        features.loader({"a": 3, "b": 0}, batch_size=4)
    with pytest.raises(LoaderError, match="no pins"):
        features.loader({}, batch_size=4)
