"""What `mmfs materialize` says before and after it hands over its work."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_assets.commands import app
from mmfs_assets.planning import backfill, launch
from mmfs_assets.planning.launch import Launched


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(store=str(tmp_path / "store"), dagster_url="https://me:pa55@dagster.example/base/")
    monkeypatch.setattr("mmfs_assets.recorded.recorded_settings", lambda store: settings)
    monkeypatch.setattr("mmfs_assets.execution.home.open_instance", lambda settings: dg.DagsterInstance.ephemeral())
    monkeypatch.setattr(backfill, "require_daemon", lambda instance: None)
    return settings


def _launch(monkeypatch: pytest.MonkeyPatch, launched: Launched) -> Result:
    monkeypatch.setattr(launch, "launch_missing", lambda settings, instance, **_: launched)
    said = CliRunner().invoke(app, ["materialize", "--launch"])
    assert said.exit_code == 0, said.output
    return said


def test_each_backfill_is_said_with_its_page_and_without_the_password(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = _launch(monkeypatch, Launched(("ab", "cd"), busy=(), working=(), waiting=("duplicates",)))
    assert "launched backfill ab: https://dagster.example/base/runs/b/ab in the UI" in said.output
    assert "launched backfill cd: https://dagster.example/base/runs/b/cd in the UI" in said.output
    assert "left to the next launch, since what they read is not there yet: duplicates" in said.output
    assert "pa55" not in said.output
    assert "nothing to launch" not in said.output


def test_where_nothing_is_launched_it_says_why(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    said = _launch(monkeypatch, Launched((), busy=("000000",), working=("ab",), waiting=()))
    assert "nothing to launch: under way already: 1 shard, backfills ab" in said.output
    assert "nothing to launch: all is fresh" in _launch(monkeypatch, Launched((), (), (), ())).output


def test_an_unknown_asset_is_refused_before_anything_is_said_to_be_fresh(settings: Settings) -> None:
    said = CliRunner().invoke(app, ["materialize", "clip_embedings"])
    assert isinstance(said.exception, SettingsError)
    assert "no asset 'clip_embedings'" in str(said.exception)
    assert "to do" not in said.output
    assert not Path(settings.store).exists()
