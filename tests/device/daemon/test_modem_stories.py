"""A device whose only way out is its modem dials when there is something to do, and hangs up."""

import pytest

from device.model import Attention, LinkClass, LinkSign
from device.modem.pppd import INTERFACE
from device.modem.report import REQUEST_NAME, Phase, Report
from device.modem.status import ModemStatus, Registration, SimState
from device.modem.steps import Cause
from tests.device.daemon.world import World, note_of

MODEM = '[modem]\nmode = "direct"\napn = "internet"\n[links.cellular]\nevery_minutes = 240\n'
HOME = ModemStatus(sim=SimState.READY, registration=Registration.HOME, operator="A1")


def is_dialling(world: World) -> bool:
    return (world.folder / REQUEST_NAME).exists()


def dialled(world: World, status: ModemStatus = HOME) -> None:
    """What the dialler and the kernel do when the network has taken the call."""
    Report(phase=Phase.DIALLED, status=status).write(world.folder)
    world.link_up(INTERFACE, index=9)


async def started(world: World) -> None:
    world.more = MODEM
    await world.started()


async def test_an_edit_goes_up_over_the_modem_and_then_it_hangs_up(world: World) -> None:
    await started(world)
    await world.until(lambda: is_dialling(world))  # the first pull is due
    assert world.daemon.governor.display.indication().link is LinkSign.SEARCHING
    dialled(world)
    await world.until(lambda: world.status.last_run is not None)
    assert world.status.links[0].link_class is LinkClass.CELLULAR
    assert world.status.modem is not None
    assert world.status.modem.operator == "A1"
    await world.until(lambda: not is_dialling(world))
    world.link_down()

    world.edit(1, "from the field")
    await world.until(lambda: is_dialling(world))
    dialled(world)
    await world.until(lambda: world.status.maps[0].edits == 0)
    assert await note_of(world.service, 1) == "from the field"
    await world.until(lambda: not is_dialling(world))


@pytest.mark.slow
async def test_nothing_to_do_dials_nothing(world: World) -> None:
    await started(world)
    await world.until(lambda: is_dialling(world))
    dialled(world)
    await world.until(lambda: world.status.last_run is not None and not is_dialling(world))
    world.link_down()
    await world.clock.sleep(2 * 3600)
    assert not is_dialling(world)
    await world.clock.sleep(2 * 3600 + 60)
    assert is_dialling(world)  # the next pull is due


async def test_a_cheaper_link_that_leads_out_keeps_the_modem_quiet(world: World) -> None:
    await started(world)
    await world.until(lambda: is_dialling(world))
    world.link_up("wlan0")
    await world.until(lambda: world.status.last_run is not None and not is_dialling(world))
    world.edit(1, "from the field")
    await world.until(lambda: world.status.maps[0].edits == 0)
    assert not is_dialling(world)


async def test_a_sim_that_needs_a_person_is_told_by_the_lamps_until_a_press(world: World) -> None:
    await started(world)
    await world.until(lambda: is_dialling(world))
    Report(phase=Phase.STOPPED, cause=Cause.PIN, message="the SIM wants its PIN").write(
        world.folder
    )
    await world.until(
        lambda: world.daemon.governor.display.indication().attention is Attention.REFUSED
    )
    assert not is_dialling(world)
    assert world.status.modem is not None
    assert world.status.modem.state == "the SIM wants its PIN"
    await world.press()
    await world.until(lambda: is_dialling(world))


async def test_the_end_of_the_daemon_hangs_up(world: World) -> None:
    await started(world)
    await world.until(lambda: is_dialling(world))
    await world.stop()
    assert not is_dialling(world)
