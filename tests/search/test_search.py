"""Questions and answers over a small store whose colours are known."""

from __future__ import annotations

import importlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmfs.errors import SearchError, WhereError
from mmfs.search import Hits, Searcher, SearchQuery, build_index, search
from mmfs.search.checks import index_differences
from mmfs.search.edge_engine import EdgeEngine
from mmfs.search.port import Published
from mmfs.settings import Settings
from mmfs.store import Store
from tests.search.engines import engine
from tests.search.world import ColourEmbeddings, OtherEmbeddings, embed, media, media_id, replace, write_shard

pytestmark = pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")
Ask = Callable[..., Hits]
TABLE = "colour_embeddings"


def key(number: int, index: int = 0) -> str:
    return f"{media_id(number)}:{index}"


def numbers(hits: Hits) -> list[int]:
    return [int(name, 16) for name in hits.table.column("media_id").to_pylist()]


def test_words_find_frames_with_their_columns_and_how_the_answer_came_about(indexed: Store, ask: Ask) -> None:
    hits = ask(indexed, "red", k=13)
    assert set(numbers(hits)) == {0, 10}
    scores = hits.table.column("score").to_pylist()
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0.9
    first = {row["key"]: row for row in hits.table.to_pylist()}[key(10, 7)]
    assert {
        name: first[name] for name in ("media_id", "frame_index", "time_s", "kind", "uri", "width", "caption", "shard")
    } == {
        "media_id": media_id(10),
        "frame_index": 7,
        "time_s": 7.0,
        "kind": "video",
        "uri": "file:///media/10.video",
        "width": 1920,
        "caption": "A red kite",
        "shard": "000001",
    }
    info = hits.info
    assert (info.space, info.engine, info.exact, info.indexed_rows, info.lag_rows, info.dropped) == (
        (TABLE, "edge", True, 23, 0, 0)
    )
    assert info.build_id is not None
    assert info.label is None
    assert "23 rows of colour_embeddings" in info.summary()
    assert len(hits) == 13
    assert hits.to_pandas().shape == (13, hits.table.num_columns)


def test_a_picture_finds_what_looks_like_it(indexed: Store, ask: Ask, tmp_path: Path) -> None:
    image_module = importlib.import_module("PIL.Image")
    blue = np.full((40, 60, 3), (40, 50, 230), np.uint8)
    path = tmp_path / "blue.png"
    image_module.fromarray(blue).save(path)
    for image in (blue, image_module.fromarray(blue), path, str(path)):
        assert set(numbers(ask(indexed, image=image, k=3))) == {2}


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"no picture at all", "refused"), (None, "cannot be read"), (b"", "refused")],
)
def test_a_file_that_is_no_picture_is_refused_with_its_reason(
    indexed: Store, ask: Ask, tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SearchError, match=says) as caught:
        ask(indexed, image=path)
    assert "x.png" in str(caught.value)


