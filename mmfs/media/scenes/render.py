"""From a scene and a time to a picture and its exact depth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mmfs.media.scenes.raycast import Floats, intersect
from mmfs.media.scenes.scene import FOCAL, HEIGHT, LOOK_AT_M, WIDTH, Color, Scene, Thing, half_height_m

_OBJECT_RGB: dict[Color, tuple[int, int, int]] = {
    "red": (225, 30, 35),
    "green": (35, 190, 60),
    "blue": (35, 75, 235),
    "yellow": (250, 225, 30),
    "purple": (145, 45, 190),
    "orange": (255, 130, 15),
    "white": (250, 250, 250),
    "black": (28, 28, 32),
}
_FLOOR_RGB = {
    "grey": (135, 135, 138),
    "brown": (125, 88, 58),
    "green": (105, 150, 95),
    "blue": (95, 130, 175),
    "pink": (225, 160, 175),
}
_WALL_RGB = {
    "white": (225, 225, 220),
    "blue": (130, 175, 225),
    "brown": (165, 130, 100),
    "green": (150, 195, 150),
}
_AMBIENT, _DIFFUSE, _SHADOW = 0.42, 0.62, 0.55


def render(scene: Scene, time_s: float = 0.0) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draws a scene as its camera sees it at a time.

    Args: time_s: seconds from the clip's start; a still is time 0. Times outside the clip extend its motion.
    Returns: the picture, uint8 [256, 320, 3] (RGB), and the depth of each pixel's centre along the camera's
    axis in metres, float32 [256, 320]; every ray meets something, so all depths are finite.
    """
    origin, right, up, forward = camera_pose(scene, time_s)
    rows, cols = pixel_grid()
    # The component along the axis is 1, so the ray parameter is the depth itself.
    direction = forward + cols[None, :, None] * right + rows[:, None, None] * up
    with np.errstate(divide="ignore"):
        floor = np.where(direction[..., 2] < 0, -origin[2] / direction[..., 2], np.float32(np.inf))
    wall = (np.float32(scene.wall_m) - origin[1]) / direction[..., 1]
    depth: Floats = np.minimum(floor, wall).astype(np.float32)
    x, y = (origin[i] + depth * direction[..., i] for i in (0, 1))
    rgb = _floor_rgb(scene, x, y)
    on_wall = wall < floor
    rgb[on_wall] = _wall_rgb(scene, origin[2] + depth[on_wall] * direction[on_wall, 2])
    sun = np.array(scene.sun, np.float32)
    axes = (right, up, forward)
    for thing in scene.things:
        # The shadow's middle is where a ray from the sun through the object's middle meets the floor.
        half, reach = half_height_m(thing.shape, thing.radius_m), 1.4 * thing.radius_m / float(sun[2])
        middle = (thing.x_m - float(sun[0] / sun[2]) * half, thing.y_m - float(sun[1] / sun[2]) * half)
        window = _window(middle, reach, 0.0, origin=origin, axes=axes)
        _cast_shadow(thing, sun, x[window], y[window], rgb=rgb[window], lit=~on_wall[window])
    for thing in scene.things:
        tall = 2 * half_height_m(thing.shape, thing.radius_m)
        window = _window((thing.x_m, thing.y_m), 1.3 * thing.radius_m, tall, origin=origin, axes=axes)
        _draw(thing, sun, origin, direction[window], depth=depth[window], rgb=rgb[window])
    return np.clip(rgb, 0, 255).astype(np.uint8), depth


