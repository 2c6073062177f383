"""SQL: one SELECT over the store's tables, and nothing else reaches the engine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.errors import SqlError
from mmfs.schemas import VectorType, feature_table, vector_column
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.sql import admit
from tests.conftest import add_frames, add_media, media_id

TABLES = ["frames", "raw_media"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(tmp_path_factory.mktemp("sql") / "store", settings=Settings())
    add_media(store, "000001", range(3))
    add_media(store, "000002", range(3, 5), kind="video")
    add_frames(store, "000001", range(3), per_media=2)
    store.tables.ensure(feature_table("vectors", "", "frame", (vector_column("vector", "", VectorType(2)),)))
    values = pa.array([[0.5, 1.0], None, [2.0, 3.0]], pa.list_(pa.float16(), 2))
    rows = pa.table({"media_id": [media_id(n) for n in range(3)], "frame_index": [0] * 3, "vector": values})
    store.tables.update("vectors", "000001", lambda _: rows)
    return store


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (
            "SELECT kind, count(*) AS n, avg(width) AS w FROM raw_media GROUP BY kind ORDER BY n",
            [{"kind": "video", "n": 2, "w": 4.5}, {"kind": "image", "n": 3, "w": 2.0}],
        ),
        (
            "WITH wide AS (SELECT media_id, width FROM Raw_Media WHERE WIDTH > 1) "
            "SELECT f.frame_index, w.width FROM frames f JOIN wide w USING (media_id) ORDER BY 2, 1 LIMIT 2 OFFSET 1",
            [{"frame_index": 1, "width": 2}, {"frame_index": 0, "width": 3}],
        ),
        (
            "SELECT count(*) AS n FROM raw_media r WHERE EXISTS (SELECT 1 FROM frames f WHERE f.media_id = r.media_id)",
            [{"n": 3}],
        ),
        (
            "SELECT media_id FROM raw_media EXCEPT SELECT media_id FROM frames ORDER BY 1",
            [{"media_id": media_id(n)} for n in (3, 4)],
        ),
        ("SELECT sum(width) FILTER (WHERE kind LIKE 'v%') AS n FROM raw_media", [{"n": 9}]),
        (
            "SELECT row_number() OVER (ORDER BY width DESC) AS r, width FROM raw_media ORDER BY r LIMIT 1",
            [{"r": 1, "width": 5}],
        ),
        ('SELECT "offset" IS NULL AS o, offset >= 0 AS p FROM frames LIMIT 1', [{"o": False, "p": True}]),
        (
            "SELECT CASE WHEN width > 4 THEN 'w' END AS c FROM raw_media WHERE width IN (4, 5) ORDER BY width",
            [{"c": None}, {"c": "w"}],
        ),
        ("SELECT 1 AS one FROM raw_media LIMIT 1", [{"one": 1}]),
        ("SELECT 'it''s; DROP TABLE x -- \\' AS t", [{"t": "it's; DROP TABLE x -- \\"}]),
        ("SELECT upper(kind) || left(uri, 4) AS t FROM raw_media WHERE width = 1", [{"t": "IMAGEfile"}]),
    ],
)
def test_selects_of_every_kind_run(filled: Store, query: str, rows: list[dict[str, object]]) -> None:
    assert filled.sql(query).to_pylist() == rows


def test_vectors_come_as_typed_lists_and_texts_as_plain_strings(filled: Store) -> None:
    found = filled.sql("SELECT media_id, vector AS v FROM vectors ORDER BY media_id")
    assert found.schema.field("v").type == pa.list_(pa.float16(), 2)
    assert found.column("v").to_pylist() == [[0.5, 1.0], None, [2.0, 3.0]]
    assert found.schema.field("media_id").type == pa.string()


def test_tables_can_be_read_at_a_version(store: Store) -> None:
    add_media(store, "000001", range(2))
    version = store.tables.version("raw_media")
    add_media(store, "000001", range(9))
    query = "SELECT count(*) AS n FROM raw_media"
    assert store.sql(query, versions={"raw_media": version}).to_pylist() == [{"n": 2}]
    assert store.sql(query).to_pylist() == [{"n": 9}]


ATTACKS = [
    "COPY raw_media TO '{file}'",
    "COPY (SELECT 1) TO '{file}' STORED AS CSV",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW v AS SELECT 1",
    "INSERT INTO raw_media VALUES (1)",
    "INSERT INTO raw_media SELECT * FROM raw_media",
    "UPDATE raw_media SET width = 1",
    "DELETE FROM raw_media",
    "DROP TABLE raw_media",
    "ALTER TABLE raw_media ADD COLUMN x INT",
    "TRUNCATE TABLE raw_media",
    "MERGE INTO raw_media USING frames ON 1 = 1 WHEN MATCHED THEN DELETE",
    "SELECT 1; COPY raw_media TO '{file}'",
    "SELECT 1; SELECT 2",
    "SELECT * FROM '{file}'",
    'SELECT * FROM "{file}"',
    "SELECT * FROM read_csv('{file}')",
    "SELECT * FROM read_parquet('{file}')",
    "SELECT * FROM generate_series(1, 1000000000000)",
    "SELECT * FROM raw_media, LATERAL (SELECT 1)",
    "SELECT * FROM unnest([1, 2])",
    "SELECT * INTO t FROM raw_media",
    "SELECT * FROM raw_media FOR UPDATE",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM datafusion.public.raw_media",
    "SELECT * FROM other.raw_media",
    "SELECT * FROM nix",
    "SELECT version()",
    "SELECT current_user",
    "SELECT getenv('HOME')",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT * FROM t",
    "WITH t AS (DELETE FROM raw_media RETURNING *) SELECT * FROM t",
    "WITH t AS (INSERT INTO raw_media VALUES (1) RETURNING *) SELECT * FROM t",
    "EXPLAIN ANALYZE SELECT 1",
    "SHOW TABLES",
    "SET x = 1",
    "DESCRIBE raw_media",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "CALL p()",
    "SELECT $1",
    "SELECT ?",
    "VALUES (1)",
    "/* SELECT */ DROP TABLE raw_media",
    "-- SELECT\nDROP TABLE raw_media",
    "",
    ";",
    "SELECT 'a\0'",
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_is_not_one_plain_select_is_refused(filled: Store, tmp_path: Path, attack: str) -> None:
    before = filled.tables.version("raw_media")
    file = tmp_path / "written.csv"
    with pytest.raises(SqlError):
        filled.sql(attack.replace("{file}", str(file)))
    assert not file.exists()
    assert filled.tables.version("raw_media") == before


def test_a_file_named_like_a_subquery_is_not_read(filled: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nsecret\n")
    with pytest.raises(SqlError):
        filled.sql(f'WITH t AS (SELECT 1) SELECT * FROM "{secret}"')


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nix", "there is no table nix.*frames.*raw_media"),
        ("SELECT widht FROM raw_media", "widht"),
        ("SELEC 1", "SELEC"),
        ("DROP TABLE raw_media", "DROP is not allowed: queries only read"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("SELECT kind + 1 FROM raw_media WHERE kind = 5", "."),
    ],
)
def test_a_wrong_query_says_what_is_wrong(filled: Store, query: str, message: str) -> None:
    with pytest.raises(SqlError, match=message):
        filled.sql(query)


@given(text=st.text(max_size=80) | st.text(max_size=60).map("SELECT {}".format))
def test_any_text_is_admitted_or_a_sql_error(text: str) -> None:
    with suppress(SqlError):
        admit(text, TABLES)


def test_what_was_admitted_reads_the_same_when_read_again() -> None:
    query = "SELECT Kind, count(*) FROM raw_media WHERE uri LIKE '%''x' GROUP BY kind"
    once = admit(query, TABLES)
    assert admit(once.text, TABLES) == once
    assert once.tables == {"raw_media"}
