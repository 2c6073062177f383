"""What must be said of answers that the demo model gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from mmfs.schemas import Grain

if TYPE_CHECKING:
    from mmfs.store import Store

_PICTURES = pa.array(["image", "video"])
#: What the list of rendered scenes says of each of them.
_RENDERED = '"scene"'
_REAL = "MMFS_CLIP__MODEL=ViT-B-32 MMFS_CLIP__PRETRAINED=laion2b_s34b_b79k gives real weights (then materialize again)"
SEMANTIC = f"demo model: not trained for photographs; {_REAL}"
BY_CAPTIONS = f"demo model: not trained for photographs, so captions were searched as text; {_REAL}"


def has_photographs(store: Store, grain: Grain, where: str | None) -> bool:
    """Whether any picture or video that meets the condition is not a rendered scene, which say so in their attributes.

    Args:
        grain: What a hit is about, and the condition with it.

    Raises:
        WhereError: The condition is wrong.
    """
    rows = store.tables.read("raw_media", columns=["media_id", "kind", "attributes"])
    rendered = pc.fill_null(pc.match_substring(rows.column("attributes"), _RENDERED), False)
    photographs = rows.filter(pc.and_(pc.is_in(rows.column("kind"), value_set=_PICTURES), pc.invert(rendered)))
    if where is None or photographs.num_rows == 0:
        return bool(photographs.num_rows > 0)
    chosen = store.select(grain, where=where).column("media_id")
    found = pc.any(pc.is_in(photographs.column("media_id"), value_set=chosen.combine_chunks())).as_py()
    return bool(found)
