"""Rendered demo media: small 3-D scenes with exact captions and depth, a pure function of split and index."""

from mmfs.media.scenes.describe import canonical, captions, phrases
from mmfs.media.scenes.render import render
from mmfs.media.scenes.scene import HELD_OUT_PAIRS, Camera, Scene, Split, Thing, scene, scene_from_json
from mmfs.media.scenes.write import write_scenes

__all__ = [
    "HELD_OUT_PAIRS",
    "Camera",
    "Scene",
    "Split",
    "Thing",
    "canonical",
    "captions",
    "phrases",
    "render",
    "scene",
    "scene_from_json",
    "write_scenes",
]
