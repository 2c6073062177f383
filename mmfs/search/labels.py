"""What must be said of answers that the demo model gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from mmfs.store import Store

_PICTURES = pa.array(["image", "video"])
_REAL = "MMFS_CLIP__MODEL=ViT-B-32 MMFS_CLIP__PRETRAINED=laion2b_s34b_b79k gives real weights"
SEMANTIC = f"demo model: not trained for photographs; {_REAL}"
BY_CAPTIONS = f"demo model: not trained for photographs, so captions were searched as text; {_REAL}"


def has_photographs(store: Store) -> bool:
    """Whether any picture or video is not a rendered scene. Rendered ones say so in their attributes."""
    rows = store.tables.read("raw_media", columns=["kind", "attributes"])
    pictures = pc.is_in(rows.column("kind"), value_set=_PICTURES)
    rendered = pc.fill_null(pc.match_substring(rows.column("attributes"), '"scene"'), False)
    return bool(pc.any(pc.and_(pictures, pc.invert(rendered))).as_py())
