"""The table of a sync's states is whole, and a sync keeps to it."""

import pytest

from engine.sync import states
from engine.sync.parameters import PushChannel
from engine.sync.states import MOVES, STATES, SyncRun, SyncStep
from tests.engine.sync.fleet import HYDRANTS, Fleet, gid
from tests.engine.sync.test_edits_meanwhile import foreign
from tests.engine.sync.test_recovery import unregister


def reached_from(start: SyncStep) -> set[SyncStep]:
    found, fresh = {start}, [start]
    while fresh:
        fresh = [s for step in fresh for s in MOVES[step] if s not in found]
        found.update(fresh)
    return found


def test_every_state_has_a_function_is_reached_and_comes_to_the_end() -> None:
    assert set(STATES) == set(SyncStep) - {SyncStep.DONE}
    assert set(MOVES) == set(SyncStep)
    assert reached_from(SyncStep.CHECK) == set(SyncStep)
    assert all(SyncStep.DONE in reached_from(step) for step in SyncStep)
    assert not MOVES[SyncStep.DONE]


async def test_lost_replica_takes_the_way_of_the_table(
    world: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    way: list[SyncStep] = []

    async def watched(run: SyncRun, step: SyncStep) -> SyncStep:
        way.append(step)
        return await original(run, step)

    original = states._state
    monkeypatch.setattr(states, "_state", watched)
    a = await world.device("A", channel=PushChannel.SYNCHRONIZE_REPLICA)
    foreign(a, f"UPDATE Hydrants SET name='mine' WHERE GlobalID='{gid(2)}'")
    await world.change(HYDRANTS, gid(1), name="office")
    await unregister(world, a)

    await a.sync()

    assert way == [
        SyncStep.CHECK,
        SyncStep.RECONCILE,
        SyncStep.PULL,
        SyncStep.REGISTER,
        SyncStep.RECONCILE,
        SyncStep.REBASE,
        SyncStep.PUSH,
        SyncStep.SNAPSHOT,
        SyncStep.FILL,
        SyncStep.PHOTOS,
    ]
