"""Facets: counted by the engine where it counts as SQL does, else by SQL, with the same result."""

from __future__ import annotations

import pyarrow as pa
import pytest

from mmfs.client import FeatureStore
from mmfs.errors import SearchError, WhereError
from mmfs.search import build_index
from mmfs.search import facets as module
from mmfs.store import Store
from tests.search.world import media, media_id, replace, write_shard

TABLE = "colour_embeddings"


def counted(store: Store, column: str, **how: object) -> dict[object, int]:
    found = FeatureStore(store).facets(column, space=TABLE, **how)  # type: ignore[arg-type]
    return dict(zip(found["value"].to_pylist(), found["rows"].to_pylist(), strict=True))


def test_values_come_with_their_counts_most_frequent_first_and_null_among_them(indexed: Store) -> None:
    assert list(counted(indexed, "kind").items()) == [("video", 20), ("image", 3)]
    assert counted(indexed, "licence") == {None: 21, "CC0-1.0": 1, "CC-BY-4.0": 1}
    assert counted(indexed, "is_keyframe") == {True: 14, False: 9}
    assert counted(indexed, "width", where="kind = 'video'") == {1920: 12, 1280: 5, 320: 3}
    assert counted(indexed, "width", limit=1) == {1920: 12}
    assert counted(indexed, "kind", where="width > 10000") == {}
    assert FeatureStore(indexed).facets("is_keyframe", space=TABLE).schema.field("value").type == pa.bool_()


@pytest.mark.parametrize("column", ["kind", "licence", "is_keyframe", "width"])
@pytest.mark.parametrize("where", [None, "is_keyframe", "uri LIKE '%/1%'", "licence IS NULL AND NOT width = 320"])
def test_the_engine_and_sql_count_the_same(
    indexed: Store, monkeypatch: pytest.MonkeyPatch, column: str, where: str | None
) -> None:
    by_engine = counted(indexed, column, where=where)
    monkeypatch.setattr(module, "exact_columns", lambda *_: {})
    assert counted(indexed, column, where=where) == by_engine


def test_floats_and_columns_outside_the_payload_are_counted_by_sql(indexed: Store) -> None:
    assert counted(indexed, "fps") == {None: 18, 1.0: 5}
    assert counted(indexed, "uri", where="kind = 'image'") == {
        f"file:///media/{number}.image": 1 for number in (0, 3, 11)
    }


def test_a_build_that_lags_and_media_that_were_taken_down_are_not_counted_from(fresh: Store) -> None:
    build_index(fresh, TABLE, ["000000", "000001"])
    write_shard(fresh, "000001", [media(10, "red", frames=3)])
    assert counted(fresh, "kind") == {"video": 11, "image": 2}
    build_index(fresh, TABLE, ["000001"])
    replace(fresh, "tombstones", "000000", [{"media_id": media_id(0), "reason": "asked", "at_us": 1, "receipt": "{}"}])
    assert counted(fresh, "kind") == {"video": 11, "image": 1}


@pytest.mark.parametrize(
    ("column", "error", "says"),
    [
        ("knid", WhereError, "did you mean kind"),
        ("captions.text", WhereError, "many rows of captions"),
        ("vector", SearchError, "holds vectors"),
    ],
)
def test_a_column_that_cannot_be_counted_is_refused(
    indexed: Store, column: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        counted(indexed, column)
    with pytest.raises(SearchError, match="limit = 0"):
        counted(indexed, "kind", limit=0)
