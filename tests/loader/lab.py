"""Features of all kinds, small enough to be computed by hand: named in ``settings.features`` of the tests' store."""

from __future__ import annotations

from typing import Any

import mmfs

#: Media and frame of the rows that `Picky` cannot be computed for.
RAISES, NOT_FINITE = (3, 1), (4, 2)


@mmfs.feature(table="picky", grain="frame", inputs=["frames.image", "frames.media_id", "frames.frame_index"])
class Picky(mmfs.Feature):
    """Brightness of all frames but two."""

    outputs = {"brightness": mmfs.Scalar("float32")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Mean of all values."""
        rows = zip(batch["frames.media_id"], batch["frames.frame_index"], strict=True)
        keys = [(int(media, 16), index) for media, index in rows]
        if RAISES in keys:
            raise ValueError("no brightness of this frame")
        found = batch["frames.image"].float().mean(dim=(1, 2, 3))
        found[[key == NOT_FINITE for key in keys]] = float("nan")
        return {"brightness": found}


@mmfs.feature(
    table="motion",
    grain="frame",
    inputs=["frames.image", "frames.image@previous", "frames.time_s", "frames.time_s@previous"],
)
class Motion(mmfs.Feature):
    """Change since the frame before."""

    outputs = {"change": mmfs.Scalar("float32"), "step_s": mmfs.Scalar("float64")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Mean difference of pixels, and time between."""
        pixels, before = batch["frames.image"].float(), batch["frames.image@previous"].float()
        times = zip(batch["frames.time_s"], batch["frames.time_s@previous"], strict=True)
        return {
            "change": (pixels - before).abs().mean(dim=(1, 2, 3)),
            "step_s": [now - then for now, then in times],
        }


@mmfs.feature(table="nearness", grain="frame", inputs=["depth_maps.depth"])
class Nearness(mmfs.Feature):
    """How near the nearest point is, from depth maps."""

    outputs = {"near": mmfs.Vector(2, dtype="float32")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Least and mean depth."""
        depth = batch["depth_maps.depth"].flatten(1)
        import torch

        return {"near": torch.stack([depth.amin(dim=1), depth.mean(dim=1)], dim=1)}


@mmfs.feature(table="summary", grain="frame", inputs=["frames.time_s", "raw_media.kind", "raw_media.fps"])
class Summary(mmfs.Feature):
    """Words about a frame, also where the frame rate is not known."""

    outputs = {"text": mmfs.Text(), "is_known": mmfs.Scalar("bool")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One line a frame."""
        rows = zip(batch["frames.time_s"], batch["raw_media.kind"], batch["raw_media.fps"], strict=True)
        return {
            "text": [f"{kind} at {time_s} s, {fps} fps" for time_s, kind, fps in rows],
            "is_known": [fps is not None for fps in batch["raw_media.fps"]],
        }


@mmfs.feature(table="words", grain="caption", inputs=["captions.text"])
class Words(mmfs.Feature):
    """Length of a caption."""

    outputs = {"characters": mmfs.Scalar("int64")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Characters of each text."""
        return {"characters": [len(text) for text in batch["captions.text"]]}


@mmfs.feature(table="wordiness", grain="caption", inputs=["captions.text", "words.characters"])
class Wordiness(mmfs.Feature):
    """Characters a word, from two tables of captions."""

    outputs = {"ratio": mmfs.Scalar("float32")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One ratio a text."""
        rows = zip(batch["captions.text"], batch["words.characters"], strict=True)
        return {"ratio": [count / max(1, len(text.split())) for text, count in rows]}


@mmfs.feature(table="mirrored", grain="frame", inputs=["frames.image"])
class Mirrored(mmfs.Feature):
    """The frame, left to right."""

    outputs = {"image": mmfs.Blob("jpeg")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Pictures ``[H, W, 3]``."""
        return {"image": list(batch["frames.image"].flip(-1).permute(0, 2, 3, 1))}


@mmfs.feature(table="profile", grain="frame", inputs=["frames.image"])
class Profile(mmfs.Feature):
    """Brightness of every column of pixels."""

    outputs = {"values": mmfs.Blob("array16")}

    def compute(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Arrays ``[3, W]``."""
        return {"values": list(batch["frames.image"].float().mean(dim=2))}


@mmfs.feature(table="needy", grain="frame", inputs=["frames.time_s"])
class Needy(mmfs.Feature):
    """Needs a package that nobody has."""

    outputs = {"value": mmfs.Scalar()}

    def setup(self, device: str) -> None:
        """Import it."""
        import mmfs_no_such_package  # noqa: F401
