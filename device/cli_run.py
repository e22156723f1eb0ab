"""Running a verb that waits: an event loop that Ctrl-C and SIGTERM end in good order."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

from device.cli import STOP_SIGNALS
from device.cli_errors import StoppedError
from device.console import Console
from engine import Job, JobStatus

ResultT = TypeVar("ResultT")


def run_async(work: Callable[[], Awaitable[ResultT]], *, when_stopped: str) -> ResultT:
    """Run ``work`` to its end. A stop signal cancels it, and it may clean up first; a second one
    does not wait for that, so that a dead link cannot hold a person up.

    :exc:`StoppedError` with ``when_stopped`` if it was cancelled.
    """

    async def supervised() -> ResultT:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        heard = [n for n in STOP_SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
        for number in heard:
            loop.add_signal_handler(number, task.cancel)
        try:
            return await work()
        finally:
            for number in heard:
                loop.remove_signal_handler(number)

    try:
        return asyncio.run(supervised())
    except asyncio.CancelledError:
        raise StoppedError("stopped", remedy=when_stopped) from None


async def follow(job: Job[ResultT], label: str, console: Console) -> ResultT:
    """Start ``job``, show its progress, give its result.

    Cancelling cancels the job and waits for its end. If the work was done by then, the result is
    given all the same.
    """
    progress = console.progress(label)
    try:
        job.start()
        async for event in job:
            progress.show(event)
    except asyncio.CancelledError:
        await job.cancel()
        task = asyncio.current_task()
        if job.status is not JobStatus.SUCCEEDED or task is None:
            raise
        task.uncancel()
    finally:
        progress.close()
    return await job.result()
