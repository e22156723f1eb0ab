"""Waiting for whichever comes first: an event, or a moment of an injected clock."""

import asyncio

from engine import Clock


async def until_set(event: asyncio.Event, clock: Clock, moment: float | None) -> None:
    """Return once ``event`` is set, or the monotonic ``clock`` has reached ``moment`` (None: only
    the event counts). The event stays as it is. Nothing is left running, also when cancelled."""
    if moment is None or event.is_set():
        await event.wait()
        return
    waits = [
        asyncio.create_task(event.wait(), name="event"),
        asyncio.create_task(clock.sleep(moment - clock.monotonic()), name="moment"),
    ]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
