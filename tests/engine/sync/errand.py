"""A job whose work a test gives it, and some works."""

import asyncio
from collections.abc import Awaitable, Callable

from engine.errors import BadParameterError
from engine.sync.job import Job, Narrator
from tests.fakes.clock import VirtualClock

Work = Callable[[Narrator], Awaitable[str]]


class Errand(Job[str]):
    """A job whose work a test gives it."""

    kind = "errand"

    def __init__(self, work: Work) -> None:
        super().__init__(clock=VirtualClock())
        self._errand = work

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind}

    async def _run(self) -> str:
        return await self._errand(self._narrator)


async def at_once(narrator: Narrator) -> str:
    return "done"


async def for_ever(narrator: Narrator) -> str:
    await asyncio.Event().wait()
    return "never"


async def in_steps(narrator: Narrator) -> str:
    for step in range(1, 5):
        await narrator.breathe()
        narrator.report(20 * step)
        await asyncio.sleep(0)
    return "done"


async def wrong(narrator: Narrator) -> str:
    raise BadParameterError("the area is wrong")


async def turns(count: int = 10) -> None:
    """Let the others run."""
    for _ in range(count):
        await asyncio.sleep(0)
