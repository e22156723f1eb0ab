"""A process of ours has ended when we go on, whatever it does and whoever ends us."""

import asyncio
import sys

from device.modem.child import end_child
from tests.fakes.clock import VirtualClock

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"


async def deaf() -> asyncio.subprocess.Process:
    """One that does not hear that it shall end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DEAF),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def test_what_does_not_end_is_killed_when_patience_is_over() -> None:
    process, clock = await deaf(), VirtualClock()
    ending = asyncio.create_task(end_child(process, clock, 10.0))

    await clock.advance(9.9)
    assert process.returncode is None
    await clock.advance(0.1)
    await ending

    assert process.returncode == -9


async def test_who_is_cancelled_while_he_waits_kills_it_at_once() -> None:
    process, clock = await deaf(), VirtualClock()
    ending = asyncio.create_task(end_child(process, clock, 10.0))
    await clock.advance(0.1)

    ending.cancel()
    await asyncio.wait((ending,))

    assert ending.cancelled()
    assert process.returncode == -9
