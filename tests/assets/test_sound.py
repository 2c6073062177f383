"""Sound through Dagster: windows, their features, their checks, and pictures of both."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from mmfs.client import FeatureStore
from mmfs.features.preview import SHEET_BYTES
from tests.assets.conftest import World
from tests.media.sounds import tone, write_wav


def test_sound_is_materialized_shown_and_checked(tmp_path: Path) -> None:
    world = World(tmp_path, tmp_path / "models")
    (tmp_path / "media").mkdir()
    for number in range(2):
        write_wav(tmp_path / f"media/{number}.wav", tone(11.5, 16_000, hz=300 + 200 * number), 16_000)
    FeatureStore(world.store).ingest([tmp_path / "media"])
    assets = ["raw_media", "audio_windows", "audio_features"]
    assert world.materialize(*assets).failures == {}
    with world.instance() as instance:
        checks = [dg.AssetCheckKey(dg.AssetKey(asset), "keys_agree") for asset in assets[1:]]
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    assert {key.asset_key.to_user_string(): record.status.value for key, record in found.items()} == {
        "audio_windows": "SUCCEEDED",
        "audio_features": "SUCCEEDED",
    }
    for asset in assets[1:]:
        figures = world.last_event(asset, "000000").metadata
        assert figures["rows_computed"].value == 4
        shown = str(figures["preview"].value)
        assert "data:image/jpeg;base64," in shown
        assert 1000 < len(shown) < SHEET_BYTES * 4 / 3 + 100
