"""What an asset's page in the UI says, for tables that ship and for those of your own."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from mmfs.features.checks import odd_depth
from mmfs.features.feature import Blob, Feature, Vector, feature
from mmfs.settings import Settings
from mmfs_assets.definitions import definitions_for
from tests.assets.conftest import SHARDS, World


@feature(table="edge_maps", grain="frame", inputs=["frames.image"])
class EdgeMaps(Feature):
    """Edges of a frame.

    Found by a filter of this laboratory.
    """

    outputs = {
        "edges": Blob("array16", "Strength of the edge at every pixel."),
        "code": Vector(8, description="Short code of the edges."),
    }

    def compute(self, batch: dict[str, object]) -> dict[str, object]:
        raise NotImplementedError


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return definitions_for(Settings(features=(__name__,)))


TABLES = [
    "listings",
    "raw_media",
    "captions",
    "frames",
    "audio_windows",
    "clip_embeddings",
    "text_embeddings",
    "depth_maps",
    "frame_quality",
    "prompt_scores",
    "audio_features",
    "qdrant_index",
    "duplicates",
    "training_runs",
    "edge_maps",
]


def _asset(definitions: dg.Definitions, name: str) -> dg.AssetSpec:
    return next(spec for spec in definitions.resolve_all_asset_specs() if spec.key == dg.AssetKey(name))


@pytest.mark.parametrize("name", TABLES)
def test_a_page_says_what_a_row_is_how_to_read_it_and_where_to_go_next(definitions: dg.Definitions, name: str) -> None:
    text = _asset(definitions, name).description or ""
    first = text.splitlines()[0]
    assert first.endswith("."), "lists of assets show the first line alone"
    assert len(first) <= 120
    for part in ("**A row**", f"FROM {name} LIMIT", "**Next:**"):
        assert part in text


@pytest.mark.parametrize("name", TABLES)
def test_every_column_says_what_it_means(definitions: dg.Definitions, name: str) -> None:
    columns = _asset(definitions, name).metadata["dagster/column_schema"].columns
    assert all(column.description and column.description.endswith(".") for column in columns)
    assert len({column.name for column in columns}) == len(columns)


def test_vectors_and_bytes_are_shown_as_people_use_them(definitions: dg.Definitions) -> None:
    columns = {
        column.name: column for column in _asset(definitions, "edge_maps").metadata["dagster/column_schema"].columns
    }
    assert columns["code"].type == "float16[8]"
    assert columns["edges"].type == "array, float32[...]"
    assert "`pack`, `offset` and `length`" in (columns["edges"].description or "")


def test_a_feature_of_your_own_tells_its_docstring_its_inputs_and_its_file(definitions: dg.Definitions) -> None:
    spec = _asset(definitions, "edge_maps")
    text = spec.description or ""
    assert text.startswith("Edges of a frame.\n\nFound by a filter of this laboratory.")
    assert "Computed from `frames.image`" in text
    assert "`edge_maps.edges`" in text
    [reference] = spec.metadata["dagster/code_references"].code_references
    assert Path(reference.file_path) == Path(__file__).resolve()
    assert f"`{__name__}:EdgeMaps`" in spec.metadata["reached_code"].value


def test_code_of_tables_that_ship_is_where_the_page_says(definitions: dg.Definitions) -> None:
    for name, label in {
        "frames": "build_frames",
        "raw_media": "register_media",
        "duplicates": "update_duplicates",
    }.items():
        [reference] = _asset(definitions, name).metadata["dagster/code_references"].code_references
        line = Path(reference.file_path).read_text().splitlines()[reference.line_number - 1]
        assert f"def {label}(" in line


def test_every_check_says_what_it_compares_and_what_to_do(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    specs = [graph.get_check_spec(key) for key in graph.asset_check_keys]
    sharded = [spec for spec in specs if spec.asset_key.to_user_string() in TABLES and spec.name != "groups_are_sound"]
    assert len(sharded) > 20
    for spec in sharded:
        assert "**When it fails:** " in (spec.description or ""), spec.key


def test_every_shard_of_a_run_has_figures_and_pictures_of_its_own(finished: World) -> None:
    shown = []
    for shard in SHARDS:
        figures = finished.last_event("frames", shard).metadata
        assert figures["frames_per_media"].value == 1.0
        assert isinstance(figures["mean_image_bytes"].value, float)
        shown.append(str(figures["preview"].value))
    assert len(set(shown)) == len(SHARDS)
    vectors = finished.last_event("clip_embeddings", SHARDS[0]).metadata
    assert 0 <= vectors["vector_spread"].value <= 1
    assert finished.last_event("qdrant_index", SHARDS[0]).metadata["lag_rows"].value == 0
    lost = [finished.last_event("raw_media", shard).metadata["share_quarantined"].value for shard in SHARDS]
    assert lost == [0.0, 0.0, 0.5]


def test_a_damaged_pack_does_not_fail_a_run_that_only_shows_it(done: World) -> None:
    [pack] = (done.root / "store" / "packs" / "frames" / SHARDS[0]).glob("*.tar")
    pack.write_bytes(bytes(pack.stat().st_size))
    assert done.run("frames", SHARDS[0]).success
    said = str(done.last_event("frames", SHARDS[0]).metadata["preview"].value)
    assert "packs/frames/000000" in said


def test_a_failing_check_names_the_worst_shards_first_and_lists_rows(done: World) -> None:
    for shard, left in (("000000", 1), ("000001", 0)):
        done.store.tables.update("captions", shard, lambda rows: rows)
        done.store.tables.update("raw_media", shard, lambda rows, left=left: rows.slice(0, left))
    job = definitions_for(done.settings).resolve_implicit_global_asset_job_def()
    key = dg.AssetCheckKey(dg.AssetKey("captions"), "keys_agree")
    with done.instance() as instance:
        result = job.get_subset(asset_selection=set(), asset_check_selection={key}).execute_in_process(
            instance=instance
        )
    [found] = result.get_asset_check_evaluations()
    assert not found.passed
    assert (found.description or "").startswith("2 of 3 shards fail. 000001: 2 media have captions but no row, first ")
    assert (found.description or "").count("Mend: materialize `captions`") == 1
    rows = [record.data for record in found.metadata["problems"].records]
    assert [(row["shard"], row["count"]) for row in rows] == [("000001", 2), ("000000", 1)]
    assert all(len(row["first"].split(", ")) == row["count"] for row in rows)
    assert found.metadata["failing_shards"].value == ["000000", "000001"]


def test_depth_maps_in_a_damaged_pack_are_named(done: World) -> None:
    [pack] = (done.root / "store" / "packs" / "depth_maps" / SHARDS[1]).glob("*.tar")
    pack.write_bytes(bytes(pack.stat().st_size))
    [problem] = odd_depth(done.store, "depth_maps", SHARDS[1])
    assert problem.what.startswith("2 of 2 rows that were looked at cannot be read: the ")
    rows = done.store.tables.read("depth_maps", shard=SHARDS[1]).to_pylist()
    assert problem.examples == tuple(f"{row['media_id']}:{row['frame_index']}" for row in rows)
