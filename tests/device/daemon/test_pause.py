"""A pause: for some time or until somebody ends it, over restarts; never for ever by mistake."""

from device.api.status import Cause, State
from device.model import WaitReason
from engine import JobStatus
from tests.device.daemon.world import World

HOUR_S = 3600.0


async def test_a_pause_for_some_time_says_when_it_ends_and_ends(world: World) -> None:
    await world.started()

    world.daemon.governor.set_paused(True, HOUR_S)
    told = world.status
    await world.clock.sleep(HOUR_S + 1)

    assert told.state is State.PAUSED
    assert told.next_run_in_s is not None
    assert 3590 < told.next_run_in_s <= HOUR_S
    assert world.status.state is not State.PAUSED


async def test_a_pause_for_some_time_is_not_prolonged_by_restarts(world: World) -> None:
    await world.started()
    world.daemon.governor.set_paused(True, HOUR_S)
    for _ in range(3):
        await world.clock.sleep(0.3 * HOUR_S)
        await world.stop()
        await world.started()

    still = world.status.state
    await world.clock.sleep(0.15 * HOUR_S)

    assert still is State.PAUSED
    assert world.status.state is not State.PAUSED


async def test_a_pause_of_a_device_that_loses_its_power_ever_again_ends(world: World) -> None:
    """It is on for half a minute at a time, which is too short to note how much is left."""
    await world.started()
    world.daemon.governor.set_paused(True, HOUR_S)
    await world.clock.sleep(60)
    starts = 0
    while world.status.state is State.PAUSED:
        await world.clock.sleep(30)
        kept = (world.folder / "state/state.json").read_bytes()
        await world.stop()
        (world.folder / "state/state.json").write_bytes(kept)
        (world.folder / "state/running").touch()
        await world.started()
        starts += 1
        assert starts < 40

    assert starts > 5


async def test_a_pause_without_an_end_lasts_over_restarts(world: World) -> None:
    await world.started()
    world.daemon.governor.set_paused(True)
    await world.stop()
    await world.started()
    await world.clock.sleep(100 * HOUR_S)

    assert world.status.state is State.PAUSED


async def test_a_sync_that_was_asked_for_before_a_pause_is_done_after_it(world: World) -> None:
    world.link_up()
    await world.started()
    await world.until(lambda: bool(world.jobs) and world.jobs[0].status.is_done)
    world.daemon.governor.set_paused(True)
    job = world.daemon.governor.ask(Cause.SOCKET, (), is_expensive_allowed=False)
    await world.until(lambda: world.status.reason is WaitReason.PAUSED)
    await world.clock.sleep(HOUR_S)

    world.daemon.governor.set_paused(False)
    await world.until(lambda: world.daemon.governor.jobs.get(job.id).status.is_done)

    assert world.daemon.governor.jobs.get(job.id).status is JobStatus.SUCCEEDED
