"""The daemon as a whole: links, edits and presses in; syncs, lamps and answers out."""

from device.api.status import Cause, State
from device.lamps.rhythm import BREATH, OFF, SOLID
from device.model import Reach, WaitReason
from engine import JobStatus
from tests.device.daemon.world import World, note_of


async def test_a_link_that_appears_brings_device_and_service_together(world: World) -> None:
    world.edit(1, "from the field")
    await world.started()
    waiting = world.status
    await world.clock.sleep(600)
    assert world.jobs == []

    world.link_up()
    await world.until(lambda: bool(world.jobs) and world.jobs[0].status.is_done)

    assert waiting.state is State.WAITING
    assert waiting.reason is WaitReason.NO_LINK
    assert waiting.maps[0].edits == 1
    assert world.jobs[0].status is JobStatus.SUCCEEDED
    assert world.jobs[0].cause is Cause.LINK
    assert world.jobs[0].link == "wlan0"
    assert world.status.maps[0].edits == 0
    assert world.status.links[0].reach is Reach.SERVICE
    assert await note_of(world.service, 1) == "from the field"


async def test_the_lamps_tell_what_happens(world: World) -> None:
    world.start()
    await world.clock.sleep(5)
    dark = [world.rhythm(lamp) for lamp in ("link", "sync", "attention")]
    world.edit()
    await world.until(lambda: world.rhythm("sync") is BREATH)
    world.link_up()
    await world.until(lambda: world.rhythm("sync") is SOLID)
    synced = [world.rhythm(lamp) for lamp in ("link", "attention")]
    await world.clock.sleep(12)

    assert dark == [OFF, OFF, OFF]
    assert synced == [SOLID, OFF]
    assert world.rhythm("sync") is OFF


async def test_a_button_that_is_gone_is_told_until_it_is_back(world: World) -> None:
    await world.started()

    world.button.unplug()
    await world.until(lambda: "gone away" in detail_of(world, "button"))
    told = world.daemon.appliance.health()
    world.button.plug()
    await world.until(lambda: detail_of(world, "button") == "")

    assert told.is_healthy


def detail_of(world: World, part: str) -> str:
    return next(one.detail for one in world.daemon.appliance.health().parts if one.name == part)
