"""The gallery shows hits as they are, and runs nothing that a caption or a name says."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmfs.codecs import decode_jpeg, jpeg_size
from mmfs.errors import SearchError
from mmfs.search import Hits, Searcher, build_index
from mmfs.search.gallery import MOST, Card, Gallery, Thumbnail
from mmfs.search.page import document
from mmfs.settings import Settings
from mmfs.store import Store
from tests.conftest import add_media
from tests.features.tiny import SHARD, add_frames
from tests.search.conftest import HOSTILE
from tests.search.inert import Reader, inert
from tests.search.world import add_depth

Ask = Callable[..., Hits]


def test_a_gallery_is_one_file_with_pictures_scores_times_and_captions(
    indexed: Store, ask: Ask, tmp_path: Path
) -> None:
    hits = ask(indexed, "red", k=13)
    path = hits.to_html(tmp_path / "new" / "hits.html")
    text = path.read_text(encoding="utf-8")
    seen = inert(text)
    pictures = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert len(pictures) == 13
    assert base64.b64decode(str(pictures[0]["src"]).partition(",")[2]).startswith(b"\xff\xd8")
    for shown in ("A red kite", "0:11.0", "10.video", f"{hits.table.column('score')[0].as_py():.3f}", "23 rows of"):
        assert shown in seen.text
    assert "http://" not in text
    assert "https://" not in text


def test_its_policy_allows_its_own_style_and_pictures_and_nothing_else() -> None:
    text = document("x", [], "")
    policy = next(a["content"] for tag, a in Reader(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_hostile_captions_are_shown_and_not_obeyed(indexed: Store, ask: Ask, tmp_path: Path) -> None:
    hits = ask(indexed, f"blue {HOSTILE}", k=3)
    for text in (hits.to_html(tmp_path / "hits.html").read_text(encoding="utf-8"), hits._repr_html_()):
        seen = inert(text)
        assert "<script>alert(1)</script>" in seen.text
        assert "\u202e" not in text
        assert "\x07" not in text


def sample(store: Store, n: int) -> Hits:
    return Searcher(store).sample(n, where=None, seed=0, grain="frame")


@given(st.text(), st.text(), st.text())
def test_no_text_becomes_markup(caption: str, uri: str, label: str) -> None:
    picture = Thumbnail(b"\xff\xd8", b"\xff\xd8", about=label)
    card = Card(picture, "k", score=0.5, caption=caption, uri=uri, time_s=61.0, facts=[(label, caption)])
    values = pa.table({"text": [caption], "other": [uri]}).rename_columns([label, caption])
    for gallery in (Gallery(label, [label], [card]), Gallery(label, [], values), Gallery("", [], [], caption)):
        inert(gallery._repr_html_())
        inert(document(label, [label], gallery._body()))


def test_an_empty_answer_says_so(indexed: Store, ask: Ask) -> None:
    assert "nothing matches" in inert(ask(indexed, "red", where="time_s > 100")._repr_html_()).text


def test_segments_show_their_time_range() -> None:
    card = Card(Thumbnail(), "k", 1.0, start_s=1.0, end_s=61.5)
    assert "0:01.0 to 1:01.5" in Gallery("x", [], [card])._repr_html_()


def test_a_sample_without_a_picture_says_so() -> None:
    assert "no picture" in inert(Gallery("x", [], [Card(Thumbnail(), "k")])._repr_html_()).text


def test_depth_stands_beside_the_frame_where_there_is_any(fresh: Store, ask: Ask) -> None:
    build_index(fresh, "colour_embeddings", ["000000", "000001"])
    assert "hits wide" not in ask(fresh, "red", k=20)._repr_html_()
    add_depth(fresh, "000001")
    pictures = [a for tag, a in inert(ask(fresh, "red", k=23)._repr_html_()).tags if tag == "img"]
    depths = [a for a in pictures if str(a["alt"]).startswith("depth, 1 (dark) to 4 (bright)")]
    assert (len(pictures), len(depths)) == (23 + 13, 13)
    shown = decode_jpeg(base64.b64decode(str(depths[0]["src"]).partition(",")[2]))
    assert shown[:, :4].mean() < 60 < 150 < shown[:, -4:].mean()


def test_large_frames_become_thumbnails(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings())
    add_frames(store, range(2), sizes=((600, 1200), (48, 64)))
    add_media(store, SHARD, range(2))
    shown = {
        jpeg_size(base64.b64decode(str(a["src"]).partition(",")[2]))
        for tag, a in inert(sample(store, 2)._repr_html_()).tags
        if tag == "img"
    }
    assert shown == {(160, 320), (48, 64)}


def test_a_page_holds_so_many_hits_and_says_where_the_others_are(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", settings=Settings())
    add_frames(store, range(MOST + 1))
    add_media(store, SHARD, range(MOST + 1))
    seen = inert(sample(store, MOST + 1)._repr_html_())
    assert sum(tag == "img" for tag, _ in seen.tags) == MOST
    assert f"the first {MOST} of {MOST + 1} hits; all of them are in hits.table" in seen.text
    assert "the first" not in inert(sample(store, MOST)._repr_html_()).text


def test_a_file_that_cannot_be_written_is_named(indexed: Store, ask: Ask, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="cannot be written"):
        ask(indexed, "red").to_html(tmp_path)
