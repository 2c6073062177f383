"""Conditions inside the engines choose exactly the rows that SQL chooses."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmfs.search import build_index, edge
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.filters import conjuncts, split
from mmfs.search.manifest import Manifest, read_manifest
from mmfs.search.plan import exact_columns
from mmfs.search.port import Index, PayloadColumn
from mmfs.search.spaces import read_points, shard_source
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.conditions import And, leaf_sql, render
from mmfs.store.where import parse_where
from tests.search.engines import engine
from tests.search.world import embed, media, write_shard

_TEXTS = ["", "a", "A", "it's", "ä", "100%", "null"]
_FLOATS = [0.0, 0.1, 1e-9, 24.0, 23.976, -1.5, 1e300, -0.0]
_INTEGERS = [0, 1, -1, 480, 2**31, 2**53]

pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")


def _of(choices: list, number: int, every: int) -> object:  # type: ignore[type-arg]
    return None if number % every == 0 else choices[number % len(choices)]


def odd_media() -> list[dict[str, object]]:
    """Media whose columns hold every odd value, and NULL in all combinations."""
    return [
        media(
            n,
            "red",
            frames=1 + n % 3,
            creator=_of(_TEXTS, n, 3),
            licence=_of(_TEXTS, n // 2, 5),
            fps=_of(_FLOATS, n, 4),
            duration_s=_of(_FLOATS, n // 3, 7),
            width=_of(_INTEGERS, n, 5),
            height=_of(_INTEGERS, n // 2, 6),
        )
        for n in range(60)
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Manifest, dict[str, Index]]:
    folder: Path = tmp_path_factory.mktemp("filters")
    store = Store.open(folder / "store", settings=Settings(device="cpu"))
    write_shard(store, "000000", odd_media())  # type: ignore[arg-type]
    opened: dict[str, Index] = {}
    for made in (EdgeEngine(store.objects), engine("memory", folder)):
        report = build_index(store, "colour_embeddings", ["000000"], engine=made)["000000"]
        space = store.objects.folders("index")[0]
        manifest = read_manifest(store.objects, space, report.build_id)
        opened[made.name] = made.open(manifest.space, report.build_id)
    # Builds as small as this one have no payload indexes; large ones do, and must choose the same.
    points = read_points(store, manifest.space, shard_source(store, manifest.space, "000000"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, "_INDEXED_FROM", 0)
        writer = edge.EdgeWriter(folder / "with-indexes", manifest.space, fresh=True)
        writer.upsert(points.batch)
        writer.seal()
    opened["edge with payload indexes"] = edge.EdgeIndex(folder / "with-indexes")
    return store, manifest, opened


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _leaf() -> st.SearchStrategy[str]:
    texts = st.sampled_from([*_TEXTS, "b"]).map(_text)
    numbers = st.sampled_from([*_FLOATS, *_INTEGERS, 479.5, 2**53 + 1]).map(repr)
    operators = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
    text_columns = st.sampled_from(["creator", "raw_media.licence", "kind"])
    number_columns = st.sampled_from(["fps", "duration_s", "width", "height", "frames.time_s", "frame_index"])
    nulls = st.sampled_from(["IS NULL", "IS NOT NULL"])
    return st.one_of(
        st.builds("{} {} {}".format, text_columns, operators, texts),
        st.builds("{} {} {}".format, number_columns, operators, numbers),
        st.builds("{} {}".format, st.one_of(text_columns, number_columns, st.just("is_keyframe")), nulls),
        st.builds("{} IN ({})".format, text_columns, st.lists(texts, min_size=1, max_size=3).map(", ".join)),
        st.builds("{} NOT IN ({})".format, number_columns, st.lists(numbers, min_size=1, max_size=3).map(", ".join)),
        st.builds("{} BETWEEN {} AND {}".format, number_columns, numbers, numbers),
        st.builds("{} LIKE {}".format, text_columns, st.sampled_from(["'a%'", "'%'", "'_'", "'ima%'"])),
        st.sampled_from(["is_keyframe", "NOT is_keyframe", "is_keyframe = FALSE", "is_keyframe IS TRUE"]),
    )


def _condition() -> st.SearchStrategy[str]:
    return st.recursive(
        _leaf(),
        lambda inner: st.one_of(
            st.builds("({} AND {})".format, inner, inner),
            st.builds("({} OR {})".format, inner, inner),
            st.builds("NOT ({})".format, inner),
        ),
        max_leaves=6,
    )


def _check(world: tuple[Store, Manifest, dict[str, Index]], text: str) -> None:
    store, manifest, engines = world
    condition = parse_where(text, store.tables.catalog(), "frame").condition
    parts = split(condition, exact_columns(manifest, frozenset()))
    if parts.pushed is None:
        return
    # What is left to SQL is taken away from both sides, so that the pushed part alone is compared.
    left = tuple(conjuncts(parts.rest)) if parts.rest is not None else ()
    pushed = And(tuple(item for item in conjuncts(condition) if item not in left))
    rows = store.select("frame", where=render(pushed, leaf_sql))
    wanted = set(zip(rows.column("media_id").to_pylist(), rows.column("frame_index").to_pylist(), strict=True))
    for name, index in engines.items():
        hits = index.query(embed((128, 128, 128)), 1000, condition=parts.pushed, exact=True)
        assert {(hit.media_id, hit.index) for hit in hits} == wanted, f"{name}: {text}"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(text="NOT (width = 480)")
@example(text="NOT (fps > 24 OR creator IS NULL)")
@example(text="width IN (480, 0.0) AND NOT is_keyframe")
@example(text="duration_s != -0.0")
@example(text="frames.time_s = 0.0 AND frames.time_s = -0.0")
@example(text="NOT (width IN (1) AND width IN (480))")
@example(text="fps NOT IN (-0.0, 24.0, 0.1) OR fps NOT IN (23.976)")
@given(text=_condition())
def test_two_hundred_random_conditions_choose_what_sql_chooses(
    world: tuple[Store, Manifest, dict[str, Index]], text: str
) -> None:
    _check(world, text)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_condition())
def test_ten_thousand_random_conditions_choose_what_sql_chooses(
    world: tuple[Store, Manifest, dict[str, Index]], text: str
) -> None:
    _check(world, text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("creator LIKE 'a%'", True),
        ("creator < 'b'", True),
        ("length(creator) = 1", True),
        ("captions.text = 'a red ball'", True),
        ("width > 9007199254740993", True),
        ("size_bytes = 1", True),
        ("width = 1 OR creator LIKE 'a%'", True),
        ("width BETWEEN 1 AND 2 AND is_keyframe", False),
    ],
)
def test_what_a_payload_cannot_tell_is_left_to_sql(
    world: tuple[Store, Manifest, dict[str, Index]], text: str, left: bool
) -> None:
    store, manifest, _ = world
    condition = parse_where(text, store.tables.catalog(), "frame").condition
    assert (split(condition, exact_columns(manifest, frozenset())).rest is not None) == left


def test_a_column_with_values_that_no_filter_compares_exactly_is_left_to_sql(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    write_shard(store, "000000", [media(1, fps=float("nan")), media(2, width=2**60), media(3, duration_s=-0.0)])
    made = engine("memory", tmp_path)
    report = build_index(store, "colour_embeddings", ["000000"], engine=made)["000000"]
    manifest = read_manifest(store.objects, store.objects.folders("index")[0], report.build_id)
    assert set(manifest.inexact) == {"raw_media__fps", "raw_media__width"}
    usable = set(exact_columns(manifest, frozenset()).values())
    assert PayloadColumn("raw_media", "fps", "number") not in usable
    assert PayloadColumn("raw_media", "height", "integer") in usable
