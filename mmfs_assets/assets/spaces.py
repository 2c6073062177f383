"""Which tables are searched, and what an index of them is made from."""

from mmfs.features.registry import registered
from mmfs.schemas import GRAIN_TABLES
from mmfs.settings import Settings


def spaces(settings: Settings) -> list[str]:
    """The embedding tables that can be searched."""
    return [spec.table for spec in registered(settings).values() if spec.space]


def read_tables(settings: Settings) -> list[str]:
    """The tables whose rows decide what the index holds: embeddings, and what they can be filtered by."""
    specs = [spec for spec in registered(settings).values() if spec.space]
    return [*spaces(settings), *dict.fromkeys(["raw_media", *(GRAIN_TABLES[spec.grain] for spec in specs)])]
