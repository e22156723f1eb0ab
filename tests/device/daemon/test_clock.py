"""A device without a clock that goes on while the power is off."""

from datetime import timedelta

from device.api.status import Cause
from device.cli_status import status_lines
from device.model import ClockTrust
from tests.device.daemon.world import World


async def test_a_clock_that_begins_anew_is_known_to_be_slow_by_at_least_so_much(
    world: World,
) -> None:
    """By when the device last knew the time."""
    world.start()
    await world.until(lambda: not world.daemon.governor.is_starting)
    world.link_up()
    await world.until(lambda: bool(world.jobs) and world.jobs[0].status.is_done)
    await world.until(lambda: world.status.job is None)
    before = world.status.clock
    await world.stop()

    world.trust = ClockTrust.NONE
    world.clock.set_now(world.clock.now() - timedelta(days=1000))
    world.start()
    await world.until(lambda: not world.daemon.governor.is_starting)
    after = world.status.clock
    told = "\n".join(status_lines(world.status))
    world.daemon.governor.ask(Cause.SOCKET, (), is_expensive_allowed=False)
    await world.until(lambda: world.jobs[0].status.is_done)

    assert before.error is None
    assert after.trust is ClockTrust.NONE
    assert after.error is not None
    assert after.error.is_at_least
    assert -after.error.seconds / 86_400 > 999
    assert "at least 2 years slow" in told
    assert world.status.clock.error is not None, "and it is not forgotten by a sync"
