"""An appliance without a device: it keeps what it is told, and does what a test says.

Its jobs move only by :meth:`FakeAppliance.move`; its maps are folders that a test has taken.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from device.api.appliance import Caller, SyncRequest, UnknownJobError, UnknownMapError
from device.api.events import EventHub
from device.api.metrics import MetricFamily, MetricKind, Sample
from device.api.status import (
    BudgetStatus,
    Cause,
    ClockStatus,
    DeviceConditions,
    Health,
    JobRecord,
    LampStatus,
    LinkStatus,
    MapStatus,
    PartHealth,
    State,
    Status,
)
from device.model import ClockTrust, Indication, LinkClass, Reach, WaitReason
from device.redaction import redacted
from engine import Clock, JobMessage, JobStatus, MessageSeverity, OfflineMap
from engine.sync.job import MessageSource

KEPT_JOBS = 20


class FakeAppliance:
    """An :class:`~device.api.appliance.Appliance`. ``asked`` lists who asked for what."""

    def __init__(
        self,
        clock: Clock,
        maps: Mapping[str, Path] | None = None,
        *,
        kept_events: int = 512,
        config: Mapping[str, object] | None = None,
    ) -> None:
        self.hub = EventHub(clock, kept=kept_events)
        self.asked: list[tuple[str, Caller]] = []
        self.parts = {"runs": True, "links": True}
        self.details: dict[str, str] = {}
        self.folders = dict(maps or {})
        self.fields: dict[str, object] = {}
        """Members of the status that a test wants otherwise."""
        self._clock = clock
        self._jobs: dict[str, JobRecord] = {}
        self._paused_for: float | None = None
        self._is_paused = False
        self._config = config or {"device": {"name": "fake"}, "map": []}

    # --- what a test does -------------------------------------------------------------------------

    def move(self, job_id: str, status: JobStatus, **changes: object) -> JobRecord:
        """The job goes on."""
        moved = replace(self.job(job_id), status=status, **changes)  # type: ignore[arg-type]  # members of a job
        self._jobs[job_id] = moved
        self.hub.job_changed(moved)
        return moved

    def say(self, job_id: str, text: str) -> None:
        """The job says something."""
        message = JobMessage(
            text=text,
            severity=MessageSeverity.INFO,
            source=MessageSource.CLIENT,
            at=self._clock.now(),
        )
        self.hub.said(job_id, "park", message)

    # --- Appliance --------------------------------------------------------------------------------

    @property
    def events(self) -> EventHub:
        return self.hub

    def status(self) -> Status:
        told = Status(
            state=State.PAUSED if self._is_paused else State.IDLE,
            reason=WaitReason.PAUSED if self._is_paused else WaitReason.NOTHING_TO_DO,
            detail="Paused." if self._is_paused else "Nothing to do.",
            next_run_in_s=self._paused_for if self._is_paused else 60.0,
            maps=tuple(self._map(name) for name in self.folders),
            links=(
                LinkStatus(
                    interface="wlan0",
                    link_class=LinkClass.WIFI,
                    reach=Reach.SERVICE,
                    up_for_s=12.5,
                    sent_bytes=1000,
                    received_bytes=5000,
                ),
            ),
            budgets=(
                BudgetStatus(link_class=LinkClass.CELLULAR, used_bytes=0, limit_bytes=20_000_000),
                BudgetStatus(link_class=LinkClass.WIFI, used_bytes=6000, limit_bytes=None),
            ),
            lamps=LampStatus(indication=Indication(), explanation="All is well."),
            clock=ClockStatus(now=self._clock.now(), trust=ClockTrust.NTP),
            conditions=DeviceConditions(disk_free_bytes=10**9, disk_total_bytes=10**10),
            up_for_s=self._clock.monotonic(),
            version="1.2.3",
        )
        return replace(told, **self.fields)  # type: ignore[arg-type]  # members of a status

    def jobs(self) -> Sequence[JobRecord]:
        return list(reversed(self._jobs.values()))

    def job(self, job_id: str) -> JobRecord:
        if job_id not in self._jobs:
            raise UnknownJobError(f"there is no job {job_id!r}", remedy="/v1/jobs lists them")
        return self._jobs[job_id]

    def health(self) -> Health:
        parts = tuple(
            PartHealth(name=name, is_alive=is_alive, detail=self.details.get(name, ""))
            for name, is_alive in self.parts.items()
        )
        return Health(parts=parts, is_healthy=all(self.parts.values()))

    def config(self) -> Mapping[str, object]:
        shown = redacted(self._config)
        assert isinstance(shown, dict)
        return shown

    def metrics(self) -> Iterable[MetricFamily]:
        return [
            MetricFamily(
                name="fieldsync_runs",
                kind=MetricKind.COUNTER,
                help="Runs since the start.",
                samples=(Sample(value=len(self._jobs)),),
            )
        ]

    async def request_sync(self, request: SyncRequest, by: Caller) -> JobRecord:
        self.asked.append(("sync", by))
        for name in request.maps:
            self._require(name)
        waiting = [j for j in self._jobs.values() if j.status is JobStatus.NOT_STARTED]
        if waiting:
            return waiting[0]
        job = JobRecord(
            id=f"job-{len(self._jobs) + 1}",
            cause=Cause.SOCKET,
            maps=request.maps or tuple(self.folders),
            status=JobStatus.NOT_STARTED,
            is_expensive_allowed=request.is_expensive_allowed,
            created_at=self._clock.now(),
        )
        self._jobs[job.id] = job
        for old in list(self._jobs)[:-KEPT_JOBS]:
            del self._jobs[old]
        self.hub.job_changed(job)
        return job

    async def cancel_job(self, job_id: str, by: Caller) -> JobRecord:
        self.asked.append(("cancel", by))
        job = self.job(job_id)
        return job if job.status.is_done else self.move(job_id, JobStatus.CANCELLED)

    async def pause(self, seconds: float | None, by: Caller) -> None:
        self.asked.append(("pause", by))
        self._is_paused, self._paused_for = True, seconds
        self.hub.status_changed()

    async def resume(self, by: Caller) -> None:
        self.asked.append(("resume", by))
        self._is_paused = False
        self.hub.status_changed()

    @asynccontextmanager
    async def open_map(self, name: str) -> AsyncIterator[OfflineMap]:
        self._require(name)
        async with OfflineMap.open(self.folders[name]) as map_:
            yield map_

    async def map_was_decided(self, name: str, by: Caller) -> None:
        self.asked.append((f"decided {name}", by))
        self.hub.status_changed()

    def _require(self, name: str) -> None:
        if name not in self.folders:
            raise UnknownMapError(f"there is no map {name!r}", remedy="/v1/maps lists them")

    def _map(self, name: str) -> MapStatus:
        return MapStatus(
            name=name,
            folder=str(self.folders[name]),
            edits=0,
            conflicts=0,
            quarantined=0,
            last_sync_at=None,
        )
