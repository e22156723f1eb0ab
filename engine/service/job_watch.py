"""What a person may know of a job of the service, and do to it, while it is waited for."""

import asyncio

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
        waits = (
            asyncio.ensure_future(clock.sleep(seconds)),
            asyncio.ensure_future(self._poll_now.wait()),
        )
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._poll_now.clear()
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
