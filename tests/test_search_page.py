"""The page that teaches search and curation is followed block by block, on a small store of rendered scenes."""

from __future__ import annotations

import json
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from mmfs.cli.app import app
from mmfs.client import open_store
from mmfs.codecs import encode_jpeg
from mmfs.curation.duplicates_table import update_duplicates
from mmfs.features.registry import instantiate, registered
from mmfs.features.runner import run_feature
from mmfs.media.scenes import Scene, captions, render, scene
from mmfs.search import build_index
from mmfs.settings import DEMO_CLIP_DIR, ClipConfig, Settings
from mmfs.store import PackWriter, Store
from tests.search.world import media_id, replace

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "search.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
#: The page speaks of large stores; this one is small.
SMALLER = {"10_000": "100", "1_000": "12"}
SHARDS = ("000000", "000001")
SCENES, COPIES = 120, 8
#: Numbers of a vector of the demo model.
DIM = 192
#: Clips by number: their length and size, and the seconds in which something red is to be seen.
CLIPS = {1000: (16, 1280, 720, range(5, 9)), 1001: (12, 1920, 1080, range(0)), 1002: (6, 640, 360, range(6))}

Picture = npt.NDArray[np.uint8]


def is_red(shown: Scene) -> bool:
    return any(thing.color == "red" for thing in shown.things)


def drawn(number: int) -> Scene:
    """The scene of a picture; pictures from SCENES on are copies of the first ones."""
    return scene("test", number % SCENES)


def pictures() -> Iterator[tuple[int, int, Picture, int]]:
    """Media, frame, picture and JPEG quality."""
    for number in range(SCENES + COPIES):
        yield number, 0, render(drawn(number))[0], 90 if number < SCENES else 60
    others = [scene("test", index) for index in range(2 * SCENES, 4 * SCENES)]
    plain = [found for found in others if not is_red(found)]
    reds = [found for found in others if (found.things[0].color, found.things[0].size) == ("red", "large")]
    for clip, (length_s, _width, _height, seconds) in CLIPS.items():
        for second in range(length_s):
            shown = (reds if second in seconds else plain)[clip % 5]
            yield clip, second, render(shown, second / 8)[0], 90


def fill(store: Store) -> None:
    """Pictures of scenes, some of them twice, and three clips; vectors and hashes by the features that ship."""
    made = list(pictures())
    for number, shard in enumerate(SHARDS):
        frames: list[dict[str, Any]] = []
        with PackWriter(store.objects, "frames", shard) as packs:
            for media, index, picture, quality in made:
                if media % 2 != number:
                    continue
                packs.add(f"{media_id(media)}_{index:06d}.jpg", encode_jpeg(picture, quality=quality))
                key = {"media_id": media_id(media), "frame_index": index, "time_s": float(index), "fingerprint": "f"}
                height, width, _ = picture.shape
                frames.append({**key, "frame_width": width, "frame_height": height, "pts_us": index * 1_000_000})
            refs = packs.finish()
        for row, ref in zip(frames, refs, strict=True):
            row |= {"pack": ref.pack, "offset": ref.offset, "length": ref.length, "crc32": ref.crc32}
        here = [media for media in [*range(SCENES + COPIES), *CLIPS] if media % 2 == number]
        replace(store, "raw_media", shard, [raw_media(media) for media in here])
        replace(store, "frames", shard, frames)
        texts = [
            {"media_id": media_id(media), "caption_index": index, "text": text, "source": "list", "fingerprint": "c"}
            for media in here
            for index, text in enumerate(captions(drawn(media)) if media < 1000 else [f"clip {media}"])
        ]
        replace(store, "captions", shard, texts)
    for table in ("clip_embeddings", "text_embeddings", "frame_quality"):
        feature = instantiate(registered(store.settings)[table], store.settings)
        for shard in SHARDS:
            run_feature(store, feature, shard)
    for table in ("clip_embeddings", "text_embeddings"):
        build_index(store, table, SHARDS)
    update_duplicates(store)


