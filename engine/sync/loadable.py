"""Objects that must ask somewhere before they can be used, and remember whether they could.

The rules are those of the ArcGIS Maps SDK's loadable pattern ("Loading resources
asynchronously"): concurrent and repeated ``load`` calls share one attempt; a failed load fails the
same way again until ``retry_load``.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

from engine.errors import EngineError, JobCancelledError
from engine.model import LoadStatus

log = logging.getLogger(__name__)


class Loadable(ABC):
    """Base of the tasks and other objects with a ``load_status``."""

    def __init__(self) -> None:
        self._load_status = LoadStatus.NOT_LOADED
        self._load_error: EngineError | None = None
        self._loading: asyncio.Task[EngineError | None] | None = None
        self._listeners: list[asyncio.Queue[LoadStatus]] = []

    @property
    def load_status(self) -> LoadStatus:
        return self._load_status

    async def load_status_changes(self) -> AsyncIterator[LoadStatus]:
        """The status now, and then each new one, for as long as somebody listens."""
        queue: asyncio.Queue[LoadStatus] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            yield self._load_status
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    @property
    def load_error(self) -> EngineError | None:
        """Why the last load failed; None in every other state."""
        return self._load_error

    async def load(self) -> None:
        """Load once; later calls return at once, or raise the error of the failed attempt."""
        if self._load_status is LoadStatus.LOADED:
            return
        if self._load_status is LoadStatus.FAILED_TO_LOAD and self._load_error is not None:
            raise self._load_error
        if self._loading is None:
            self._move(LoadStatus.LOADING)
            self._loading = asyncio.create_task(self._attempt(), name=f"load {type(self).__name__}")
            self._loading.add_done_callback(self._attempt_ended)
        loading = self._loading
        # A caller that gives up must not take the shared attempt away from the others.
        await asyncio.wait((loading,))
        # Not the error that is remembered: who was told first may be retrying already.
        error = self._cancelled() if loading.cancelled() else loading.result()
        if error is not None:
            raise error

    async def retry_load(self) -> None:
        """Try again after a failed load; the same as ``load`` in every other state."""
        if self._load_status is LoadStatus.FAILED_TO_LOAD:
            self._load_status, self._load_error = LoadStatus.NOT_LOADED, None  # for no listener
        await self.load()

    def cancel_load(self) -> None:
        """Stop a load that is running; it ends as failed with :exc:`JobCancelledError`."""
        if self._loading is not None:
            self._loading.cancel()

    async def _attempt(self) -> EngineError | None:
        try:
            await self._load()
        except asyncio.CancelledError:
            return self._cancelled()
        except EngineError as error:
            return error
        except Exception as error:
            log.exception("loading of %s failed unexpectedly", type(self).__name__)
            wrapped = EngineError(
                f"unexpected {type(error).__name__}: {error}",
                remedy="This is a fault in fieldsync; please report it with the log",
            )
            wrapped.__cause__ = error
            return wrapped
        return None

    def _attempt_ended(self, task: asyncio.Task[EngineError | None]) -> None:
        """A task that is cancelled before its first step never runs a line of its own."""
        self._loading = None
        self._load_error = self._cancelled() if task.cancelled() else task.result()
        self._move(LoadStatus.LOADED if self._load_error is None else LoadStatus.FAILED_TO_LOAD)

    def _move(self, status: LoadStatus) -> None:
        self._load_status = status
        for queue in self._listeners:
            queue.put_nowait(status)

    def _cancelled(self) -> JobCancelledError:
        return JobCancelledError(f"loading of {type(self).__name__} was cancelled")

    @abstractmethod
    async def _load(self) -> None:
        """Do the loading; raise an :exc:`EngineError` if it cannot be done."""
