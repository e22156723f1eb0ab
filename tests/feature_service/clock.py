"""Where the service takes the time from, so that a test can own it."""

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """The time of day and a way to wait for it to pass."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01 UTC."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class SkewedClock:
    """Another clock's waits with dates that are wrong by so many seconds."""

    def __init__(self, clock: Clock, skew_s: int) -> None:
        self._clock = clock
        self._skew_ms = skew_s * 1000

    def now_ms(self) -> int:
        return self._clock.now_ms() + self._skew_ms

    async def sleep(self, delay_s: float) -> None:
        await self._clock.sleep(delay_s)


class ManualClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = start_ms
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due_ms = self._now_ms + round(delay_s * 1000)
        heapq.heappush(self._waiting, (due_ms, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Move the time on and wake whoever waited for a moment now past."""
        self._now_ms += round(seconds * 1000)
        while self._waiting and self._waiting[0][0] <= self._now_ms:
            _, _, woken = heapq.heappop(self._waiting)
            if not woken.done():
                woken.set_result(None)

    @property
    def sleepers(self) -> int:
        """How many are waiting for the time to pass."""
        return sum(1 for _, _, woken in self._waiting if not woken.done())
