"""What a person may know of a job of the service, and do to it, while it is waited for."""

import asyncio
from contextlib import suppress

from engine.clock import Clock


class JobWatch:
    """Shared by who waits for the service's job and who looks on.

    ``server_job_id`` is the service's name for it, empty while there is none.
    """

    def __init__(self) -> None:
        self.server_job_id = ""
        self._poll_now = asyncio.Event()

    def poll_now(self) -> None:
        """Do not wait any longer before the service is asked again."""
        self._poll_now.set()

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Sleep on ``clock`` until it is time, or somebody wants to know now."""
        nap = asyncio.ensure_future(clock.sleep(seconds))
        poke = asyncio.ensure_future(self._poll_now.wait())
        try:
            await asyncio.wait((nap, poke), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._poll_now.clear()
            for task in (nap, poke):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
