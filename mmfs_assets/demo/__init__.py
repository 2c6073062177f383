"""``mmfs demo``: the main job end to end, told step by step."""

from mmfs_assets.demo.story import run_demo

__all__ = ["run_demo"]
