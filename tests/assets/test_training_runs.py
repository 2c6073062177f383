"""Training code elsewhere, a webserver here: the run shows as a leaf of the tables that it read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
import pytest
import uvicorn
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.test.utils import execute_dagster_graphql
from dagster_webserver.webserver import DagsterWebserver

from mmfs.errors import SettingsError
from mmfs.loader import Loader
from mmfs.loader.aside import _threads
from mmfs.settings import Settings
from mmfs.store import Store
from mmfs.store.pins import Pins
from mmfs_assets.assets.training_runs import NAME
from mmfs_assets.definitions import definitions_for
from mmfs_assets.planning.materialize import materialize
from mmfs_resources import StoreResource
from tests.assets.conftest import World

LEAF = """
query($asset: AssetKeyInput!) {
  assetNodeOrError(assetKey: $asset) {
    ... on AssetNode {
      isExecutable
      dependencyKeys { path }
      dependedByKeys { path }
      assetMaterializations(limit: 10) { metadataEntries { label } tags { key value } }
    }
  }
}
"""


@dataclass(frozen=True)
class Webserver:
    """A Dagster webserver on loopback."""

    url: str
    process: WorkspaceProcessContext

    def leaf(self) -> dict:
        asked = {"asset": {"path": [NAME]}}
        answer = execute_dagster_graphql(self.process.create_request_context(), LEAF, asked)
        assert answer.errors is None
        return answer.data["assetNodeOrError"]


@contextmanager
def serving(world: World, instance: dg.DagsterInstance, *, read_only: bool = False) -> Iterator[Webserver]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMFS_STORE", world.settings.store)
        module = LoadableTargetOrigin(executable_path=sys.executable, module_name="mmfs_assets.definitions")
        location = InProcessCodeLocationOrigin(module, location_name="mmfs")
        with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(location), read_only=read_only) as process:
            app = DagsterWebserver(process).create_asgi_app()
            server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
            thread = threading.Thread(target=server.run)
            thread.start()
            try:
                while not server.started:
                    assert thread.is_alive()
                    threading.Event().wait(0.01)
                yield Webserver(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", process)
            finally:
                server.should_exit = True
                thread.join()


def train(world: World, url: str, run: str) -> Loader:
    store = Store.open(settings=world.settings.model_copy(update={"dagster_url": url}))
    pin = Pins(store).create(f"pin-of-{run}", columns=["clip_embeddings.vector"], now_us=1)
    loader = Loader(store, pin, run=run, batch_size=2, rank=0, world_size=1)
    assert len(list(loader)) == 3
    for thread in list(_threads):
        thread.join(30)
    return loader


def test_a_training_run_elsewhere_becomes_a_leaf_of_the_tables_it_read(done: World) -> None:
    with done.instance() as instance:
        with serving(done, instance) as webserver:
            loader = train(done, webserver.url, "run-7")
            leaf = webserver.leaf()
        event = instance.get_latest_materialization_event(dg.AssetKey(NAME))
    assert leaf["isExecutable"] is False
    assert {"clip_embeddings", "frames", "captions", "raw_media"} <= {key["path"][0] for key in leaf["dependencyKeys"]}
    assert leaf["dependedByKeys"] == []
    assert len(leaf["assetMaterializations"]) == 2
    assert event is not None
    said = event.asset_materialization
    assert said is not None
    assert (said.tags or {})["dagster/data_version"] == loader.pin.id
    values = {label: entry.value for label, entry in said.metadata.items()}
    assert (values["event"], values["run_id"], values["step"], values["epoch"]) == ("stopped", "run-7", 3, 1)
    assert values["table_versions"] == {name: table.version for name, table in loader.pin.tables.items()}


def test_a_read_only_webserver_refuses_and_training_goes_on(done: World, caplog: pytest.LogCaptureFixture) -> None:
    with done.instance() as instance, serving(done, instance, read_only=True) as webserver:
        train(done, webserver.url, "run-8")
        assert webserver.leaf()["assetMaterializations"] == []
    assert "answered 401" in caplog.text


def test_commits_of_a_run_carry_its_id_and_a_pin_can_ask_for_it(done: World) -> None:
    store = done.store
    known = store.tables.version("clip_embeddings")
    pin = Pins(store).create("p", columns=["clip_embeddings.vector"], now_us=1)
    [run_id] = pin.lineage["clip_embeddings"]["run_ids"]
    with done.instance() as instance:
        assert instance.get_run_by_id(run_id) is not None
        event = done.last_event("clip_embeddings", "000000")
    assert (event.tags or {})["dagster/data_version"]
    assert pin.tables["clip_embeddings"].version == known
    asked = {"clip_embeddings": run_id}
    assert Pins(store).create("q", columns=["clip_embeddings.vector"], versions=asked, now_us=1).id == pin.id


def test_what_is_only_reported_is_never_run(done: World) -> None:
    with done.instance() as instance, pytest.raises(SettingsError, match="no asset 'training_runs'"):
        materialize(done.settings, instance, assets=[NAME])
    assert not definitions_for(done.settings).resolve_asset_graph().get(dg.AssetKey(NAME)).is_executable


def test_the_url_with_its_password_is_no_part_of_what_dagster_keeps() -> None:
    settings = Settings(dagster_url="http://u:hunter2@127.0.0.1:3000", device="cpu")
    assert "hunter2" not in repr(StoreResource.of(settings))
    assert "dagster_url" not in StoreResource.of(settings).given
