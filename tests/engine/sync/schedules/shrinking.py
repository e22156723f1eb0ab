"""Makes a schedule that goes wrong smaller, step by step."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from tests.engine.sync.schedules.schedule import Schedule
from tests.engine.sync.schedules.world import Taken
from tests.feature_service import Profile
from tests.feature_service.profile import switches


def kind(line: str) -> str:
    """What a violation says, whatever row and value it is about."""
    return re.sub(r"\{[^}]*\}|'[^']*'|\(.*?\)|\b[ABC]\b|\d+", "", line.strip().splitlines()[-1])


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool], tries: int = 200) -> Schedule:
    """The smallest schedule that still fails: fewer steps, a plainer service, fewer faults."""
    left = tries

    def still(candidate: Schedule) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and fails(candidate)

    size = max(1, len(schedule.steps) // 2)
    while size:
        at = 0
        while at < len(schedule.steps):
            steps = schedule.steps[:at] + schedule.steps[at + size :]
            if still(candidate := replace(schedule, steps=steps)):
                schedule = candidate
            else:
                at += size
        size //= 2
    for candidate_of in (_fewer_parties, _fewer_faults, _plainer):
        schedule = _reduced(schedule, candidate_of, still)
    return schedule


def _reduced(
    schedule: Schedule,
    candidates: Callable[[Schedule], Iterable[Schedule]],
    still: Callable[[Schedule], bool],
) -> Schedule:
    while True:
        for candidate in candidates(schedule):
            if still(candidate):
                schedule = candidate
                break
        else:
            return schedule


def _fewer_parties(schedule: Schedule) -> Iterable[Schedule]:
    used = {step.device for step in schedule.steps}
    for party in schedule.parties:
        if party.name not in used and len(schedule.parties) > 1:
            kept = tuple(p for p in schedule.parties if p is not party)
            yield replace(schedule, parties=kept)


def _fewer_faults(schedule: Schedule) -> Iterable[Schedule]:
    for at, step in enumerate(schedule.steps):
        simpler = [
            replace(step, faults=step.faults[:n] + step.faults[n + 1 :])
            for n in range(len(step.faults))
        ]
        if step.event is not None:
            simpler.append(replace(step, event=None, then=()))
        simpler += [
            replace(step, then=step.then[:n] + step.then[n + 1 :]) for n in range(len(step.then))
        ]
        if step.directions:
            simpler.append(replace(step, directions=()))
        if step.rollback:
            simpler.append(replace(step, rollback=False))
        for other in simpler:
            yield replace(schedule, steps=(*schedule.steps[:at], other, *schedule.steps[at + 1 :]))


def _plainer(schedule: Schedule) -> Iterable[Schedule]:
    if schedule.is_wide:
        yield replace(schedule, is_wide=False)
    if schedule.taken is not Taken.ALL:
        yield replace(schedule, taken=Taken.ALL)
    for name in switches():
        usual = getattr(Profile(), name)
        if name != "sync_models" and getattr(schedule.profile, name) != usual:
            yield replace(schedule, profile=replace(schedule.profile, **{name: usual}))
