"""The end of a process that we started."""

import asyncio
from contextlib import suppress

from engine import Clock


async def end_child(process: asyncio.subprocess.Process, clock: Clock, patience_s: float) -> None:
    """Have it end (SIGTERM); kill it if it has not after ``patience_s``, or if we are cancelled
    meanwhile. It has ended when this returns."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    ended = asyncio.create_task(process.wait())
    patience = asyncio.create_task(clock.sleep(patience_s))
    try:
        await asyncio.wait((ended, patience), return_when=asyncio.FIRST_COMPLETED)
    finally:
        patience.cancel()
        if not ended.done():
            with suppress(ProcessLookupError):
                process.kill()
        await asyncio.gather(ended, patience, return_exceptions=True)