def _bomb() -> bytes:
    """A PNG of a few bytes whose header promises ten gigapixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def test_a_picture_that_is_a_bomb_is_refused_by_its_header(
    indexed: Store, ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_bomb())
    with pytest.raises(SearchError, match="the query image is refused") as caught:
        ask(indexed, image=path)
    assert str(path) in str(caught.value)
    pillow = importlib.import_module("PIL.Image")
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", None)  # its own guard, which a caller may have lifted
    with pillow.open(path) as opened, pytest.raises(SearchError, match="100000 x 100000 pixels, more than"):
        ask(indexed, image=opened)
    pillow.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    with pillow.open(tmp_path / "cut.png") as opened, pytest.raises(SearchError, match="is broken"):
        ask(indexed, image=opened)


def test_a_frame_and_examples_find_others_like_them_and_not_themselves(indexed: Store, ask: Ask) -> None:
    assert sorted(numbers(ask(indexed, frame=(media_id(1), 2), k=5))) == [1, 1, 1, 1, 11]
    liked = ask(indexed, like=(key(2), key(2, 1)), k=3)
    assert liked.table.column("key").to_pylist()[0] == key(2, 2)
    assert not {key(2), key(2, 1)} & set(liked.table.column("key").to_pylist())
    both = ask(indexed, "red", unlike=("yellow",), k=23)
    assert numbers(both).index(3) > numbers(ask(indexed, "red", k=23)).index(3)
    assert set(numbers(ask(indexed, vector=embed((40, 50, 230)), k=3))) == {2}


def test_what_is_not_wanted_is_said_in_words_and_pushes_by_the_documented_formula(indexed: Store, ask: Ask) -> None:
    hits = ask(indexed, "red", not_text="yellow", k=23)
    assert numbers(hits).index(3) > numbers(ask(indexed, "red", k=23)).index(3)
    encoder = ColourEmbeddings()
    red, yellow = encoder.encode_text(["red", "yellow"])
    wanted = red - 0.5 * yellow
    wanted /= np.linalg.norm(wanted)
    rows = indexed.tables.read(TABLE, columns=["media_id", "frame_index", "vector"])
    vectors = np.stack(rows.column("vector").combine_chunks().flatten().to_numpy().astype(np.float32).reshape(-1, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = {row["key"]: row["score"] for row in hits.table.to_pylist()}
    for place, (name, index) in enumerate(
        zip(rows.column("media_id").to_pylist(), rows.column("frame_index").to_pylist(), strict=True)
    ):
        assert found[f"{name}:{index}"] == pytest.approx(float(vectors[place] @ wanted), abs=2e-3)
    assert hits.info.query == "red; not yellow"
    with pytest.raises(SearchError, match="nothing to look for"):
        ask(indexed, not_text="yellow")


def test_a_floor_leaves_out_what_scores_less_and_says_when_nothing_is_left(indexed: Store, ask: Ask) -> None:
    every = ask(indexed, "red", k=23).table.column("score").to_pylist()
    floor = every[12]
    for more in ({}, {"diversity": 0.5}, {"where": "width > 0"}):
        hits = ask(indexed, "red", k=23, min_score=floor, **more)
        assert set(numbers(hits)) == {0, 10}
        assert hits.info.nothing is None
    assert len(ask(indexed, "red", k=23, min_score=floor, group="segment")) == 2
    none = ask(indexed, "red", min_score=0.9999)
    assert len(none) == 0
    assert none.info.nothing == f"the nearest scores {every[0]:.3f}, below min_score 0.9999"
    assert f"nothing matches: {none.info.nothing}" in none._repr_html_()
    assert ask(indexed, "red", where="time_s > 100").info.nothing == f"no row of {TABLE} meets the condition"
    assert ask(indexed, "red", k=23, min_score=-1.0).table.column("score").to_pylist() == every


def test_examples_need_no_model(indexed: Store) -> None:
    hits = search(indexed, SearchQuery(like=(key(2),), space=TABLE, k=2))
    assert set(numbers(hits)) == {2}
    with pytest.raises(SearchError, match="no model for words"):
        search(indexed, SearchQuery(text="red", space=TABLE))


def test_conditions_choose_by_metadata_in_the_index_by_sql_or_by_both(indexed: Store, ask: Ask) -> None:
    pushed = ask(indexed, "red", where="width >= 1280 AND NOT is_keyframe", k=50)
    assert (set(numbers(pushed)), pushed.info.plan) == ({1, 10}, "condition in the index")
    assert all(index % 2 for index in pushed.table.column("frame_index").to_pylist())
    by_sql = ask(indexed, "red", where="captions.text LIKE '%yellow%'", k=50)
    assert (set(numbers(by_sql)), by_sql.info.plan) == ({3}, "condition by SQL: searched among 1 samples")
    both = ask(indexed, "red", where="kind = 'video' AND uri LIKE '%/1%'", k=50)
    assert (set(numbers(both)), both.info.plan.startswith("condition partly in the index")) == ({1, 10}, True)
    assert len(ask(indexed, "red", where="licence IS NULL AND time_s > 100")) == 0


def test_a_condition_with_more_ids_than_fit_a_filter_is_checked_hit_by_hit(
    indexed: Store, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmfs.search.plan.MAX_IDS", 2)
    hits = ask(indexed, "red", where="uri LIKE '%/2.%' OR uri LIKE '%/3.%'", k=4)
    assert sorted(numbers(hits)) == [2, 2, 2, 3]
    assert "hits checked against 4 samples" in hits.info.plan


@pytest.mark.parametrize(
    "where",
    [
        "widht > 3",
        "1=1; DROP TABLE frames",
        "width > (SELECT 1)",
        "width = '480'",
        "x' OR '1'='1",
        "vector IS NULL OR (",
        "--",
    ],
)
def test_a_wrong_or_hostile_condition_is_refused_and_nothing_runs(indexed: Store, ask: Ask, where: str) -> None:
    with pytest.raises(WhereError):
        ask(indexed, "red", where=where)


def test_a_wrong_column_is_named_with_those_there_are(indexed: Store, ask: Ask) -> None:
    with pytest.raises(WhereError, match=r"widht.*did you mean width") as caught:
        ask(indexed, "red", where="widht > 3")
    assert "frame_width" in caught.value.mend


def test_text_in_conditions_is_data(indexed: Store, ask: Ask) -> None:
    hostile = "CC0-1.0'' OR 1=1 --"
    assert len(ask(indexed, "red", where=f"licence = '{hostile}'")) == 0
    assert numbers(ask(indexed, "red", where="licence = 'CC0-1.0'")) == [0]


def test_segments_merge_neighbouring_frames_into_time_ranges(indexed: Store, ask: Ask) -> None:
    hits = ask(indexed, "red", group="segment", k=3)
    rows = hits.table.to_pylist()
    kite = next(row for row in rows if row["media_id"] == media_id(10))
    assert (kite["segment_start_s"], kite["segment_end_s"], kite["segment_hits"]) == (0.0, 11.0, 12)
    assert len(set(numbers(hits))) == 3
    assert sorted(numbers(ask(indexed, "red", group="media", k=6))) == [0, 1, 2, 3, 10, 11]


def test_diversity_brings_in_what_differs(indexed: Store, ask: Ask) -> None:
    assert set(numbers(ask(indexed, "red", k=4))) == {0, 10}
    assert set(numbers(ask(indexed, "red", k=4, diversity=0.7))) > {3, 10}


def test_rows_that_are_gone_or_taken_down_are_never_returned(fresh: Store, ask: Ask, tmp_path: Path) -> None:
    build_index(fresh, TABLE, ["000000", "000001"])
    write_shard(fresh, "000001", [media(10, "red", frames=3)])
    replace(fresh, "tombstones", "000000", [{"media_id": media_id(0), "reason": "asked", "at_us": 1, "receipt": "{}"}])
    hits = ask(fresh, "red", k=100)
    assert sorted(hits.table.column("key").to_pylist()) == sorted(
        [key(10, n) for n in range(3)] + [key(1, n) for n in range(5)] + [key(2, n) for n in range(3)] + [key(3)]
    )
    assert hits.info.dropped == 11
    assert hits.info.lag_rows == 10
    assert "lags 10 rows behind" in hits.info.summary()
    # The build knows the old width; what changed since is asked of the tables.
    write_shard(fresh, "000001", [media(10, "red", frames=3, width=5)])
    narrow = ask(fresh, "red", where="width = 5", k=100)
    assert set(numbers(narrow)) == {10}
    assert narrow.info.plan.startswith("condition by SQL")


def test_an_index_that_does_not_exist_says_what_makes_it(fresh: Store, ask: Ask) -> None:
    with pytest.raises(SearchError, match=r"no index of colour_embeddings yet.*materialize qdrant_index"):
        ask(fresh, "red")
    with pytest.raises(SearchError, match="not a search space"):
        ask(fresh, "red", space="frames")


def test_a_build_that_is_removed_while_it_is_opened_gives_way_to_the_next(fresh: Store, ask: Ask) -> None:
    old = build_index(fresh, TABLE, ["000000"])["000000"].build_id
    new = build_index(fresh, TABLE, ["000001"])["000001"].build_id
    (space,) = fresh.objects.folders("index")

    class Late(EdgeEngine):
        """Tells of the old build first, as to one who looked just before it was replaced."""

        looks = 0

        def published(self, space: str) -> Published:
            self.looks += 1
            return Published(old) if self.looks == 1 else super().published(space)

    engine = Late(fresh.objects)
    engine.remove(space, old)
    hits = Searcher(fresh, engine=engine).search(SearchQuery(text="red", space=TABLE), ColourEmbeddings())
    assert hits.info.build_id == new


def test_a_query_of_another_model_is_refused_by_name(indexed: Store, ask: Ask) -> None:
    with pytest.raises(SearchError, match=r"built with .*, but queries are encoded with OtherEmbeddings"):
        ask(indexed, "red", encoder=OtherEmbeddings())
    assert set(numbers(ask(indexed, like=(key(2),), k=2, encoder=OtherEmbeddings()))) == {2}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({}, "nothing to look for"),
        ({"text": " "}, "the text is empty"),
        ({"text": "red", "not_text": ""}, "the not_text is empty"),
        ({"text": "red", "min_score": float("nan")}, "min_score = nan"),
        ({"text": "red", "min_score": 0.1, "space": "captions"}, "whose scores tell ranks"),
        ({"text": "red", "k": 0}, "k = 0"),
        ({"text": "red", "diversity": 2.0}, "diversity = 2.0"),
        ({"text": "red", "group": "film"}, "group = 'film'"),
        ({"like": (f"{'0' * 32}:77",)}, "is not in the index"),
        ({"like": ("0" * 31 + ":7",)}, "is not a sample key"),
        ({"vector": [1.0, 2.0]}, r"shape \[2\]"),
        ({"vector": [float("nan")] * 16}, "finite"),
        ({"like": (f"{'0' * 32}:0",), "vector": None, "image": np.zeros((2, 2), np.uint8)}, "query image is uint8"),
        ({"space": "captions", "vector": [1.0]}, "words alone"),
    ],
)
def test_questions_that_make_no_sense_are_refused(indexed: Store, ask: Ask, query: dict, says: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(SearchError, match=says):
        ask(indexed, **query)


def test_captions_are_searched_by_their_words(indexed: Store, ask: Ask) -> None:
    hits = ask(indexed, "yellow cube", space="captions")
    assert numbers(hits) == [3]
    assert hits.table.column("caption").to_pylist() == ["Two yellow cubes"]
    assert (hits.info.engine, hits.info.indexed_rows) == ("captions", 5)
    assert numbers(ask(indexed, "red", space="captions", where="kind = 'video'")) == [10]
    zebra = ask(indexed, "zebra", space="captions", where="width > 1")
    assert (len(zebra), zebra.info.nothing) == (0, "no caption answers and meets the condition")
    assert zebra.info.plan == "condition by SQL; by words alone (there is no index of text_embeddings yet)"


class DemoEmbeddings(ColourEmbeddings):
    """The same, by a model that ships for demonstration."""

    spec = ColourEmbeddings.spec
    is_demo = True


def test_a_demo_model_on_photographs_searches_captions_and_says_so(tmp_path: Path, ask: Ask) -> None:
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    demo = DemoEmbeddings()
    rendered = {"attributes": '{"scene":{"index":1},"objects":[]}'}
    write_shard(store, "000000", [media(1, "red", caption="something blue", **rendered)], model=demo)
    build_index(store, TABLE, ["000000"])
    assert ask(store, "blue", encoder=demo).info.label is None
    write_shard(store, "000000", [media(1, "red", caption="something blue", **rendered), media(2, "blue")], model=demo)
    build_index(store, TABLE, ["000000"])
    words = ask(store, "blue", encoder=demo)
    assert (numbers(words), words.info.space) == ([1], "captions")
    assert words.info.label is not None
    assert "demo model: not trained for photographs" in words.info.label
    assert "MMFS_CLIP__MODEL" in words.info.label
    assert ask(store, "blue", encoder=demo, where="uri LIKE '%/1.%'").info.label is None
    example = ask(store, like=(key(1),), encoder=demo)
    assert (numbers(example), example.info.space) == ([2], TABLE)
    assert example.info.label is not None


def test_the_check_of_an_index_tells_how_it_differs_from_its_table(fresh: Store, tmp_path: Path) -> None:
    made = engine("memory", tmp_path)

    def said() -> list[str]:
        return [str(problem) for problem in index_differences(fresh, TABLE, "000001", engine=made)]

    assert said() == ["colour_embeddings has 13 rows and its index is not published"]
    build_index(fresh, TABLE, ["000000", "000001"], engine=made)
    assert said() == []
    write_shard(
        fresh, "000001", [media(10, "red", frames=12, caption="A red kite", width=9), media(11, "green", width=100)]
    )
    assert said() == [f"12 of 13 rows are in the index of {TABLE} in an older state, first {key(10)}"]
    write_shard(fresh, "000001", [media(10, "red")])
    assert [text.partition(", first")[0] for text in said()] == [
        f"1 of 1 rows are in the index of {TABLE} in an older state",
        f"12 points in the index of {TABLE} are of rows that are gone",
    ]
    write_shard(fresh, "000001", [media(12, "red")])
    assert said()[0] == f"1 of 1 rows are not in the index of {TABLE}, first {key(12)}"


def test_hits_say_where_they_come_from_when_saved_as_a_subset(indexed: Store, ask: Ask) -> None:
    hits = ask(indexed, "red", where="width > 1", unlike=("green",))
    found = hits.provenance()
    assert (found.query, found.where, found.build_id) == ("red; unlike green", "width > 1", hits.info.build_id)
    assert found.source_versions == {TABLE: hits.info.table_version}
