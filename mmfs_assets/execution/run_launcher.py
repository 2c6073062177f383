"""Runs as processes of the code server, whose death is noticed whoever died with them.

A code server reports a run whose process died, but not when it was killed itself; Dagster's own launcher would let such
a run count as started for ever, with its place in the queue and its pool slots. Here the daemon's run monitoring asks.
"""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import DagsterEventType
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from mmfs_assets.planning.orphans import is_orphan

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_ASK_S = 10


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's launcher, which can also say whether a run's process lives. `mmfs home` names it."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run lives; where nobody can tell yet, it is taken to.

        A code server that answers knows its own runs, and a process that outlived its code server is seen on this
        machine. While the code server is away nothing is said: a run that failed then would be tried again at once,
        which needs the code server, and never after. Only where it had a socket file will it never be back there.
        """
        if GRPC_INFO_TAG not in run.tags:
            return _dead("the process that executed this run is gone") if is_orphan(run) else _alive()
        server = json.loads(run.tags[GRPC_INFO_TAG])
        if _is_here(server) and _lives(self._pid(run)):
            return _alive()
        try:
            knows = self._server_knows(run)
        except DagsterUserCodeUnreachableError:
            return _dead("its process and its code server are gone") if server.get("socket") else _alive()
        return _alive() if knows else _dead("its process is gone, and the code server has been started anew")

    def _server_knows(self, run: dg.DagsterRun) -> bool:
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:  # it has ended meanwhile
            return True
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=_ASK_S)
        return deserialize_value(answer, CanCancelExecutionResult).can_cancel

    def _pid(self, run: dg.DagsterRun) -> int | None:
        """The process that reported to have begun with the run last."""
        for entry in reversed(self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)):
            found = entry.dagster_event.engine_event_data.metadata.get("pid") if entry.dagster_event else None
            if found is not None:
                return int(str(found.value))
        return None


def _is_here(server: dict[str, Any]) -> bool:
    return bool(server.get("socket")) or server.get("host") in _LOOPBACK


def _lives(pid: int | None) -> bool:
    """Whether this is a process of `multiprocessing`, as runs are, and not one that has the number of a dead one."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and b"multiprocessing" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except FileNotFoundError:  # no /proc, or it has just ended
        return not Path("/proc/self/stat").exists()


def _alive() -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.RUNNING)


def _dead(why: str) -> CheckRunHealthResult:
    return CheckRunHealthResult(WorkerStatus.FAILED, why)
