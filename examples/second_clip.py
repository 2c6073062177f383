"""A second CLIP model beside the first: a table, a Dagster asset and a search space of its own.

From the repository's folder::

    export PYTHONPATH=. MMFS_FEATURES=examples.second_clip
    mmfs materialize clip_large qdrant_index
    mmfs search "a red ball" --space clip_large

Nothing else is computed again: the first model's rows, and what stands on them, stay as they are.
"""

import mmfs
from mmfs.features.clip import ClipEmbeddings


@mmfs.feature(table="clip_large", grain="frame", inputs=["frames.image"], space=True)
class ClipLarge(ClipEmbeddings):
    """Unit-length image embeddings of frames, by a larger model of open_clip."""

    config = mmfs.ClipConfig(model="ViT-L-14", pretrained="laion2b_s32b_b82k", batch_size=16)
