"""A clock whose time passes only when a test says so, or when nothing else is left to do.

With ``autojump`` it moves to the next sleeper as soon as every task waits: no event is ready on
the loop, and no thread of the process is at work. A retry after an hour then costs a few
milliseconds, and code that races a sleeper against input comes out as it would on a fast machine.
"""

import asyncio
import heapq
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

START = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
SETTLE_S = 0.001
"""How long, in real time, the loop must be without an event to count as idle. Bytes on loopback
and answers of threads take less; a thread that takes longer is seen at work."""
SETTLE_WITH_CHILDREN_S = 0.005
"""The same while the process has children: they are not seen at work, so they get some time."""


class VirtualClock:
    """:class:`engine.clock.Clock` for tests.

    Told (``autojump=False``): time passes in :meth:`advance` only. Jumping: see the module.
    Both need a :class:`VirtualLoop`, on which every asynchronous test of this project runs.
    """

    def __init__(self, start: datetime = START, *, autojump: bool = False) -> None:
        self._autojump = autojump
        self._start = start
        self._elapsed_s = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._jump_planned = False

    def monotonic(self) -> float:
        return self._elapsed_s

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed_s)

    def set_now(self, moment: datetime) -> None:
        """Set the wall clock, as a person or the network may; the monotonic clock stays."""
        self._start = moment - timedelta(seconds=self._elapsed_s)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = _loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_s + seconds, next(self._order), future))
        self._plan_jump()
        await future

    @property
    def sleeping(self) -> int:
        """How many tasks wait for this clock now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking sleepers in order; returns when every task waits again."""
        if self._autojump:
            raise RuntimeError("a clock that jumps by itself cannot be told to advance")
        target = self._elapsed_s + seconds
        await _loop().idle()
        while (due := self._next_due()) is not None and due <= target:
            self._wake(due)
            await _loop().idle()
        self._elapsed_s = target

    def close(self) -> None:
        """Forget the sleepers of a test that is over."""
        self._sleepers.clear()

    def _plan_jump(self) -> None:
        if self._autojump and not self._jump_planned:
            self._jump_planned = True
            _loop().call_when_idle(self._jump)

    def _jump(self) -> None:
        self._jump_planned = False
        if (due := self._next_due()) is not None:
            self._wake(due)
        if self._next_due() is not None:
            self._plan_jump()

    def _next_due(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():  # its task was cancelled
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _wake(self, due: float) -> None:
        self._elapsed_s = due
        while self._sleepers and self._sleepers[0][0] <= due:
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that can tell when every task waits. Without a waiter it is a plain one."""

    def __init__(self) -> None:
        self._idlers: deque[Callable[[], None]] = deque()
        super().__init__(_IdleSelector(self._idlers))

    def call_when_idle(self, callback: Callable[[], None]) -> None:
        """Call once, the next time that nothing is left to do; first come, first served."""
        self._idlers.append(callback)

    async def idle(self) -> None:
        """Wait until every other task waits."""
        waiting = asyncio.Event()
        self.call_when_idle(waiting.set)
        await waiting.wait()


class _IdleSelector(selectors.EpollSelector):
    """Sees the moment in which the loop would block."""

    def __init__(self, idlers: deque[Callable[[], None]]) -> None:
        super().__init__()
        self._idlers = idlers

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._idlers or (timeout is not None and timeout <= 0):
            return super().select(timeout)
        settle_s = SETTLE_WITH_CHILDREN_S if _has_children() else SETTLE_S
        events = super().select(settle_s if timeout is None else min(settle_s, timeout))
        if not events and _threads_rest():
            # A thread may have ended its work since: then it has rung by now. Or it waited for us
            # to let go of the interpreter, and is at work again.
            events = super().select(0)
            if not events and _threads_rest():
                self._idlers.popleft()()
        return events  # perhaps none: the loop looks what became ready, and asks again


def _threads_rest() -> bool:
    """True if no other thread of this process runs, or waits for a disk (proc(5), "state")."""
    own = threading.get_native_id()
    for task in os.listdir("/proc/self/task"):
        if int(task) == own:
            continue
        try:
            status = Path("/proc/self/task", task, "stat").read_text()
        except OSError:
            continue  # it has ended meanwhile
        if status.rpartition(")")[2].split()[0] in "RD":
            return False
    return True


def _has_children() -> bool:
    """True if this process has children that it has not waited for (proc(5)), or may have."""
    for task in os.listdir("/proc/self/task"):
        try:
            if Path("/proc/self/task", task, "children").read_text():
                return True
        except OSError:
            return True  # the thread has just ended, or this kernel does not tell
    return False


def _loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise RuntimeError("a virtual clock needs a VirtualLoop")
    return loop
