"""How the server engine's collections are laid out between memory and disk, and how they are searched for it.

The arithmetic is in docs/operations.md. The names used are the older ones (``on_disk``, ``always_ram``), which servers
of all versions know.
"""

from __future__ import annotations

from typing import Any

from mmfs.errors import MissingExtraError
from mmfs.search.payload import payload_indexes
from mmfs.search.port import SpaceSpec
from mmfs.settings import QdrantLayout

#: Candidates that the quantized copy brings for each hit wanted; they are scored again by the vectors themselves.
_OVERSAMPLING = 2.0


def collection_config(space: SpaceSpec, layout: QdrantLayout) -> dict[str, Any]:
    """How a collection is made: vectors in float16, on disk where asked for; graph and quantized copy in memory."""
    models = client_package().models
    quantized = {
        "none": None,
        "int8": lambda: models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        ),
        "bits4": lambda: models.TurboQuantization(
            turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
        ),
    }[layout.quantization]
    return {
        "vectors_config": models.VectorParams(
            size=space.dim,
            distance=models.Distance.COSINE,
            datatype=models.Datatype.FLOAT16,
            on_disk=layout.on_disk,
        ),
        "hnsw_config": models.HnswConfigDiff(m=layout.m, ef_construct=128, on_disk=False),
        "quantization_config": quantized() if quantized else None,
        "on_disk_payload": True,
    }


def payload_schemas(space: SpaceSpec, layout: QdrantLayout) -> dict[str, Any]:
    """The payload index of each key."""
    models = client_package().models
    kinds = {"text": models.KeywordIndexParams, "number": models.FloatIndexParams}
    names = {"text": "keyword", "number": "float"}
    return {
        key: kinds.get(kind, models.IntegerIndexParams)(type=names.get(kind, "integer"), on_disk=layout.on_disk)
        for key, kind in payload_indexes(space).items()
    }


def search_params(layout: QdrantLayout, *, exact: bool) -> Any:
    """How a query is answered; None leaves it to the server."""
    models = client_package().models
    if exact:  # by the vectors themselves
        return models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
    if layout.quantization == "none":
        return None
    again = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
    return models.SearchParams(quantization=again)


def client_package() -> Any:
    """The package `qdrant_client`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import qdrant_client
    except ImportError as error:
        raise MissingExtraError(
            "qdrant-client is not installed", where="MMFS_QDRANT_URL", mend="pip install 'mmfs[search]'"
        ) from error
    return qdrant_client
