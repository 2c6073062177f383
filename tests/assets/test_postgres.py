"""Dagster on a real PostgreSQL with compute logs on S3: many run workers at once, and no secret left anywhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.backfill import execute_backfill_iteration

from mmfs.client import open_store
from mmfs.codecs import encode_jpeg
from mmfs.settings import Settings, load_settings
from mmfs.store import Objects
from mmfs_assets.execution.history_errors import HistoryError
from mmfs_assets.execution.home import dagster_home, open_instance
from mmfs_assets.planning.launch import launch_missing
from mmfs_assets.planning.materialize import materialize
from tests.deployment import Deployment, deployed
from tests.features.tiny import picture
from tests.postgres import Postgres, postgres_server, why_no_postgres
from tests.s3 import s3_server

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(why_no_postgres() is not None, reason=str(why_no_postgres())),
]

SHARDS = 8
#: Enough to see; what else a run does has nothing to do with where its history is.
ASSETS = ["raw_media", "captions"]
#: What must be nowhere but in the environment.
CANARIES = {name: f"canary-{name}-7f3a" for name in ("postgres", "aws", "qdrant", "webhook", "dagster")}
CAPTURED = """
query($id: ID!) {
  logsForRun(runId: $id) { ... on EventConnection { events { ... on LogsCapturedEvent { logKey } } } }
}
"""
LOGS = "query($key: [String!]!) { capturedLogs(logKey: $key) { stdout stderr } }"


@dataclass(frozen=True)
class Place:
    """A store of eight shards to be, PostgreSQL, and a bucket for what runs print."""

    root: Path
    postgres: Postgres

    @property
    def settings(self) -> Settings:
        return load_settings()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("postgres")
    (root / "media").mkdir()
    for number in range(2 * SHARDS):
        (root / "media" / f"{number}.jpg").write_bytes(encode_jpeg(picture(number)))
    with s3_server() as s3, postgres_server(password=CANARIES["postgres"]) as postgres:
        variables = {
            **s3.environment,
            "AWS_SECRET_ACCESS_KEY": CANARIES["aws"],
            "DAGSTER_HOME": str(root / "home"),
            "TMPDIR": str(root),  # where logs are kept until they are sent
            "MMFS_STORE": str(root / "store"),
            "MMFS_POSTGRES_URL": postgres.url,
            "MMFS_COMPUTE_LOGS": s3.make_bucket("logs") + "/of-runs",
            "MMFS_QDRANT_API_KEY": CANARIES["qdrant"],
            "MMFS_WEBHOOK_URL": f"http://127.0.0.1:9/{CANARIES['webhook']}",
            "MMFS_DAGSTER_URL": f"http://user:{CANARIES['dagster']}@127.0.0.1:9",
            "MMFS_SHARD_MAX_FILES": "2",
            "MMFS_SHARDS_PER_RUN": "1",
            "MMFS_WORKERS": "1",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            open_store(load_settings()).ingest([root / "media"])
            # Runs begin at once, as many as there are: nothing has to take them from a queue.
            with (dagster_home(load_settings()) / "dagster.yaml").open("a") as file:
                file.write("\nrun_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n")
            settings_of_the_shell = {name: os.environ[name] for name in variables}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.assets.test_postgres._VARIABLES", settings_of_the_shell)
            yield Place(root, postgres)


_VARIABLES: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _variables(place: Place, _no_settings_of_the_shell: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in _VARIABLES.items():
        monkeypatch.setenv(name, value)


def backfilled(place: Place, deployment: Deployment) -> list[dg.DagsterRun]:
    """Launch what is missing of the media's assets, and iterate as the daemon does, which waits 30 s each time."""
    home = str(deployment.home)
    with dg.DagsterInstance.from_ref(InstanceRef.from_dir(home)) as instance:
        with WorkspaceProcessContext(instance, WorkspaceFileTarget([str(deployment.workspace)])) as process:
            [launched] = launch_missing(place.settings, instance, title="test", assets=ASSETS).backfills

            def ended() -> str | None:
                list(execute_backfill_iteration(process, logging.getLogger("backfill")))
                backfill = instance.get_backfill(launched)
                assert backfill is not None
                return None if backfill.status.value == "REQUESTED" else backfill.status.value

            assert deployment.wait_for(ended) == "COMPLETED_SUCCESS"
        return list(instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": launched})))


def test_eight_run_workers_at_once_then_nothing_is_missing_logs_are_on_s3_and_no_secret_is_anywhere(
    place: Place,
) -> None:
    home = place.root / "home"
    with deployed(home, {}, "code-server", "webserver") as deployment:
        runs = backfilled(place, deployment)
        assert len(runs) == SHARDS
        store = open_store(place.settings)
        assert store.tables()["raw_media"].rows == 2 * SHARDS
        assert store.verify(deep=True).ok

        events = deployment.graphql(CAPTURED, id=runs[0].run_id)["logsForRun"]["events"]
        [key] = [event["logKey"] for event in events if event]
        captured = deployment.graphql(LOGS, key=[runs[0].run_id, "compute_logs", key])["capturedLogs"]
        assert 'Finished execution of step "raw_media"' in captured["stderr"]
    logs = Objects.open("s3://logs")
    written = {info.path: logs.get(info.path) for info in logs.list()}
    assert any(runs[0].run_id in path for path in written)
    assert all(path.startswith("of-runs/") for path in written)

    with open_instance(place.settings) as instance:
        again = materialize(place.settings, instance, assets=ASSETS)
    assert (again.runs, again.failures) == ([], {})

    files = {str(path): path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
    files |= written | {"PostgreSQL": place.postgres.dump().encode()}
    assert len(files["PostgreSQL"]) > 100_000
    assert "event_logs" in " ".join(str(row) for row in place.postgres.sql("SELECT tablename FROM pg_tables"))
    for name, canary in CANARIES.items():
        assert [place for place, data in files.items() if canary.encode() in data] == [], name


def test_a_history_that_refuses_is_told_and_what_was_computed_is_found_afterwards(place: Place) -> None:
    def run() -> list[str]:
        with open_instance(place.settings) as instance:
            done = materialize(place.settings, instance, assets=["raw_media"], missing=False)
        assert done.failures == {}
        return done.runs

    assert run()
    place.postgres.sql("ALTER DATABASE postgres SET default_transaction_read_only = on")
    with pytest.raises(HistoryError, match="read-only transaction") as caught:
        run()
    assert "allow writing there" in caught.value.mend
    assert caught.value.where is not None
    assert caught.value.where.startswith("PostgreSQL at 127.0.0.1:")
    place.postgres.sql("ALTER DATABASE postgres RESET ALL")
    assert run()
    place.postgres.stop()
    with pytest.raises(HistoryError, match="refused") as caught:
        run()
    assert "MMFS_POSTGRES_URL" in caught.value.mend
    assert CANARIES["postgres"] not in str(caught.value)
    assert open_store(place.settings).verify().ok
