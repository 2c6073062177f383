"""Runs whose process died: nobody else ends them, and they would hold their pool slots for ever."""

import os
import socket

import dagster as dg

#: Run tag of runs that `mmfs` commands execute in their own process.
PROCESS_TAG = "mmfs/process"


def process_tag() -> dict[str, str]:
    """The tag of a run that this process executes."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"}


def end_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Fail unfinished runs of processes of this machine that are gone, and free their pool slots; their run ids."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED)):
        # It may have ended well between the two looks: once its process is gone, its status is the last one.
        if is_orphan(run) and _is_unfinished(instance, run.run_id):
            instance.report_run_failed(run, "the process that executed this run is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


def is_orphan(run: dg.DagsterRun) -> bool:
    """Whether a process of this machine executed it, and is gone."""
    host, _, process = run.tags.get(PROCESS_TAG, "").partition(":")
    return host == socket.gethostname() and not _is_alive(*process.split(":"))


_UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def _is_unfinished(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in _UNFINISHED


def _is_alive(pid: str, started: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it lives, under another user
    return _started(int(pid)) == started


def _started(pid: int) -> str:
    """When a process began, in ticks since boot, so that a reused number is not taken for it; empty where unknown."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""
