"""What is remembered of listed entries decides nothing but how much is read."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mmfs.ingest import Caption, Familiar, Listed

ITEMS = st.lists(
    st.builds(
        Listed,
        uri=st.sampled_from(["/a", "/b", "/c"]),
        size_bytes=st.sampled_from([None, 1, 2]),
        captions=st.sampled_from([(), (Caption("x", "list"),), (Caption("x", "sidecar"),)]),
        attributes=st.sampled_from([{}, {"a": 1}, {"a": 2}]),
    ),
    max_size=6,
    unique_by=lambda item: item.uri,
)


@given(st.lists(ITEMS, max_size=5), ITEMS)
def test_only_the_last_state_of_a_uri_is_familiar(remembered: list[list[Listed]], asked: list[Listed]) -> None:
    familiar = Familiar()
    last: dict[str, Listed] = {}
    for items in remembered:
        familiar.remember(items, version=3)
        last |= {item.uri: item for item in items}
    assert familiar.unfamiliar(asked, version=3) == [item for item in asked if last.get(item.uri) != item]


def test_a_change_of_any_kind_is_unfamiliar() -> None:
    item = Listed("/a", size_bytes=1, mtime_us=1)
    familiar = Familiar()
    familiar.remember([item], version=1)
    changes = [
        {"mtime_us": 2},
        {"size_bytes": 2},
        {"etag": "e"},
        {"licence": "CC0"},
        {"creator": "x"},
        {"refused": "x"},
    ]
    changed = [replace(item, **change) for change in changes]
    assert familiar.unfamiliar([item, *changed], version=1) == changed


def test_all_is_forgotten_when_somebody_else_wrote_or_there_is_too_much_of_it() -> None:
    items = [Listed(f"/{number}") for number in range(5)]
    familiar = Familiar(most=4)
    familiar.remember(items[:4], version=4)
    assert familiar.unfamiliar(items, version=4) == items[4:]
    assert familiar.unfamiliar(items, version=5) == items
    familiar.remember(items, version=6)
    assert familiar.unfamiliar(items, version=6) == items


def test_a_place_counts_where_what_it_says_itself_has_changed() -> None:
    said = {
        place: Listed("/a.jpg", attributes={"score": score}, places=frozenset({place}))
        for place, score in (("a.csv", 1), ("b.csv", 2))
    }
    familiar = Familiar()
    for item in said.values():
        assert familiar.unfamiliar([item], version=1) == [item]
        familiar.remember([item], version=1)
    assert familiar.unfamiliar(said.values(), version=1) == []
    changed = replace(said["a.csv"], attributes={"score": 3})
    assert familiar.unfamiliar([changed, said["b.csv"]], version=1) == [changed]
