"""What a rendered scene is made of, and how one is drawn from a split and an index.

Axes are right-handed, in metres: x to the right, y away from the camera, z up, the floor at z = 0. Relations
are read along those axes, and the camera never turns far enough to change them, so a caption holds for a
whole clip.
"""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar, get_args

from mmfs.errors import MediaError

_T = TypeVar("_T")
Split = Literal["train", "test", "pairs"]
Shape = Literal["cube", "sphere", "cylinder", "cone", "ring"]
Color = Literal["red", "green", "blue", "yellow", "purple", "orange", "white", "black"]
Size = Literal["small", "large"]
Relation = Literal["left of", "right of", "in front of", "behind"]
Pattern = Literal["plain", "checkered", "striped"]
FloorColor = Literal["grey", "brown", "green", "blue", "pink"]
WallColor = Literal["white", "blue", "brown", "green"]

SPLITS: tuple[Split, ...] = get_args(Split)
SHAPES: tuple[Shape, ...] = get_args(Shape)
COLORS: tuple[Color, ...] = get_args(Color)
SIZES: tuple[Size, ...] = get_args(Size)
RELATIONS: tuple[Relation, ...] = get_args(Relation)
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
FLOOR_COLORS: tuple[FloorColor, ...] = get_args(FloorColor)
WALL_COLORS: tuple[WallColor, ...] = get_args(WallColor)

# One shape of every colour, each shape once or twice: never rendered in "train" or "test".
HELD_OUT_PAIRS: frozenset[tuple[Color, Shape]] = frozenset(
    (color, SHAPES[(2 * i) % len(SHAPES)]) for i, color in enumerate(COLORS)
)
WIDTH, HEIGHT = 320, 256
RING_TUBE = 0.3  # the radius of a ring's tube over its outer radius
FOCAL = 1.15  # focal length over the frame's height: a vertical field of view of 47 degrees
LOOK_AT_M = 0.5  # height of the point the camera looks at, above the middle of the floor
_RADIUS_M: dict[Size, float] = {"small": 0.45, "large": 0.78}