def camera_pose(scene: Scene, time_s: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Where the camera is and how it is turned: position in metres, unit right, up, forward, float32 [3]."""
    camera, share = scene.camera, time_s / scene.duration_s
    azimuth = math.radians(camera.azimuth_deg + camera.sweep_deg * share)
    elevation = math.radians(camera.elevation_deg)
    distance = camera.distance_m * (1 + (camera.dolly - 1) * share)
    forward = np.array(
        [
            -math.sin(azimuth) * math.cos(elevation),
            math.cos(azimuth) * math.cos(elevation),
            -math.sin(elevation),
        ]
    )
    right = np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
    origin = np.array([0.0, 0.0, LOOK_AT_M]) - distance * forward
    up = np.cross(right, forward)
    return (
        origin.astype(np.float32),
        right.astype(np.float32),
        up.astype(np.float32),
        forward.astype(np.float32),
    )


def pixel_grid() -> tuple[Floats, Floats]:
    """Slopes of the pixel centres: up per row, float32 [256], right per column, float32 [320]."""
    rows = (HEIGHT / 2 - np.arange(HEIGHT) - 0.5) / (FOCAL * HEIGHT)
    cols = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / (FOCAL * HEIGHT)
    return rows.astype(np.float32), cols.astype(np.float32)


def _floor_rgb(scene: Scene, x: Floats, y: Floats) -> Floats:
    """Colour of the floor at points x, y [H, W] in metres: float32 [H, W, 3]."""
    light = np.ones_like(x)
    if scene.pattern != "plain":
        angle = math.radians(scene.pattern_deg)
        cos, sin = (
            np.float32(math.cos(angle) / scene.pattern_m),
            np.float32(math.sin(angle) / scene.pattern_m),
        )
        step = np.floor(x * cos + y * sin)
        if scene.pattern == "checkered":
            step = step + np.floor(y * cos - x * sin)
        light = np.where(step % 2 == 0, np.float32(1.12), np.float32(0.68))
    rgb: Floats = light[..., None] * np.array(_FLOOR_RGB[scene.floor], np.float32)
    return rgb


def _wall_rgb(scene: Scene, z: Floats) -> Floats:
    """Colour of the wall at heights z [N] in metres: float32 [N, 3]."""
    fade = np.clip(np.float32(0.78) + np.float32(0.08) * z, 0.5, 1.1)
    rgb: Floats = fade[..., None] * np.array(_WALL_RGB[scene.wall], np.float32)
    return rgb


def _to_local(thing: Thing, vectors: Floats, *, points: bool) -> Floats:
    """World vectors [N, 3] (or points, which also move) in the object's own frame."""
    angle = math.radians(thing.yaw_deg)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)
    moved = vectors - np.array([thing.x_m, thing.y_m, 0], np.float32) if points else vectors
    local: Floats = moved @ turn
    return local


def _cast_shadow(thing: Thing, sun: Floats, x: Floats, y: Floats, *, rgb: Floats, lit: NDArray[np.bool_]) -> None:
    """Darkens `rgb` [H, W, 3] where the object hides the sun from the floor points x, y [H, W] that are `lit`.

    Walls and other objects get no shadow.
    """
    starts = np.stack([x[lit], y[lit], np.zeros(int(lit.sum()), np.float32)], 1)
    rays = np.tile(_to_local(thing, sun, points=False), (len(starts), 1))
    t, _ = intersect(thing.shape, thing.radius_m, _to_local(thing, starts, points=True), rays)
    rgb[lit] *= np.where(np.isfinite(t), np.float32(_SHADOW), np.float32(1))[:, None]


def _draw(thing: Thing, sun: Floats, origin: Floats, rays: Floats, *, depth: Floats, rgb: Floats) -> None:
    """Paints one object over `rgb` [H, W, 3] and `depth` [H, W] where it is nearer than what is there."""
    flat = _to_local(thing, rays.reshape(-1, 3), points=False)
    t, normal = intersect(thing.shape, thing.radius_m, _to_local(thing, origin, points=True), flat)
    t, normal = t.reshape(rays.shape[:2]), normal.reshape(rays.shape)
    hit = t < depth
    toward = _to_local(thing, sun, points=False)
    facing = np.clip(normal[hit] @ toward, 0, 1)
    light = np.float32(_AMBIENT) + np.float32(_DIFFUSE) * facing
    base = np.array(_OBJECT_RGB[thing.color], np.float32) * np.array(thing.tint, np.float32)
    # A small highlight shows the curve of dark objects, whose shading alone is lost in the JPEG.
    shine = np.float32(45) * facing**12
    rgb[hit] = light[:, None] * base + shine[:, None]
    depth[hit] = t[hit]


def _window(
    middle: tuple[float, float],
    reach: float,
    tall: float,
    *,
    origin: Floats,
    axes: tuple[Floats, Floats, Floats],
) -> tuple[slice, slice]:
    """Rows and columns that hold the image of a box on the floor.

    Args: middle: its x and y. reach: half its width. tall: its height; all in metres.
    """
    corners = np.array([(x, y, z) for x in (-reach, reach) for y in (-reach, reach) for z in (0.0, tall)])
    corners += (middle[0], middle[1], 0.0)
    right, up, forward = ((corners - origin) @ np.stack(axes, 1)).T
    cols = FOCAL * HEIGHT * right / forward + WIDTH / 2
    rows = HEIGHT / 2 - FOCAL * HEIGHT * up / forward
    return (
        slice(int(np.clip(rows.min() - 1, 0, HEIGHT)), int(np.clip(rows.max() + 2, 0, HEIGHT))),
        slice(int(np.clip(cols.min() - 1, 0, WIDTH)), int(np.clip(cols.max() + 2, 0, WIDTH))),
    )
