"""What the socket asks of the daemon. The daemon implements it; tests have a small honest fake.

Methods that only tell are plain functions and answer from memory. Those that change something are
told who asked, for the log; whether that caller may is decided before.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from device.api.events import EventHub
from device.api.metrics import MetricFamily
from device.api.requests import SyncRequest as SyncRequest
from device.api.status import Health, JobRecord, Status
from engine import EngineError, ExitCode, OfflineMap


class UnknownMapError(EngineError, LookupError):
    """The configuration has no map of that name."""

    code = "unknown-map"
    exit_code = ExitCode.USAGE


class UnknownJobError(EngineError, LookupError):
    """There is no such job, or it was so long ago that it is forgotten."""

    code = "unknown-job"
    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is at the other end of the socket, as the kernel says (SO_PEERCRED, unix(7)).

    ``groups`` are the supplementary ones.
    """

    uid: int
    gid: int
    pid: int
    groups: tuple[int, ...] = ()


class Appliance(Protocol):
    """The device, as the socket sees it."""

    @property
    def events(self) -> EventHub:
        """Where changes are published."""

    def status(self) -> Status: ...

    def jobs(self) -> Sequence[JobRecord]:
        """The waiting, the running and the last ones, newest first; at most some dozens."""

    def job(self, job_id: str) -> JobRecord:
        """:exc:`UnknownJobError`."""

    def health(self) -> Health: ...

    def config(self) -> Mapping[str, object]:
        """The configuration as it is in force, without secrets (:mod:`device.redaction`)."""

    def metrics(self) -> Iterable[MetricFamily]:
        """What is counted beside what follows from the status, the jobs and the health."""

    async def request_sync(self, request: SyncRequest, by: Caller) -> JobRecord:
        """Make a job, or widen and give the one that is waiting already; it runs as soon as it may.
        :exc:`UnknownMapError`."""

    async def cancel_job(self, job_id: str, by: Caller) -> JobRecord:
        """Cancel a job and wait for its end; one that is over stays as it is. Nothing is lost.
        :exc:`UnknownJobError`."""

    async def pause(self, seconds: float | None, by: Caller) -> None:
        """Sync nothing before so many seconds have passed, or, if that is None, before
        :meth:`resume`. A running sync is stopped in good order. Survives a restart."""

    async def resume(self, by: Caller) -> None:
        """End a pause; what was held back is decided anew."""

    def open_map(self, name: str) -> AbstractAsyncContextManager[OfflineMap]:
        """The map, open while the block lasts, also while it is being synced.

        :exc:`UnknownMapError` at once; entering raises what :class:`OfflineMap` does.
        """

    async def map_was_decided(self, name: str, by: Caller) -> None:
        """A conflict or a quarantined row of the map was decided: count anew, and sync when it may
        be."""
