"""What events tell of steps that leased a device: when they worked, and on which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import dagster as dg
from dagster import DagsterEventType


@dataclass(frozen=True)
class LeasedStep:
    """One attempt of a step, from its start to its end in seconds, and the devices that its materializations name."""

    run: str
    asset: str
    began_s: float
    ended_s: float
    devices: frozenset[str]

    def overlaps(self, other: LeasedStep) -> bool:
        """Whether both worked at one time."""
        return self.began_s < other.ended_s and other.began_s < self.ended_s


def leased_steps(instance: dg.DagsterInstance, runs: Iterable[str], assets: Sequence[str]) -> list[LeasedStep]:
    """Steps of these assets that ended well."""
    found = []
    for run in runs:
        for asset in assets:
            began_s, devices = 0.0, set[str]()
            for entry in instance.all_logs(run):
                event = entry.dagster_event
                if event is None or event.step_key != asset:
                    continue
                if event.event_type in (DagsterEventType.STEP_START, DagsterEventType.STEP_RESTARTED):
                    began_s, devices = entry.timestamp, set()
                elif event.is_step_materialization:
                    metadata = event.step_materialization_data.materialization.metadata
                    devices.add(str(metadata["leased_device"].value))
                elif event.is_step_success:
                    found.append(LeasedStep(run, asset, began_s, entry.timestamp, frozenset(devices)))
    return found


def most_at_once(steps: Sequence[LeasedStep]) -> int:
    """The largest number of steps that worked at one moment."""
    return max(sum(step.began_s <= moment < step.ended_s for step in steps) for moment in [s.began_s for s in steps])


def shared_devices(steps: Sequence[LeasedStep]) -> list[tuple[LeasedStep, LeasedStep]]:
    """Pairs that worked at one time on one device."""
    return [(a, b) for a, b in combinations(steps, 2) if a.overlaps(b) and a.devices & b.devices]
