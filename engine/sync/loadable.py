"""Objects that must ask somewhere before they can be used, and remember whether they could.

The rules are those of the ArcGIS Maps SDK's loadable pattern ("Loading resources
asynchronously"): concurrent and repeated ``load`` calls share one attempt; a failed load fails the
same way again until ``retry_load``.
"""

import asyncio
from abc import ABC, abstractmethod

from engine.errors import EngineError, JobCancelledError
from engine.model import LoadStatus


class Loadable(ABC):
    """Base of the tasks and other objects with a ``load_status``."""

    def __init__(self) -> None:
        self._load_status = LoadStatus.NOT_LOADED
        self._load_error: EngineError | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def load_status(self) -> LoadStatus:
        return self._load_status

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
            self._load_status = LoadStatus.LOADING
            self._loading = asyncio.create_task(self._attempt(), name=f"load {type(self).__name__}")
        # A caller that gives up must not take the shared attempt away from the others.
        await asyncio.shield(self._loading)
        if self._load_error is not None:
            raise self._load_error

    async def retry_load(self) -> None:
        """Try again after a failed load; the same as ``load`` in every other state."""
        if self._load_status is LoadStatus.FAILED_TO_LOAD:
            self._load_status, self._load_error = LoadStatus.NOT_LOADED, None
        await self.load()

    def cancel_load(self) -> None:
        """Stop a load that is running; it ends as failed with :exc:`JobCancelledError`."""
        if self._loading is not None:
            self._loading.cancel()

    async def _attempt(self) -> None:
        try:
            await self._load()
        except asyncio.CancelledError:
            self._fail(JobCancelledError(f"loading of {type(self).__name__} was cancelled"))
        except EngineError as error:
            self._fail(error)
        else:
            self._load_status = LoadStatus.LOADED
        finally:
            self._loading = None

    def _fail(self, error: EngineError) -> None:
        self._load_status, self._load_error = LoadStatus.FAILED_TO_LOAD, error

    @abstractmethod
    async def _load(self) -> None:
        """Do the loading; raise an :exc:`EngineError` if it cannot be done."""
