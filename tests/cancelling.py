"""Cancels a coroutine at its n-th suspension, so that each await can be the one that never ends."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CancelledAt(Generic[T]):
    """Awaits ``work`` and cancels the task that does so when it waits for the ``at``-th time.

    0: never. ``count`` says how often it has waited.
    """

    def __init__(self, work: Awaitable[T], at: int = 0) -> None:
        self._work = work
        self._at = at
        self.count = 0

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        value: Any = None
        error: BaseException | None = None
        while True:
            try:
                future = steps.send(value) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            value, error = None, None
            self.count += 1
            if self.count == self._at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value = yield future
            except BaseException as thrown:
                error = thrown
