"""Stops the daemon at its n-th suspension, whichever of its tasks that is in."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any


class Steps:
    """Counts how often any task has waited; calls ``stop`` the ``at``-th time (0: never)."""

    def __init__(self) -> None:
        self.count = 0
        self._at = 0
        self._stop: Callable[[], object] = bool

    def stop_at(self, at: int, stop: Callable[[], object]) -> None:
        """Begin to count."""
        self.count, self._at, self._stop = 0, at, stop

    def waited(self) -> None:
        self.count += 1
        if self.count == self._at:
            self._stop()


class _Counted:
    def __init__(self, work: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._work = work
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                future = self._work.send(value) if error is None else self._work.throw(error)
            except StopIteration as stop:
                return stop.value
            value, error = None, None
            self._steps.waited()
            try:
                value = yield future
            except BaseException as thrown:
                error = thrown


async def _counted(work: Coroutine[Any, Any, Any], steps: Steps) -> Any:
    return await _Counted(work, steps)


@contextmanager
def counted_steps(loop: asyncio.AbstractEventLoop) -> Iterator[Steps]:
    """Every task that is made in the block is counted."""
    steps = Steps()

    def make(loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(_counted(work, steps), loop=loop, **more)

    loop.set_task_factory(make)
    try:
        yield steps
    finally:
        loop.set_task_factory(None)
