"""Tables, subsets and answers as people look at them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmfs.client import FeatureStore
from mmfs.errors import StoreError, WhereError
from mmfs.search.gallery import MOST
from mmfs.settings import Settings
from mmfs.store import Store
from tests.curation import world as vectors
from tests.features.tiny import add_sounds
from tests.search.conftest import HOSTILE, fill
from tests.search.inert import Reader, inert
from tests.search.world import add_depth, media_id, replace

FRAMES = 23


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Six media with 23 frames in two shards, the second with depth. Read only but for subsets."""
    store = Store.open(tmp_path_factory.mktemp("showing") / "store", settings=Settings(device="cpu"))
    fill(store)
    add_depth(store, "000001")
    return FeatureStore(store)


@pytest.fixture
def own(tmp_path: Path) -> FeatureStore:
    """The same without depth, to change."""
    store = Store.open(tmp_path / "store", settings=Settings(device="cpu"))
    fill(store)
    return FeatureStore(store)


def images(seen: Reader) -> list[str]:
    """What is said of each picture."""
    return [str(attributes["alt"]) for tag, attributes in seen.tags if tag == "img"]


def test_frames_come_as_cards_with_depth_beside_them_where_there_is_any(features: FeatureStore, tmp_path: Path) -> None:
    path = features.table("frames").show(n=FRAMES).to_html(tmp_path / "frames.html")
    seen = inert(path.read_text(encoding="utf-8"))
    depths = [text for text in images(seen) if text == "depth, 1 (dark) to 4 (bright)"]
    assert (len(images(seen)), len(depths)) == (FRAMES + 13, 13)
    for shown in ("23 rows of frames (version 2)", "A red kite", "0:11.0", f"{media_id(10)}:11", "10.video"):
        assert shown in seen.text


def test_the_first_rows_are_shown_and_the_way_to_the_others(features: FeatureStore) -> None:
    seen = inert(features.table("frames").show(n=2, where="time_s >= 1")._repr_html_())
    assert len(images(seen)) == 2
    assert "the first 2 of 17 rows of frames (version 2) where time_s >= 1" in seen.text
    assert "store.table('frames').to_arrow(where='time_s >= 1')" in seen.text


@given(
    st.integers(1, FRAMES + 3),
    st.sampled_from([None, "time_s >= 1", "kind = 'video'", "frame_index = 99", "time_s = 0 AND width < 700"]),
)
@settings(deadline=None, max_examples=20)
def test_the_first_rows_are_those_that_reading_all_begins_with(
    features: FeatureStore, n: int, where: str | None
) -> None:
    view = features.table("frames")
    columns = ["media_id", "frame_index", "shard", "pts_us"]
    rows, total = view.first(n, columns=columns, where=where)
    whole = view.to_arrow(columns=columns, where=where)
    assert rows.equals(whole.slice(0, n))
    assert total == whole.num_rows


def test_columns_asked_for_are_told_on_the_cards_vectors_in_short(features: FeatureStore) -> None:
    text = inert(features.table("colour_embeddings").show(n=1)._repr_html_()).text
    assert "vectorfloat16 [16]" in text
    assert "fingerprint" not in text
    text = inert(features.table("frames").show(n=1, columns=["frame_width", "image", "is_keyframe"])._repr_html_()).text
    assert "frame_width32is_keyframeyes" in text


def test_media_and_captions_are_shown_by_their_first_frame(features: FeatureStore) -> None:
    raw = inert(features.table("raw_media").show(where="width > 1000")._repr_html_())
    assert len([text for text in images(raw) if not text.startswith("depth")]) == 2
    assert "height1080" in raw.text
    captions = inert(features.table("captions").show()._repr_html_())
    assert "Two yellow cubes" in captions.text
    assert len(images(captions)) == 5 + 1


def test_what_a_table_computed_stands_beside_the_frame_instead_of_depth(features: FeatureStore) -> None:
    assert len(images(inert(features.table("depth_maps").show()._repr_html_()))) == 2 * 13


def test_sound_is_drawn_as_its_waveform(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings())
    time_s = np.linspace(0, 1, 16_000, dtype=np.float32)
    add_sounds(store, {(0, index): np.sin(440 * time_s)[None] for index in range(3)})
    seen = inert(FeatureStore(store).table("audio_windows").show(n=2)._repr_html_())
    assert images(seen) == ["audio_windows"] * 2
    assert "0:01.0 to 0:02.0" in seen.text


