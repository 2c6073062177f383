"""A history that is full or away: what is said, and what is lost (nothing)."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.pool import NullPool

from mmfs.client import open_store
from mmfs.codecs import encode_jpeg
from mmfs.errors import SettingsError
from mmfs.settings import Settings
from mmfs_assets.execution.history_errors import HistoryError, history_errors, history_place
from tests.assets.conftest import MEDIA_ASSETS
from tests.features.tiny import picture

HOME = Path("/var/dagster")


def written(path: Path, *pragmas: str, rows: int = 1000) -> None:
    """A table of a SQLite file, as Dagster opens it, with rows added."""
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=NullPool)
    with engine.begin() as connection:
        for pragma in pragmas:
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS events (body TEXT)")
        if rows:
            connection.exec_driver_sql("INSERT INTO events VALUES (?)", [("x" * 4000,)] * rows)


def read_only(path: Path) -> None:
    written(path, rows=0)
    written(path, "query_only = 1")


def absent(path: Path) -> None:
    written(path / "folder" / "history.db")


def unmigrated(path: Path) -> None:
    with sqlalchemy.create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("SELECT * FROM event_logs")


@pytest.mark.parametrize(
    ("break_it", "says", "mend"),
    [
        (lambda path: written(path, "max_page_count = 20"), "database or disk is full", "free space there"),
        (read_only, "readonly database", "allow writing there"),
        (absent, "unable to open database file", "DAGSTER_HOME"),
        (unmigrated, "no such table", "dagster instance migrate"),
    ],
)
def test_what_a_database_says_is_told_with_the_place_and_the_mend(
    tmp_path: Path, break_it: Callable[[Path], None], says: str, mend: str
) -> None:
    def as_dagster_wraps_it() -> None:
        try:
            break_it(tmp_path / "history.db")
        except Exception as error:
            raise RuntimeError("something failed") from error

    with pytest.raises(HistoryError, match=says) as caught, history_errors(Settings(), HOME):
        as_dagster_wraps_it()
    assert caught.value.where == "DAGSTER_HOME=/var/dagster"
    assert mend in caught.value.mend


def test_a_postgres_that_is_away_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMFS_POSTGRES_URL", "postgresql://mmfs:secret-word@127.0.0.1:9/history")
    settings = Settings()
    assert history_place(settings, HOME) == "PostgreSQL at 127.0.0.1:9/history"
    assert settings.postgres_url is not None
    url = settings.postgres_url.get_secret_value()
    with pytest.raises(HistoryError, match="refused") as caught, history_errors(settings, HOME):
        sqlalchemy.create_engine(url, poolclass=NullPool).connect()
    assert "MMFS_POSTGRES_URL" in caught.value.mend
    assert "secret-word" not in str(caught.value)


def test_a_database_that_says_nothing_is_named_by_its_error() -> None:
    with pytest.raises(HistoryError, match="Dagster's history: OperationalError"), history_errors(Settings(), HOME):
        raise sqlite3.OperationalError("")


def test_what_is_no_fault_of_the_history_passes_as_it_is() -> None:
    for error in (ValueError("other"), SettingsError("what", mend="mend")):
        with pytest.raises(type(error)) as caught, history_errors(Settings(), HOME):
            raise error
        assert caught.value is error


@pytest.mark.cluster
def test_a_history_that_cannot_grow_ends_the_command_clearly_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """File sizes are limited for one command, as a full disk would: packs and Parquet files are far below the limit."""
    (tmp_path / "media").mkdir()
    for number in range(6):
        (tmp_path / "media" / f"{number}.jpg").write_bytes(encode_jpeg(picture(number)))
    features = open_store(Settings(store=str(tmp_path / "store"), shard_max_files=2))
    features.ingest([tmp_path / "media"])
    environment = {"DAGSTER_HOME": str(tmp_path / "home"), "MMFS_STORE": features.url, "MMFS_WORKERS": "1"}

    def run(most_bytes: int | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from mmfs.cli import main; main()", "materialize", *MEDIA_ASSETS],
            env={**os.environ, **environment},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes,) * 2) if most_bytes else None,
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    full = run(224 * 1024)
    said = "".join(full.stderr.split())
    assert full.returncode == 1, full.stdout + said
    assert f"error:Dagster'shistory:diskI/Oerror[DAGSTER_HOME={tmp_path / 'home'}]" in said
    assert "mend:freespacethere,thenrunthesamecommandagain" in said
    assert "Traceback" not in said
    registered = features.tables()["raw_media"].rows
    assert registered == 6, "it went on until there was no more room"
    assert features.verify(deep=True).ok
    again = run(None)
    assert again.returncode == 0, again.stderr
    assert "media registered" not in again.stdout, "the rows are in the store; only the history lacked them"
    assert features.tables()["frames"].rows == 6
    assert "done " not in run(None).stdout