@dataclass(frozen=True)
class Thing:
    """One object that stands on the floor.

    Attributes: shape, color, size: closed sets. x_m, y_m: where it stands. radius_m: half its width and half
    its height (a ring is flatter). yaw_deg: its turn about the vertical. tint: factors on its red, green and
    blue.
    """

    shape: Shape
    color: Color
    size: Size
    x_m: float
    y_m: float
    radius_m: float
    yaw_deg: float
    tint: tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at a point above the middle of the floor.

    Attributes: distance_m to that point at time 0. elevation_deg above the floor. azimuth_deg at time 0.
    sweep_deg: how far it turns about the point over the clip. dolly: factor on the distance at the clip's
    end.
    """

    distance_m: float
    elevation_deg: float
    azimuth_deg: float
    sweep_deg: float
    dolly: float


@dataclass(frozen=True)
class Scene:
    """Everything `render` needs; it survives JSON (`to_json`, `scene_from_json`).

    `relation` reads "things[0] is <relation> things[1]" and is None for a single object.
    """

    split: Split
    index: int
    things: tuple[Thing, ...]
    relation: Relation | None
    floor: FloorColor
    pattern: Pattern
    pattern_deg: float
    pattern_m: float
    wall: WallColor
    wall_m: float
    sun: tuple[float, float, float]
    camera: Camera
    duration_s: float
    fps: int

    def to_json(self) -> dict[str, Any]:
        """The scene as JSON-able values (tuples become lists)."""
        return asdict(self)


def half_height_m(shape: Shape, radius_m: float) -> float:
    """Half the height of an object in metres: half its width, but for the flat ring."""
    return RING_TUBE * radius_m if shape == "ring" else radius_m


def scene_from_json(value: dict[str, Any]) -> Scene:
    """The scene that `Scene.to_json` wrote, whether or not it went through JSON text.

    >>> scene_from_json(scene("test", 3).to_json()) == scene("test", 3)
    True
    """
    try:
        things = tuple(Thing(**{**thing, "tint": tuple(thing["tint"])}) for thing in value["things"])
        rest = {**value, "things": things, "sun": tuple(value["sun"]), "camera": Camera(**value["camera"])}
        return Scene(**rest)
    except (KeyError, TypeError) as error:
        raise MediaError(
            f"these attributes hold no rendered scene: {error!r}", mend="pass the 'scene' of write_scenes"
        ) from error


def scene(split: Split, index: int) -> Scene:
    """The scene of a split at an index: a pure function of both.

    "train" and "test" never show a pair of `HELD_OUT_PAIRS`, "pairs" shows nothing else. No two splits share
    a scene, since the split seeds the draw. Raises MediaError for an unknown split or a negative index.

    >>> scene("train", 5) == scene("train", 5)
    True
    """
    if split not in SPLITS or index < 0:
        raise MediaError(f"no scene {index} in split {split!r}", mend=f"splits: {SPLITS}, indexes from 0")
    rng = random.Random(f"mmfs scenes 1:{split}:{index}")  # a text seed is hashed the same everywhere
    camera = _draw_camera(rng)
    count = 1 + (rng.random() < 0.85) + (rng.random() < 0.35)
    relation = _pick(rng, RELATIONS) if count > 1 else None
    # Only the places are drawn again until all is in frame and apart, so crowded scenes stay as common.
    looks = _draw_looks(rng, split, count)
    while True:
        things = _place(rng, looks, relation)
        if things is not None and _all_visible(things, camera):
            break
    angle, tilt = rng.uniform(0.0, 2 * math.pi), math.radians(rng.uniform(50.0, 70.0))
    sun = (math.cos(angle) * math.cos(tilt), -abs(math.sin(angle)) * math.cos(tilt), math.sin(tilt))
    return Scene(
        split=split,
        index=index,
        things=things,
        relation=relation,
        floor=_pick(rng, FLOOR_COLORS),
        pattern=_pick(rng, PATTERNS),
        pattern_deg=_round(rng.uniform(-25.0, 25.0)),
        pattern_m=_round(rng.uniform(0.8, 1.2)),
        wall=_pick(rng, WALL_COLORS),
        wall_m=_round(rng.uniform(2.8, 5.5)),
        sun=(_round(sun[0]), _round(sun[1]), _round(sun[2])),
        camera=camera,
        duration_s=rng.choice((2.0, 2.5, 3.0, 4.0)),
        fps=rng.choice((8, 10, 12)),
    )


def _round(value: float) -> float:
    return round(value, 4)


def _pick(rng: random.Random, values: tuple[_T, ...]) -> _T:
    return values[int(rng.random() * len(values))]


def _draw_camera(rng: random.Random) -> Camera:
    orbits = rng.random() < 0.6
    sweep = rng.choice((-1.0, 1.0)) * rng.uniform(12.0, 20.0) if orbits else 0.0
    return Camera(
        distance_m=_round(rng.uniform(5.2, 6.8)),
        elevation_deg=_round(rng.uniform(24.0, 34.0)),
        azimuth_deg=_round(-sweep / 2 if orbits else rng.uniform(-8.0, 8.0)),
        sweep_deg=_round(sweep),
        dolly=1.0 if orbits else _round(rng.uniform(0.85, 1.15)),
    )


def _draw_looks(rng: random.Random, split: Split, count: int) -> list[Thing]:
    """Objects that still stand at the origin, no two of one colour and shape."""
    pairs = [(c, s) for c in COLORS for s in SHAPES if ((c, s) in HELD_OUT_PAIRS) == (split == "pairs")]
    looks = []
    for color, shape in rng.sample(pairs, count):
        size = _pick(rng, SIZES)
        radius_m = _round(_RADIUS_M[size] * rng.uniform(0.93, 1.07))
        red, green, blue = (_round(rng.uniform(0.85, 1.0)) for _ in range(3))
        yaw_deg = _round(rng.uniform(0.0, 90.0))
        looks.append(Thing(shape, color, size, 0.0, 0.0, radius_m, yaw_deg, (red, green, blue)))
    return looks


def _place(rng: random.Random, looks: list[Thing], relation: Relation | None) -> tuple[Thing, ...] | None:
    """The objects at random places, or None where the relation does not hold there."""
    places = [(_round(rng.uniform(-2.1, 2.1)), _round(rng.uniform(-1.8, 2.0))) for _ in looks]
    if relation is not None and not _holds(relation, places[0], places[1]):
        return None
    return tuple(replace(thing, x_m=x, y_m=y) for thing, (x, y) in zip(looks, places, strict=True))


def _holds(relation: Relation, a: tuple[float, float], b: tuple[float, float]) -> bool:
    """True where the relation is plain to see: a clear gap along its axis, a smaller one across it."""
    right, away = a[0] - b[0], a[1] - b[1]
    along, across = (right, away) if relation in ("left of", "right of") else (away, right)
    signed = along if relation in ("right of", "behind") else -along
    return signed > 1.0 and abs(across) < 0.6 * signed


def _all_visible(things: tuple[Thing, ...], camera: Camera) -> bool:
    """True when the frame's middle square holds every object throughout, and no two overlap much at time 0.

    The middle square, because that is what a centre crop leaves of the frame.
    """
    discs = [_disc(thing, camera, 0.0) for thing in things]
    for u, v, r in discs + [_disc(thing, camera, 1.0) for thing in things]:
        if abs(u) + 0.8 * r > 0.5 or abs(v) + r > 0.5:
            return False
    for i, (u, v, r) in enumerate(discs):
        for j in range(i):
            a, b = things[i], things[j]
            if math.hypot(a.x_m - b.x_m, a.y_m - b.y_m) < 1.3 * (a.radius_m + b.radius_m):
                return False
            if math.hypot(u - discs[j][0], v - discs[j][1]) < 0.95 * (r + discs[j][2]):
                return False
    return True


def _disc(thing: Thing, camera: Camera, share: float) -> tuple[float, float, float]:
    """Centre (right, up) and radius of an object's image, in frame heights from the frame's middle.

    Args: share: how much of the clip has passed, 0 to 1.
    """
    azimuth = math.radians(camera.azimuth_deg + camera.sweep_deg * share)
    elevation = math.radians(camera.elevation_deg)
    right = thing.x_m * math.cos(azimuth) + thing.y_m * math.sin(azimuth)
    away = thing.y_m * math.cos(azimuth) - thing.x_m * math.sin(azimuth)
    above = half_height_m(thing.shape, thing.radius_m) - LOOK_AT_M
    distance = camera.distance_m * (1 + (camera.dolly - 1) * share)
    depth = distance + away * math.cos(elevation) - above * math.sin(elevation)
    up = away * math.sin(elevation) + above * math.cos(elevation)
    return FOCAL * right / depth, FOCAL * up / depth, FOCAL * thing.radius_m / depth
