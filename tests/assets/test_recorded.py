"""Where the settings of a store cannot be read, nobody goes on with others."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmfs.errors import StoreError, UnreachableError
from mmfs.settings import FramesConfig, Settings
from mmfs.store import Store
from mmfs_assets.commands import app
from mmfs_assets.recorded import recorded_settings


def test_a_store_says_its_settings_and_none_says_those_of_the_environment(tmp_path: Path) -> None:
    place = str(tmp_path / "store")
    assert recorded_settings(place).frames == FramesConfig()
    Store.open(settings=Settings(store=place, frames=FramesConfig(short_side=20)))
    assert recorded_settings(place).frames.short_side == 20


@pytest.mark.parametrize("record", ["{", json.dumps({"format": 99, "namespace": "0" * 32, "recorded": {}})])
def test_a_damaged_or_newer_store_is_not_taken_for_none(tmp_path: Path, record: str) -> None:
    Store.open(settings=Settings(store=str(tmp_path)))
    (tmp_path / "store.json").write_text(record)
    with pytest.raises(StoreError, match=r"is damaged|has format 99"):
        recorded_settings(str(tmp_path))


def test_a_bucket_that_does_not_answer_is_not_taken_for_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "x")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with pytest.raises(UnreachableError, match="does not answer"):
        recorded_settings("s3://bucket/store")


def test_dagster_yaml_is_written_also_where_the_store_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    (tmp_path / "store.json").write_text("{")
    said = CliRunner().invoke(app, ["home", "--store", str(tmp_path)])
    assert said.exit_code == 0, said.output
    assert (tmp_path / "home" / "dagster.yaml").exists()
