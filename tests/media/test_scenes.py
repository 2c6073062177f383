"""Rendered scenes: the same every time, described truly, and as deep as geometry says."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mmfs.errors import MediaError
from mmfs.media.scenes import (
    HELD_OUT_PAIRS,
    Scene,
    canonical,
    captions,
    phrases,
    render,
    scene,
    scene_from_json,
    write_scenes,
)
from mmfs.media.scenes.raycast import intersect
from mmfs.media.scenes.render import camera_pose, pixel_grid
from mmfs.media.scenes.scene import HEIGHT, SHAPES, SPLITS, WIDTH, Thing


def test_a_scene_and_its_picture_are_functions_of_split_and_index() -> None:
    for split in SPLITS:
        assert scene(split, 7) == scene(split, 7)
        for one, two in zip(render(scene(split, 7), 0.5), render(scene(split, 7), 0.5), strict=True):
            np.testing.assert_array_equal(one, two)


def test_no_two_splits_share_a_scene() -> None:
    drawn = {split: {replace(scene(split, i), split="train", index=0) for i in range(200)} for split in SPLITS}
    assert all(len(scenes) == 200 for scenes in drawn.values())
    assert not drawn["train"] & drawn["test"]
    assert not (drawn["train"] | drawn["test"]) & drawn["pairs"]


@pytest.mark.parametrize("split", SPLITS)
def test_held_out_pairs_occur_in_their_own_split_only(split: str) -> None:
    seen = {(t.color, t.shape) for i in range(400) for t in scene(split, i).things}  # type: ignore[arg-type]
    if split == "pairs":
        assert seen == HELD_OUT_PAIRS
    else:
        assert not seen & HELD_OUT_PAIRS
        assert len(seen) == 8 * 5 - 8


def test_a_scene_survives_json() -> None:
    for i in range(20):
        drawn = scene("test", i)
        assert scene_from_json(json.loads(json.dumps(drawn.to_json()))) == drawn


def test_wrong_splits_indexes_and_attributes_are_refused() -> None:
    with pytest.raises(MediaError, match="splits"):
        scene("validation", 0)  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="-1"):
        scene("train", -1)
    with pytest.raises(MediaError, match="things"):
        scene_from_json({"split": "train"})


def test_captions_say_what_the_scene_holds() -> None:
    for i in range(100):
        drawn = scene("train", i)
        full, *parts = captions(drawn)
        for thing in drawn.things:
            assert f"{thing.size} {thing.color} {thing.shape}" in full
            assert any(part.split()[1:] == [thing.color, thing.shape] for part in parts)
        assert (drawn.relation is None) == (len(drawn.things) == 1)
        assert drawn.relation is None or f" {drawn.relation} " in full
        assert drawn.floor in full
        assert drawn.pattern in full or drawn.pattern == "plain"
        assert len({full, *parts}) == 1 + len(parts)
        assert {full, *parts} <= phrases(drawn)


def test_relations_agree_with_the_places() -> None:
    signs = {"left of": (0, -1), "right of": (0, 1), "in front of": (1, -1), "behind": (1, 1)}
    for i in range(200):
        drawn = scene("train", i)
        if drawn.relation is None:
            continue
        axis, sign = signs[drawn.relation]
        a, b = ((t.x_m, t.y_m) for t in drawn.things[:2])
        assert sign * (a[axis] - b[axis]) > 1.0


def test_synonyms_fold_to_the_captions_words() -> None:
    assert canonical("A tiny grey block on the ground") == "a small grey cube on the floor"


def _room(*things: Thing) -> Scene:
    return replace(scene("test", 0), things=things, relation=None, wall_m=4.0)


def test_floor_and_wall_are_as_deep_as_geometry_says() -> None:
    room = _room()
    _, depth = render(room, 0.4)
    origin, right, up, forward = (axis.astype(np.float64) for axis in camera_pose(room, 0.4))
    rows, cols = pixel_grid()
    for row, col in ((HEIGHT - 1, 3), (HEIGHT // 2, WIDTH // 2), (1, WIDTH - 2)):
        ray = forward + float(cols[col]) * right + float(rows[row]) * up
        floor = -origin[2] / ray[2] if ray[2] < 0 else np.inf
        wall = (room.wall_m - origin[1]) / ray[1]
        assert depth[row, col] == pytest.approx(min(floor, wall), rel=1e-5)


def test_a_sphere_is_nearest_by_its_radius_in_front_of_its_centre() -> None:
    ball = Thing("sphere", "red", "large", 0.0, 0.0, 0.5, 0.0, (1.0, 1.0, 1.0))
    room = _room(ball)  # the camera looks at a point 0.5 m above the middle of the floor: the ball's centre
    rgb, depth = render(room)
    middle = (slice(HEIGHT // 2 - 1, HEIGHT // 2 + 1), slice(WIDTH // 2 - 1, WIDTH // 2 + 1))
    np.testing.assert_allclose(depth[middle], room.camera.distance_m - 0.5, rtol=1e-4)
    red, green, _ = rgb[HEIGHT // 2, WIDTH // 2].astype(int)
    assert red > 2 * green


@pytest.mark.parametrize("shape", SHAPES)
def test_hits_lie_on_the_object_and_normals_face_the_ray(shape: str) -> None:
    rng = np.random.default_rng(0)
    target = np.column_stack([rng.uniform(-0.5, 0.5, (400, 2)), rng.uniform(0.0, 1.0, 400)]).astype(np.float32)
    origin = np.array([0.3, -4.0, 3.0], np.float32)
    ray = target - origin
    t, normal = intersect(shape, 0.5, origin, ray)  # type: ignore[arg-type]
    hit = np.isfinite(t)
    assert hit.sum() > 50
    points = origin + t[hit, None] * ray[hit]
    assert (np.abs(points[:, :2]) < 0.51).all()
    assert (points[:, 2] > -1e-3).all()
    assert (points[:, 2] < 1.01).all()
    np.testing.assert_allclose(np.linalg.norm(normal[hit], axis=1), 1.0, atol=5e-3)
    assert ((normal[hit] * ray[hit]).sum(1) < 1e-2).all()
    again, _ = intersect(shape, 0.5, origin, 2 * ray)  # type: ignore[arg-type]
    np.testing.assert_allclose(again[hit], t[hit] / 2, rtol=1e-3)


def test_written_files_are_the_same_bytes_and_rebuild_their_scenes(tmp_path: Path) -> None:
    listings = [write_scenes(tmp_path / name, split="test", images=3, videos=1) for name in ("one", "two")]
    files = [sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.*")) for n in ("one", "two")]
    assert files[0] == files[1]
    assert len(files[0]) == 3 + 1 + 1
    for file in files[0]:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    with listings[0].open(newline="") as text:
        rows = list(csv.DictReader(text))
    by_file: dict[str, list[str]] = {}
    for row in rows:
        rebuilt = scene_from_json(json.loads(row["attributes"])["scene"])
        by_file.setdefault(row["file"], []).append(row["caption"])
        assert row["caption"] in captions(rebuilt)
        assert row["licence"] == "CC0-1.0"
        assert row["creator"] == "mmfs scenes"
    assert {file: texts[0] for file, texts in by_file.items()} == {
        file: captions(scene("test", i))[0] for i, file in enumerate(by_file)
    }
    picture = np.asarray(Image.open(tmp_path / "one" / rows[0]["file"])).astype(int)
    assert np.abs(picture - render(scene("test", 0))[0]).mean() < 3


def test_seeds_share_no_files(tmp_path: Path) -> None:
    first = write_scenes(tmp_path / "a", split="train", images=2, videos=0, seed=0)
    second = write_scenes(tmp_path / "b", split="train", images=2, videos=0, seed=1)
    assert first.read_text() != second.read_text()
    with pytest.raises(MediaError, match="-1 images"):
        write_scenes(tmp_path, split="train", images=-1, videos=0)


def test_clips_have_the_scene_s_rate_and_length_and_move(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_scenes(tmp_path, split="test", images=0, videos=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    for index in range(2):
        drawn = scene("test", index)
        with av.open(str(tmp_path / f"videos/test-{index:07d}.mp4")) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            assert stream.codec_context.name == "h264"
            assert stream.average_rate == drawn.fps
            assert stream.duration is not None
            assert stream.time_base is not None
            assert stream.duration * stream.time_base == Fraction(drawn.duration_s)
        assert len(frames) == round(drawn.duration_s * drawn.fps)
        last = render(drawn, frames[-1].time)[0].astype(int)
        shown = frames[-1].to_ndarray(format="rgb24").astype(int)
        assert np.abs(shown - last).mean() < 6
        assert np.abs(last - render(drawn)[0]).mean() > 1
