"""Waiting for a job of the service ends in time, at a word, and whenever it is cancelled."""

import asyncio

from engine.service.job_watch import JobWatch
from tests.cancelling import CancelledAt
from tests.fakes.clock import VirtualClock


async def waited(watch: JobWatch, at: int) -> "tuple[CancelledAt[None], asyncio.Task[None]]":
    """A wait of a minute that somebody cuts short, cancelled at its ``at``-th await."""
    clock = VirtualClock()
    work = CancelledAt(watch.wait(clock, 60), at)

    async def run() -> None:
        await work

    waiting = asyncio.create_task(run())
    await clock.advance(30)
    watch.poll_now()
    await asyncio.wait((waiting,))
    assert clock.sleeping == 0
    return work, waiting


async def test_waiting_ends_when_somebody_wants_to_know_now() -> None:
    _, waiting = await waited(JobWatch(), 0)
    assert not waiting.cancelled()


async def test_waiting_ends_in_time() -> None:
    watch, clock = JobWatch(), VirtualClock()
    waiting = asyncio.create_task(watch.wait(clock, 60))

    await clock.advance(59)
    assert not waiting.done()
    await clock.advance(1)

    assert waiting.done()


async def test_waiting_that_is_cancelled_anywhere_tells_it() -> None:
    work, _ = await waited(JobWatch(), 0)
    assert work.count > 1
    for at in range(1, work.count + 1):
        _, waiting = await waited(JobWatch(), at)
        assert waiting.cancelled(), at
