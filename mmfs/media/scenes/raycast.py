"""Where rays meet the objects: one function a shape, exact geometry, no colours.

Every object is in its own frame: centred on the vertical axis through the origin, standing on z = 0, half as
wide as `radius`. A ray is `origin + t * direction`; directions need not have unit length, so t keeps the
caller's unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmfs.media.scenes.scene import RING_TUBE, Shape

Floats = NDArray[np.float32]
Hit = tuple[Floats, Floats]
_Solver = Callable[[np.float32, Floats, Floats], tuple[NDArray[Any], NDArray[Any]]]
_NEAR = 1e-4
_TRACE_STEPS = 32


def intersect(shape: Shape, radius: float, origin: Floats, direction: Floats) -> Hit:
    """First hit of each ray with an object.

    Args: radius in metres. origin: float32 [3] or [N, 3]. direction: float32 [N, 3].
    Returns: t, float32 [N], inf where the ray misses; the outward normal there, float32 [N, 3], unit length
    (arbitrary where it misses).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        t, normal = _SHAPES[shape](np.float32(radius), np.broadcast_to(origin, direction.shape), direction)
    return t.astype(np.float32), normal.astype(np.float32)


def _sphere(radius: np.float32, o: Floats, d: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
    center = np.array([0, 0, radius], np.float32)
    rel = o - center
    t = _near_root((d * d).sum(1), (rel * d).sum(1), (rel * rel).sum(1) - radius**2)
    return t, (rel + _finite(t)[:, None] * d) / radius


def _cube(radius: np.float32, o: Floats, d: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
    # A cube as wide as the other shapes would look larger than they do, since its corners reach further.
    half = np.float32(0.86) * radius
    rel = o - np.array([0, 0, half], np.float32)
    near, far = (-half * np.sign(d) - rel) / d, (half * np.sign(d) - rel) / d
    axis = near.argmax(1)
    t = near.max(1)
    t = np.where((t <= far.min(1)) & (t > _NEAR), t, np.float32(np.inf))
    normal = np.zeros_like(d)
    rows = np.arange(len(d))
    normal[rows, axis] = -np.sign(d[rows, axis])
    return t, normal


def _cylinder(radius: np.float32, o: Floats, d: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
    wide, tall = np.float32(0.8) * radius, 2 * radius
    a = (d[:, :2] ** 2).sum(1)
    side = _near_root(a, (o[:, :2] * d[:, :2]).sum(1), (o[:, :2] ** 2).sum(1) - wide**2)
    z = o[:, 2] + _finite(side) * d[:, 2]
    side = np.where((z >= 0) & (z <= tall), side, np.float32(np.inf))
    top = (tall - o[:, 2]) / d[:, 2]
    on_top = ((o[:, :2] + top[:, None] * d[:, :2]) ** 2).sum(1) <= wide**2
    top = np.where(on_top & (top > _NEAR), top, np.float32(np.inf))
    t = np.minimum(side, top)
    normal = (o + _finite(t)[:, None] * d) / wide
    normal[:, 2] = 0
    normal[top < side] = (0, 0, 1)
    return t, normal


def _cone(radius: np.float32, o: Floats, d: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
    # The base lies on the floor and is never seen, and a ray to the sun that meets the cone crosses its side.
    tall = 2 * radius
    slope2 = np.float32((radius / tall) ** 2)
    below = o[:, 2] - tall  # height from the apex, negative inside the cone
    a = (d[:, :2] ** 2).sum(1) - slope2 * d[:, 2] ** 2
    b = (o[:, :2] * d[:, :2]).sum(1) - slope2 * below * d[:, 2]
    c = (o[:, :2] ** 2).sum(1) - slope2 * below**2
    root = np.sqrt(b * b - a * c)
    t = np.full(len(d), np.inf, np.float32)
    for candidate in ((-b - root) / a, (-b + root) / a):
        z = o[:, 2] + candidate * d[:, 2]
        good = (z >= 0) & (z <= tall) & (candidate > _NEAR)
        t = np.where(good & (candidate < t), candidate, t)
    point = o + _finite(t)[:, None] * d
    normal = np.stack([point[:, 0], point[:, 1], slope2 * (tall - point[:, 2])], 1)
    return t, normal / np.maximum(np.sqrt((normal * normal).sum(1, keepdims=True)), np.float32(1e-9))


def _ring(radius: np.float32, o: Floats, d: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
    # A quartic has no stable closed form in float32: walk the distance field, which never oversteps.
    tube = np.float32(RING_TUBE) * radius
    middle = radius - tube
    length = np.sqrt((d * d).sum(1))
    unit = d / length[:, None]
    rel = o - np.array([0, 0, tube], np.float32)
    nearest = -(rel * unit).sum(1)
    aside = (rel * rel).sum(1) - nearest**2
    half_chord = np.sqrt(np.maximum(radius**2 - aside, 0))
    t = np.full(len(d), np.inf, np.float32)
    normal = np.zeros_like(d)
    # Only rays through the bounding sphere walk, and only between its two walls.
    rows = np.flatnonzero((half_chord > 0) & (nearest + half_chord > _NEAR))
    s, end = np.maximum(nearest - half_chord, 0)[rows], (nearest + half_chord)[rows]
    # Along a ray the squared distance from the axis is a parabola in s, and the height a line.
    c0, c1 = (rel[rows, :2] ** 2).sum(1), 2 * (rel[rows, :2] * unit[rows, :2]).sum(1)
    c2, z0, z1 = (unit[rows, :2] ** 2).sum(1), rel[rows, 2], unit[rows, 2]
    gap = np.zeros_like(s)
    for _ in range(_TRACE_STEPS):
        off = np.sqrt(np.maximum(c0 + s * (c1 + s * c2), 0)) - middle
        z = z0 + s * z1
        gap = np.sqrt(off * off + z * z) - tube
        s = np.minimum(s + gap, end)
    hit = (gap < 1e-3) & (s > _NEAR)
    rows, s = rows[hit], s[hit]
    t[rows] = s / length[rows]
    point = rel[rows] + s[:, None] * unit[rows]
    normal[rows] = point / tube
    normal[rows, :2] -= point[:, :2] * (middle / tube / np.sqrt((point[:, :2] ** 2).sum(1)))[:, None]
    return t, normal


def _near_root(a: Floats, b: Floats, c: Floats) -> Floats:
    """The smaller positive root of a t^2 + 2 b t + c, inf where there is none."""
    t = (-b - np.sqrt(b * b - a * c)) / a
    return np.where(t > _NEAR, t, np.float32(np.inf)).astype(np.float32)


def _finite(t: Floats) -> Floats:
    return np.where(np.isfinite(t), t, np.float32(0))


_SHAPES: dict[Shape, _Solver] = {
    "cube": _cube,
    "sphere": _sphere,
    "cylinder": _cylinder,
    "cone": _cone,
    "ring": _ring,
}
