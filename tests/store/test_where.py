"""WHERE: one language, checked; wrong text is an error that names the token, hostile text is data."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmfs.errors import WhereError
from mmfs.schemas import BASE_TABLES, Column, VectorType, feature_table, vector_column
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.conditions import Value, leaf_sql, literal, render
from mmfs.store.where import (
    And,
    Between,
    Catalog,
    ColumnRef,
    Compare,
    Condition,
    In,
    IsNull,
    Like,
    Not,
    Opaque,
    Or,
    parse_where,
)
from tests.conftest import media_id, media_rows
from tests.store.conditions_in_python import truth

QUALITY = feature_table("frame_quality", "", "frame", (Column("brightness", pa.float64(), "."),))
SECOND = feature_table(
    "second",
    "",
    "frame",
    (Column("brightness", pa.float64(), "."), vector_column("vector", ".", VectorType(4))),
)
CATALOG = Catalog({**BASE_TABLES, "frame_quality": QUALITY, "second": SECOND})
WIDTH, KIND, FPS, HEIGHT, LICENCE = (
    ColumnRef("raw_media", name) for name in ("width", "kind", "fps", "height", "licence")
)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("width >= 480", Compare(WIDTH, ">=", 480)),
        ("480 <= Width", Compare(WIDTH, ">=", 480)),
        ("width <> -1.5", Compare(WIDTH, "!=", -1.5)),
        ("kind = 'it''s'", Compare(KIND, "=", "it's")),
        ("kind IN ('a', 'b')", In(KIND, ("a", "b"))),
        ("kind NOT IN ('a')", Not(In(KIND, ("a",)))),
        ("kind LIKE 'v%'", Like(KIND, "v%")),
        ("kind NOT LIKE 'v%'", Not(Like(KIND, "v%"))),
        ("width IS NULL", IsNull(WIDTH)),
        ("width IS NOT NULL", Not(IsNull(WIDTH))),
        ("NOT width IS NOT NULL", Not(Not(IsNull(WIDTH)))),
        ("width BETWEEN 1 AND 2", Between(WIDTH, 1, 2)),
        ("width NOT BETWEEN 1 AND 2", Not(Between(WIDTH, 1, 2))),
        ("is_keyframe", Compare(ColumnRef("frames", "is_keyframe"), "=", True)),
        ("NOT is_keyframe", Not(Compare(ColumnRef("frames", "is_keyframe"), "=", True))),
        ("frames.shard = '000001'", Compare(ColumnRef("frames", "shard"), "=", "000001")),
        (
            "width > 1 AND width < 5 AND (kind = 'a' OR kind = 'b')",
            And(
                (
                    Compare(WIDTH, ">", 1),
                    Compare(WIDTH, "<", 5),
                    Or((Compare(KIND, "=", "a"), Compare(KIND, "=", "b"))),
                )
            ),
        ),
        (
            "width > height",
            Opaque('("raw_media"."width" > "raw_media"."height")', (WIDTH, ColumnRef("raw_media", "height"))),
        ),
        ("lower(kind) = 'a'", Opaque('(LOWER("raw_media"."kind") = \'a\')', (KIND,))),
        ("kind = 'x' -- and a comment", Compare(KIND, "=", "x")),
        ("width BETWEEN SYMMETRIC 2 AND 1", Opaque('("raw_media"."width" BETWEEN SYMMETRIC 2 AND 1)', (WIDTH,))),
    ],
)
def test_a_condition_becomes_a_small_tree(text: str, tree: Condition) -> None:
    assert parse_where(text, CATALOG, "frame").condition == tree


@pytest.mark.parametrize(
    ("name", "grain", "table"),
    [
        ("media_id", "frame", "frames"),
        ("fingerprint", "frame", "frames"),
        ("width", "frame", "raw_media"),
        ("vector", "frame", "second"),
        ("text", "caption", "captions"),
        ("width", "caption", "raw_media"),
        ("shard", "media", "raw_media"),
    ],
)
def test_a_bare_name_means_the_grain_then_coarser_tables_then_features(name: str, grain, table: str) -> None:  # type: ignore[no-untyped-def]
    assert CATALOG.resolve(name, None, grain) == ColumnRef(table, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("brightness > 1", "'brightness' could be frame_quality.brightness and second.brightness"),
        ("widht > 1", "'widht' is no column of a frame; did you mean width.*raw_media: media_id, kind"),
        ("text LIKE 'a'", "'text' is no column of a frame; write captions.text"),
        ("frames.widht > 1", "frames has no column 'widht'.*frame_width"),
        ("nix.width > 1", "there is no table 'nix'"),
        ("listings.uri = 'a'", "listings says nothing about a frame"),
        ("kind = 5", r"raw_media\.kind is of type string and cannot be compared with 5"),
        ("width = 'a'", r"raw_media\.width is of type int64 and cannot be compared with 'a'"),
        ("is_keyframe = 1", "cannot be compared with 1"),
        ("vector = 3", r"second\.vector is a vector"),
        ("width", r"raw_media\.width is no truth value"),
        ("width = NULL", "write IS NULL"),
        ("width IN (1, NULL)", "NULL is never IN a list"),
        ("width > 99999999999999999999", "too large"),
        ("captions.text = uri", "a frame may have many rows of captions"),
        ("'a' = 'a'", "it names no column"),
        ("", "the condition is empty"),
        ("width >", "cannot read"),
        ("width 5", "cannot read '5'"),
        ("(" * 3000 + "is_keyframe" + ")" * 3000, "nested too deeply"),
        ("NOT " * 5000 + "is_keyframe", "nested too deeply"),
        ("kind = 'a\0'", "null character"),
    ],
)
def test_a_wrong_condition_names_the_token_and_what_exists(text: str, message: str) -> None:
    with pytest.raises(WhereError, match=message):
        parse_where(text, CATALOG, "frame")


@pytest.mark.parametrize(
    "text",
    [
        "width = 1; DROP TABLE frames",
        "width = 1 UNION SELECT 1",
        "width = (SELECT 1)",
        "EXISTS (SELECT 1)",
        "kind IN (SELECT 'a')",
        "kind = ANY (SELECT 'a')",
        "read_csv('/etc/passwd') = 'x'",
        "pg_read_file('/etc/passwd') = 'x'",
        "current_user = 'x'",
        "kind = $1",
        "kind = ?",
        "kind = :x",
        "width = 1 INTO x",
        "width::text = '1'",
        "CAST(width AS text) = '1'",
        "count(*) > 1",
        "width IN (1) OR row_number() OVER () = 1",
        "kind = E'a\\'b'",
        "kind = $$a$$",
        "a.b.c.d = 1",
        "*",
        "SELECT 1",
        "COPY frames TO '/tmp/x'",
    ],
)
def test_what_is_not_a_plain_condition_is_refused(text: str) -> None:
    with pytest.raises(WhereError):
        parse_where(text, CATALOG, "frame")


@given(text=st.text(max_size=60))
def test_any_text_is_a_condition_or_a_where_error(text: str) -> None:
    with suppress(WhereError):
        parse_where(text, CATALOG, "frame")


@given(value=st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_any_text_stays_the_same_text_through_parsing_and_rendering(value: str) -> None:
    first = parse_where(f"kind = {literal(value)}", CATALOG, "frame")
    assert first.condition == Compare(KIND, "=", value)
    assert parse_where(first.sql(), CATALOG, "frame").condition == first.condition


# One small table, and random conditions over it: the engine must agree with Python on every row.
FPS, HEIGHT, LICENCE = (
    ColumnRef("raw_media", "fps"),
    ColumnRef("raw_media", "height"),
    ColumnRef("raw_media", "licence"),
)
_TEXTS = ["", "a", "A", "ab", "a%", "a_b", "b\\", "it's", "é", None]
_NUMBERS = [None, -1, 0, 1, 2]
_TABLE = pa.table(
    {
        "media_id": [media_id(n) for n in range(50)],
        "kind": [_TEXTS[n % 9] or "z" for n in range(50)],
        "licence": [_TEXTS[(7 * n) % 10] for n in range(50)],
        "width": [n % 4 for n in range(50)],
        "height": pa.array([_NUMBERS[n % 5] for n in range(50)], pa.int64()),
        "fps": pa.array([None if n % 3 == 0 else -0.0 if n % 3 == 1 else n / 4 for n in range(50)], pa.float64()),
    }
)

_numbers: st.SearchStrategy[Value] = st.one_of(st.integers(-2, 4), st.sampled_from([-0.5, 0.25, 1.5, 1e3, -0.0]))
_texts = st.sampled_from([text for text in _TEXTS if text is not None])
_patterns = st.text(alphabet="aAb%_\\é'", max_size=4).filter(lambda text: (len(text) - len(text.rstrip("\\"))) % 2 == 0)


def _leaves() -> st.SearchStrategy[Condition]:
    number, text = st.sampled_from([WIDTH, HEIGHT, FPS]), st.sampled_from([KIND, LICENCE])
    op = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
    return st.one_of(
        st.builds(Compare, number, op, _numbers),
        st.builds(Compare, text, op, _texts),
        st.builds(In, number, st.lists(_numbers, min_size=1, max_size=6).map(tuple)),
        st.builds(In, text, st.lists(_texts, min_size=1, max_size=6).map(tuple)),
        st.builds(IsNull, st.one_of(number, text)),
        st.builds(Like, text, _patterns),
        st.builds(Between, number, _numbers, _numbers),
        st.builds(Between, text, _texts, _texts),
    )


conditions = st.recursive(
    _leaves(),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("where") / "store", settings=Settings())
    store.tables.update("raw_media", "000001", lambda _: _TABLE)
    return store


def _check(store: Store, condition: Condition) -> None:
    where = render(condition, leaf_sql)
    found = set(store.select("media", where=where).column("media_id").to_pylist())
    rows = [{f"raw_media.{name}": value for name, value in row.items()} for row in _TABLE.to_pylist()]
    assert found == {row["raw_media.media_id"] for row in rows if truth(condition, row)}, where


@settings(max_examples=500, deadline=None)
@example(condition=Or((Not(In(LICENCE, ("",))), Not(In(LICENCE, ("a",))))))
@example(condition=Not(And((In(HEIGHT, (0, 1)), In(HEIGHT, (2,))))))
@example(condition=And((Compare(FPS, "=", 0.0), Compare(FPS, "=", -0.0))))
@example(condition=In(FPS, (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)))
@given(condition=conditions)
def test_the_engine_agrees_with_python_on_every_row(small: Store, condition: Condition) -> None:
    _check(small, condition)


@pytest.mark.soak
@settings(max_examples=10_000, deadline=None)
@given(condition=conditions)
def test_the_engine_agrees_with_python_on_ten_thousand_conditions(small: Store, condition: Condition) -> None:
    _check(small, condition)


def test_a_condition_on_a_table_with_many_rows_asks_whether_some_row_fits(store: Store) -> None:
    store.tables.update("raw_media", "000001", lambda _: media_rows(range(4)))
    captions = pa.table(
        {
            "media_id": [media_id(1), media_id(1), media_id(2)],
            "caption_index": [0, 1, 0],
            "text": ["a red ball", "indoors", "a blue cube"],
        }
    )
    store.tables.update("captions", "000001", lambda _: captions)

    def chosen(where: str) -> list[str]:
        return [name[-1] for name in store.select("media", where=where).column("media_id").to_pylist()]

    assert chosen("captions.text LIKE '%red%'") == ["1"]
    assert chosen("captions.text LIKE '%red%' OR width = 4") == ["1", "3"]
    assert chosen("NOT captions.text LIKE '%red%'") == ["0", "2", "3"]
    assert chosen("captions.text LIKE '%red%' AND captions.text = 'indoors'") == ["1"]
