"""Numbers and a text about a frame from columns alone: no picture is opened, no model is loaded.

From the repository's folder::

    export PYTHONPATH=. MMFS_FEATURES=examples.aspect_ratio
    mmfs materialize aspect_ratios
    mmfs sql "SELECT orientation, count(*) FROM aspect_ratios GROUP BY orientation"

Then ``where="ratio > 1.7"`` works in searches, pins and loaders, too.
"""

import mmfs


@mmfs.feature(table="aspect_ratios", grain="frame", inputs=["frames.frame_width", "frames.frame_height"])
class AspectRatio(mmfs.Feature):
    """Width over height of a frame, and which side is the longer one."""

    needs_gpu = False
    outputs = {
        "ratio": mmfs.Scalar("float32", "Width over height."),
        "orientation": mmfs.Text("landscape, portrait or square."),
    }

    def compute(self, batch):
        """Numbers come as lists of B values; a list goes back for each output."""
        sizes = list(zip(batch["frames.frame_width"], batch["frames.frame_height"], strict=True))
        kind = {1: "landscape", -1: "portrait", 0: "square"}
        return {
            "ratio": [width / height for width, height in sizes],
            "orientation": [kind[(width > height) - (width < height)] for width, height in sizes],
        }
