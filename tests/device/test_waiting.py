"""Waiting for an event or a moment ends with the first of them, and leaves nothing running."""

import asyncio

import pytest

from device.waiting import until_set
from tests.cancelling import CancelledAt
from tests.fakes.clock import VirtualClock


async def waited(at: int = 0) -> "tuple[CancelledAt[None], asyncio.Task[None]]":
    """A wait of a minute whose event comes earlier, cancelled at its ``at``-th await."""
    clock, event = VirtualClock(), asyncio.Event()
    work = CancelledAt(until_set(event, clock, 60), at)

    async def run() -> None:
        await work

    waiting = asyncio.create_task(run())
    await clock.advance(30)
    event.set()
    await asyncio.wait((waiting,))
    assert event.is_set()
    assert clock.sleeping == 0
    return work, waiting


async def test_waiting_ends_with_the_event() -> None:
    _, waiting = await waited()
    assert not waiting.cancelled()


@pytest.mark.parametrize("moment", [0.0, 60.0])
async def test_waiting_ends_at_the_moment(moment: float) -> None:
    clock, event = VirtualClock(), asyncio.Event()
    waiting = asyncio.create_task(until_set(event, clock, moment))

    await clock.advance(moment)

    assert waiting.done()
    assert not event.is_set()


async def test_waiting_without_a_moment_waits_for_the_event() -> None:
    clock, event = VirtualClock(), asyncio.Event()
    waiting = asyncio.create_task(until_set(event, clock, None))
    await clock.advance(10_000)
    assert not waiting.done()

    event.set()
    await clock.advance(0)

    assert waiting.done()


async def test_waiting_that_is_cancelled_anywhere_tells_it() -> None:
    work, _ = await waited()
    assert work.count > 1
    for at in range(1, work.count + 1):
        _, waiting = await waited(at)
        assert waiting.cancelled(), at