def raw_media(number: int) -> dict[str, Any]:
    kind = "video" if number in CLIPS else "image"
    length_s, width, height, _ = CLIPS.get(number, (None, 320 - number % SCENES, 256, None))
    return {
        "media_id": media_id(number),
        "kind": kind,
        "uri": f"file:///media/{number}.{kind}",
        "sha256": media_id(number) * 2,
        "width": width,
        "height": height,
        "duration_s": None if length_s is None else float(length_s),
        "creator": "mmfs scenes",
        "licence": "CC0-1.0",
        "attributes": json.dumps({"scene": {}}),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page is followed: `data/store` is its store."""
    made = tmp_path_factory.mktemp("page")
    clip = ClipConfig(model=f"local-dir:{DEMO_CLIP_DIR}", pretrained=None)
    fill(Store.open(made / "data" / "store", settings=Settings(workers=1, device="cpu", clip=clip)))
    return made


@pytest.fixture(scope="module")
def followed(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What each block left behind, by the heading it stands under: all names after it, and what it printed."""
    printed: list[Any] = []
    trained: list[dict[str, Any]] = []
    names: dict[str, Any] = {"__name__": "page", "train": trained.append, "print": lambda *told: printed.append(told)}
    seen: dict[str, list[dict[str, Any]]] = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        for number, block in enumerate(BLOCKS):
            printed.clear()
            code = re.sub("|".join(SMALLER), lambda found: SMALLER[found[0]], block)
            exec(compile(code, f"docs/search.md, block {number}", "exec"), names)
            heading = re.findall(r"^#+ (.*)$", PAGE[: PAGE.index(block)], re.MULTILINE)[-1]
            seen.setdefault(heading, []).append({**names, "printed": list(printed), "trained": list(trained)})
    return seen


def numbers(table: Any) -> list[tuple[int, int]]:
    """Media and frame of each row."""
    return [
        (int(media, 16), int(index)) for media, _, index in (key.partition(":") for key in table["key"].to_pylist())
    ]


def shows_red(media: int, frame: int) -> bool:
    return frame in CLIPS[media][3] if media in CLIPS else is_red(drawn(media))


def shows_cube(media: int, _frame: int) -> bool:
    return media not in CLIPS and any(thing.shape == "cube" for thing in drawn(media).things)


def test_frames_that_show_something_come_first_and_a_floor_says_why_nothing_is_left(
    folder: Path, followed: dict[str, list[dict[str, Any]]]
) -> None:
    found, floor = followed["Frames that show something"]
    assert len(found["hits"]) == 20
    assert [shows_red(*key) for key in numbers(found["hits"].table)[:15]] == [True] * 15
    assert (folder / "red.html").read_text().count("data:image/jpeg;base64,") >= 20
    assert {"key", "score", "time_s", "uri", "caption", "kind", "width", "height", "duration_s", "licence"} <= set(
        found["hits"].table.column_names
    )
    assert len(floor["none"]) == 0
    assert floor["printed"] == [("the nearest scores 0.152, below min_score 0.99",)]
    assert "# the nearest scores 0.152" in PAGE


def test_what_is_not_wanted_moves_back_and_in_captions_is_no_hit(followed: dict[str, list[dict[str, Any]]]) -> None:
    before = numbers(followed["Frames that show something"][0]["hits"].table)
    by_vector, by_words = followed["Something, but not something else"]
    after = numbers(by_vector["hits"].table)
    assert sum(shows_cube(*key) for key in after) < sum(shows_cube(*key) for key in before)
    assert sum(shows_red(*key) for key in after) >= 15
    said = by_words["words"].table["caption"].to_pylist()
    assert "red cone" in said[0]
    assert not any("cube" in text for text in said)


def test_examples_are_answered_without_themselves_and_by_one_frame_a_media(
    followed: dict[str, list[dict[str, Any]]],
) -> None:
    [found] = followed["More like these, less like those"]
    named = {found["first"], found["second"], found["third"]}
    assert named.isdisjoint(found["near"].table["key"].to_pylist())
    assert len(found["near"]) == 10
    assert len(set(found["same"].table["media_id"].to_pylist())) == 5


def test_a_condition_on_the_media_holds_and_the_moment_is_found(followed: dict[str, list[dict[str, Any]]]) -> None:
    [long] = followed["Something in videos longer than 10 s, at 720 px or more"]
    assert {media for media, _ in numbers(long["hits"].table)} == {1000, 1001}
    assert [shows_red(*key) for key in numbers(long["hits"].table)[:5]] == [True] * 4 + [False]
    [moment] = followed["When does it happen in the video?"]
    [(start_s, end_s, score)] = moment["printed"]
    assert f"# {start_s} {end_s} {score:.3f}" in PAGE
    assert (start_s, end_s) == (CLIPS[1000][3][0], CLIPS[1000][3][-1])


def test_the_most_different_frames_are_of_the_subset_and_say_how_well_they_cover_it(
    followed: dict[str, list[dict[str, Any]]],
) -> None:
    [found] = followed["The 1,000 most different frames of something"]
    store, chosen = found["store"], found["chosen"]
    reds = store.subset("reds").to_arrow()
    assert set(chosen["key"].to_pylist()) < set(reds["key"].to_pylist())
    figures = store.curate.figures(chosen)
    assert figures["vectors"] == reds.num_rows
    assert 0 < figures["mean_distance"] < figures["radius"] < 1
    assert store.subset("different-reds").to_arrow()["query"][0].as_py().startswith("diverse(n=12, ")


def test_copies_are_found_and_one_of_each_is_kept(followed: dict[str, list[dict[str, Any]]]) -> None:
    found, asset = followed["Remove near duplicates"]
    groups = dict(zip(numbers(found["found"]), found["found"]["group_key"].to_pylist(), strict=True))
    assert all(groups[number, 0] == groups[SCENES + number, 0] for number in range(COPIES))
    kept = set(numbers(found["store"].subset("distinct").to_arrow()))
    assert all(len(kept & {(number, 0), (SCENES + number, 0)}) == 1 for number in range(COPIES))
    assert asset["store"].pinned("distinct-frames").samples == len(kept)


def test_leaks_are_named_and_taken_out(followed: dict[str, list[dict[str, Any]]]) -> None:
    [found] = followed["What in my training set is close to my evaluation set?"]
    leaks, store = found["leaks"], found["store"]
    assert {"same media", "vector"} == set(leaks["reason"].to_pylist())
    held = {name: set(store.subset(name).to_arrow()["key"].to_pylist()) for name in ("train", "eval", "train-clean")}
    assert held["train-clean"] == held["train"] - set(leaks["key"].to_pylist())
    assert held["train-clean"].isdisjoint(held["eval"])
    assert set(store.subset("train-clean").to_arrow()["grain"].to_pylist()) == {"frame"}


def test_a_distribution_counts_every_sample_once(followed: dict[str, list[dict[str, Any]]]) -> None:
    [found] = followed["How is my data distributed?"]
    frames = {"image": SCENES + COPIES, "video": sum(clip[0] for clip in CLIPS.values())}
    assert found["kinds"].to_pylist() == [{"value": kind, "rows": rows} for kind, rows in frames.items()]
    assert sum(found["widths"]["samples"].to_pylist()) == SCENES + COPIES + len(CLIPS)
    [(figures,)] = found["printed"]
    assert {"min", "p01", "p99", "max", "mean"} <= set(figures)
    assert found["topics"].num_rows == sum(frames.values())
    assert len(found["strange"]) == 20
    assert found["even"].num_rows == 24


def test_what_was_found_is_pinned_and_trained_on_with_where_it_came_from(
    folder: Path, followed: dict[str, list[dict[str, Any]]]
) -> None:
    loop, _ = followed["Save this, pin it, train on it"]
    pinned = set(loop["store"].subset("red-pictures").to_arrow()["key"].to_pylist())
    seen = [
        key
        for batch in loop["trained"]
        for key, valid in zip(batch["_key"], batch["_valid"].tolist(), strict=True)
        if valid
    ]
    assert sorted(seen) == sorted(pinned)
    assert len(seen) == 100
    assert loop["trained"][0]["frames.image"].shape == (32, 3, 224, 224)
    provenance = json.loads(loop["store"].subset("red-pictures").to_arrow()["source_versions"][0].as_py())
    assert set(provenance) == {"clip_embeddings"}


def test_the_commands_of_the_page_do_the_same(
    folder: Path, followed: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    [shell] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in shell.strip().splitlines():
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, (line, done.output)
    assert followed
    assert open_store().pinned("red-2").samples == 12


def test_every_condition_of_the_page_is_one_and_the_plan_says_how_it_is_answered(
    folder: Path, followed: dict[str, list[dict[str, Any]]]
) -> None:
    table = PAGE[PAGE.index("| you write |") :].partition("\n\n")[0]
    conditions = [found for line in table.splitlines()[2:] for found in re.findall(r"`([^`]+)`", line.split(" | ")[0])]
    assert len(conditions) >= 10
    store = open_store(folder / "data" / "store")
    plans = {where: store.search(vector=[1.0] * DIM, where=where, k=1).info.plan for where in conditions}
    assert plans["width >= 720"] == "condition in the index"
    assert "by SQL" in plans["width * height > 1e5"]
    [asked] = followed["What `hits.info` says"]
    assert "partly in the index, by SQL" in asked["printed"][0][0]
    told = PAGE[PAGE.index("| field |") :].partition("\n\n")[0]
    fields = [name for line in told.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split(" | ")[0])]
    assert {"plan", "exact", "lag_rows", "label"} < set(fields)
    assert [name for name in fields if not hasattr(asked["hits"].info, name)] == []


def test_every_file_that_the_page_names_exists() -> None:
    docs = Path(__file__).resolve().parents[1] / "docs"
    named = re.findall(r"\]\(([\w./-]+\.md)", PAGE)
    assert len(named) >= 4
    assert [name for name in named if not (docs / name).exists()] == []
