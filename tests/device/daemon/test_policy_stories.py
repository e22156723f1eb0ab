"""What the service or the network does to a sync, and what the device does then."""

import fcntl

import pytest

from device.model import Attention, FailureClass, Gesture, Reach, WaitReason
from engine import JobStatus
from tests.device.daemon.world import World, note_of
from tests.feature_service.fault import Fault


async def started(world: World) -> None:
    """With an edit that waits, and a link that has come."""
    world.edit(1, "from the field")
    await world.started()
    world.link_up()


def waits(world: World, reason: WaitReason) -> bool:
    return bool(world.jobs) and world.jobs[0].status.is_done and world.status.reason is reason


async def synced(world: World) -> None:
    await world.until(lambda: world.status.maps[0].edits == 0)
    await world.until(lambda: world.jobs[0].status is JobStatus.SUCCEEDED)
    assert await note_of(world.service, 1) == "from the field"


async def test_a_captive_portal_is_told_and_left_with_its_link(world: World) -> None:
    world.service.faults.add(Fault(kind="status", status=511, times=0))
    await started(world)
    await world.until(lambda: waits(world, WaitReason.PORTAL))
    told = world.status

    world.service.faults.clear()
    world.link_down()
    await world.until(lambda: world.status.reason is WaitReason.NO_LINK)
    world.link_up(index=3)
    await synced(world)

    assert [link.reach for link in told.links] == [Reach.PORTAL]
    assert told.last_run is not None
    assert told.last_run.failure_class is FailureClass.PORTAL
    assert world.status.links[0].reach is Reach.SERVICE


@pytest.mark.slow
async def test_a_service_that_asks_for_time_gets_it_also_from_a_press_and_a_restart(
    world: World,
) -> None:
    busy = Fault(kind="status", status=503, retry_after_s=900, times=0)
    world.service.faults.add(busy)
    await started(world)
    await world.until(lambda: waits(world, WaitReason.RETRY_AFTER))
    asked_at, runs = world.clock.monotonic(), len(world.jobs)
    world.service.faults.clear()

    await world.press()
    await world.clock.sleep(200)
    after_press = world.status.reason
    count = len([job for job in world.jobs if job.status.is_done])
    await world.stop()
    await world.started()
    await world.clock.sleep(100)
    after_restart = world.status.reason
    await world.clock.sleep(905 - (world.clock.monotonic() - asked_at))
    await synced(world)

    assert after_press is WaitReason.RETRY_AFTER
    assert count == runs
    assert after_restart is WaitReason.RETRY_AFTER
    assert world.clock.monotonic() - asked_at >= 900


async def test_a_refused_sign_in_waits_for_a_person(world: World) -> None:
    world.service.faults.add(Fault(kind="status", status=401, times=0))
    await started(world)
    await world.until(lambda: waits(world, WaitReason.AUTHENTICATION))
    tried = len(world.jobs)
    await world.clock.sleep(24 * 3600)
    still = (world.status.reason, len(world.jobs))
    world.service.faults.clear()

    world.daemon.governor.pressed(Gesture.SHORT)
    await synced(world)

    assert still == (WaitReason.AUTHENTICATION, tried)


async def test_a_refused_sign_in_is_not_tried_again_by_a_device_that_is_switched_off_and_on(
    world: World,
) -> None:
    """Five failures lock an account."""
    world.sign_in_mark = "first"
    world.service.faults.add(Fault(kind="status", status=401, times=0))
    await started(world)
    await world.until(lambda: waits(world, WaitReason.AUTHENTICATION))
    asked = dict(world.service.traffic)
    for _ in range(5):
        await world.stop()
        await world.started()
        await world.clock.sleep(600)
    after_restarts, reason = dict(world.service.traffic), world.status.reason
    world.service.faults.clear()

    await world.stop()
    world.sign_in_mark = "corrected"
    await world.started()
    await synced(world)

    assert (reason, after_restarts) == (WaitReason.AUTHENTICATION, asked)


@pytest.mark.slow
async def test_a_service_in_trouble_is_tried_less_and_less(world: World) -> None:
    world.service.faults.add(Fault(kind="status", status=404, times=0))
    await started(world)
    await world.clock.sleep(6 * 3600)
    (wait,) = world.daemon.governor.policy.state().waits
    told = world.status.reason
    world.service.faults.clear()

    await world.clock.sleep(900)
    await synced(world)

    assert told is WaitReason.BACK_OFF
    assert 20 <= wait.failures <= 80, "tries in six hours"
    assert world.daemon.governor.policy.state().waits == ()


async def test_another_program_that_syncs_the_map_is_no_trouble_of_the_storage(
    world: World,
) -> None:
    """A technician runs the command meanwhile."""
    with open(world.map / "park.gpkg.lock", "rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await started(world)
        await world.until(lambda: waits(world, WaitReason.BACK_OFF))
        told = world.status
    await synced(world)

    assert told.last_run is not None
    assert told.last_run.failure is not None
    assert told.last_run.failure.code == "sync-in-progress"
    assert told.lamps.indication.attention is Attention.WILL_RETRY
