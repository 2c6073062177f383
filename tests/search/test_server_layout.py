"""What the server is told of memory and disk, and what queries ask of a quantized index."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from mmfs.search.engines import engine_of
from mmfs.search.server import ServerEngine
from mmfs.search.server_layout import collection_config, payload_schemas, search_params
from mmfs.settings import QdrantLayout, Settings, load_settings
from mmfs.store import Store
from tests.search.engines import SPACE, at, points

LARGE = QdrantLayout(m=24, quantization="bits4", on_disk=True)


def sent(layout: QdrantLayout) -> dict[str, Any]:
    """The body of the request that makes the collection, as JSON."""
    described = collection_config(SPACE, layout)
    request = models.CreateCollection(
        vectors=described["vectors_config"], **{k: v for k, v in described.items() if k != "vectors_config"}
    )
    return request.model_dump(mode="json", exclude_none=True)


def test_by_default_vectors_and_graph_are_in_memory_and_nothing_is_quantized() -> None:
    assert sent(QdrantLayout()) == {
        "vectors": {"size": 4, "distance": "Cosine", "datatype": "float16", "on_disk": False},
        "hnsw_config": {"m": 16, "ef_construct": 128, "on_disk": False},
        "on_disk_payload": True,
    }
    assert search_params(QdrantLayout(), exact=False) is None


def test_a_large_index_keeps_graph_and_quantized_copy_in_memory_and_all_else_on_disk() -> None:
    described = sent(LARGE)
    assert described["vectors"]["on_disk"] is True
    assert described["vectors"]["datatype"] == "float16"
    assert described["hnsw_config"] == {"m": 24, "ef_construct": 128, "on_disk": False}
    assert described["quantization_config"] == {"turbo": {"bits": "bits4", "always_ram": True}}
    assert all(schema.on_disk for schema in payload_schemas(SPACE, LARGE).values())


def test_one_byte_a_number_is_asked_of_servers_of_any_version() -> None:
    described = sent(QdrantLayout(quantization="int8"))
    assert described["quantization_config"] == {"scalar": {"type": "int8", "always_ram": True}}


def test_payload_indexes_have_the_kind_of_their_column() -> None:
    kinds = {key: schema.type.value for key, schema in payload_schemas(SPACE, QdrantLayout()).items()}
    assert kinds == {
        "shard": "keyword",
        "raw_media__kind": "keyword",
        "raw_media__width": "integer",
        "raw_media__fps": "float",
        "frames__is_keyframe": "integer",
    }


def test_hits_of_a_quantized_index_are_scored_again_by_the_vectors_and_exact_ones_by_nothing_else() -> None:
    near = search_params(LARGE, exact=False).quantization
    assert (near.rescore, near.oversampling) == (True, 2.0)
    exact = search_params(LARGE, exact=True)
    assert (exact.exact, exact.quantization.ignore) == (True, True)


@pytest.mark.filterwarnings("ignore:(Payload indexes|Local mode):UserWarning")
def test_the_engine_builds_and_answers_with_the_layout_it_was_given() -> None:
    engine = ServerEngine(QdrantClient(":memory:"), "test", layout=LARGE)
    build = engine.begin(SPACE, "1", base=None)
    build.upsert(points(range(30)))
    build.publish()
    opened = engine.open(SPACE, "1")
    assert [int(hit.media_id, 16) for hit in opened.query(at(20.2), 2)] == [20, 21]


def test_the_layout_comes_from_the_settings(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"M": "24", "QUANTIZATION": "bits4", "ON_DISK": "true"}.items():
        monkeypatch.setenv(f"MMFS_QDRANT_LAYOUT__{name}", value)
    monkeypatch.setenv("MMFS_QDRANT_URL", "http://127.0.0.1:1")
    assert load_settings().qdrant_layout == LARGE
    opened = Store.open(store.url, settings=Settings(qdrant_url="http://127.0.0.1:1", qdrant_layout=LARGE))
    engine = engine_of(opened)
    assert isinstance(engine, ServerEngine)
    assert engine.layout == LARGE