def test_rows_without_pictures_come_as_a_table_of_values(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings())
    vectors.fill(store, vectors.clustered(4, 8, seed=0))
    seen = inert(FeatureStore(store).table("clip_embeddings").show()._repr_html_())
    assert images(seen) == []
    assert [tag for tag, _ in seen.tags].count("tr") == 1 + 4
    assert "float16 [8]" in seen.text


def test_bookkeeping_tables_show_values_and_times_of_day(own: FeatureStore) -> None:
    own.subset("s").save(pa.table({"media_id": [media_id(0)], "frame_index": [0]}))
    seen = inert(own.table("subsets").show(columns=["key", "saved_at_us", "query"])._repr_html_())
    assert f"{media_id(0)}:0" in seen.text
    assert ":" in seen.text.split("query")[1]
    assert "no rows" in inert(own.table("quarantine").show()._repr_html_()).text


def test_media_that_were_taken_down_are_not_shown(own: FeatureStore) -> None:
    replace(
        own.core, "tombstones", "000000", [{"media_id": media_id(1), "reason": "asked", "at_us": 1, "receipt": "{}"}]
    )
    seen = inert(own.table("frames").show()._repr_html_())
    assert media_id(1) not in seen.text
    assert len(images(seen)) == FRAMES - 5
    assert "5 more are gone or taken down, and are not shown" in seen.text
    captions = inert(own.table("captions").show(columns=["text"])._repr_html_())
    assert "A green field" not in captions.text


def test_a_subset_is_shown_by_rank_with_scores_time_ranges_and_where_it_came_from(own: FeatureStore) -> None:
    chosen = pa.table(
        {
            "media_id": [media_id(10), media_id(99), media_id(0)],
            "frame_index": [3, 0, 0],
            "score": [0.75, 0.5, 0.25],
            "segment_start_s": [2.0, None, None],
            "segment_end_s": [4.0, None, None],
        }
    )
    own.subset("s").save(chosen)
    seen = inert(own.subset("s").show()._repr_html_())
    assert len(images(seen)) == 2
    for shown in ("3 samples of subset 's'", "0:02.0 to 0:04.0", "1 more are gone", "saved 20"):
        assert shown in seen.text
    assert seen.text.index("0.750") < seen.text.index("0.250")
    own.subset("sql").save("SELECT media_id FROM raw_media WHERE kind = 'video'")
    media = inert(own.subset("sql").show(n=1)._repr_html_())
    assert "the first 1 of 3 samples of subset 'sql'; all of them: store.subset('sql').to_arrow()" in media.text
    assert "UTC: SELECT media_id FROM raw_media" in media.text
    assert len(images(media)) == 1


def test_answers_are_cards_where_they_have_keys_and_values_where_not(features: FeatureStore) -> None:
    cards = inert(
        features.show(features.sql("SELECT media_id, frame_index, time_s + 1 AS later FROM frames"), n=4)._repr_html_()
    )
    assert len([text for text in images(cards) if not text.startswith("depth")]) == 4
    assert "later1" in cards.text
    counts = inert(features.show(features.sql("SELECT kind, count(*) AS n FROM raw_media GROUP BY kind"))._repr_html_())
    assert images(counts) == []
    assert "video3" in counts.text


def test_hostile_values_are_shown_and_not_obeyed(features: FeatureStore) -> None:
    for gallery in (
        features.table("captions").show(),
        features.show(pa.table({HOSTILE: [HOSTILE]})),
        features.show(pa.table({"media_id": ["' OR 1=1 --"], HOSTILE: [HOSTILE]})),
    ):
        text = gallery._repr_html_()
        inert(text)
        assert "\u202e" not in text
    assert "<script>alert(1)</script>" in inert(features.show(pa.table({"x": [HOSTILE]}))._repr_html_()).text


@pytest.mark.parametrize("n", [0, MOST + 1])
def test_a_page_that_would_be_too_long_is_refused(features: FeatureStore, n: int) -> None:
    with pytest.raises(StoreError, match=f"n = {n}.*1 to {MOST}"):
        features.table("frames").show(n=n)


def test_unknown_columns_and_wrong_conditions_are_named(features: FeatureStore) -> None:
    with pytest.raises(StoreError, match="frame_hight"):
        features.table("frames").show(columns=["frame_hight"])
    with pytest.raises(WhereError, match="frame_hight"):
        features.table("frames").show(where="frame_hight > 3")
