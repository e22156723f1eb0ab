"""The syncs that were asked for: at most one waits, at most one runs, the last are remembered."""

import secrets
from collections import OrderedDict
from dataclasses import replace

from device.api.appliance import UnknownJobError
from device.api.events import EventHub, bytes_of_job
from device.api.status import Cause, Failure, JobRecord, MapResult
from device.model import Wait
from engine import Clock, EngineError, JobStatus

REMEMBERED = 40
REMEMBERED_BYTES = 200_000
"""What their records may take together: of maps with many layers fewer are remembered."""


class Jobs:
    """All jobs, each as the record that everybody is shown. Changes are published."""

    def __init__(self, clock: Clock, events: EventHub) -> None:
        self._clock = clock
        self._events = events
        self._records: OrderedDict[str, JobRecord] = OrderedDict()
        self.waiting: str | None = None
        self.running: str | None = None

    def all(self) -> list[JobRecord]:
        """Newest first."""
        return list(reversed(self._records.values()))

    def get(self, job_id: str) -> JobRecord:
        """:exc:`UnknownJobError`."""
        if job_id not in self._records:
            raise UnknownJobError(
                f"there is no job {job_id!r}, or it was so long ago that it is forgotten",
                remedy="`fieldsync watch` and the jobs of the socket list those that are known",
            )
        return self._records[job_id]

    def ask(self, cause: Cause, maps: tuple[str, ...], *, is_expensive_allowed: bool) -> JobRecord:
        """A job for these maps: the one that waits already, widened if it must be, or a new one."""
        if self.waiting is not None:
            old = self.get(self.waiting)
            both = (*old.maps, *(name for name in maps if name not in old.maps))
            is_expensive = old.is_expensive_allowed or is_expensive_allowed
            return self._put(replace(old, maps=both, is_expensive_allowed=is_expensive))
        record = self._new(cause, maps, is_expensive_allowed)
        self.waiting = record.id
        return self._put(record)

    def make(self, cause: Cause, maps: tuple[str, ...]) -> JobRecord:
        """A job that nobody asked for, to be started at once; one that waits goes on waiting."""
        return self._put(self._new(cause, maps, False))

    def _new(self, cause: Cause, maps: tuple[str, ...], is_expensive_allowed: bool) -> JobRecord:
        return JobRecord(
            id=secrets.token_hex(6),
            cause=cause,
            maps=maps,
            status=JobStatus.NOT_STARTED,
            is_expensive_allowed=is_expensive_allowed,
            created_at=self._clock.now(),
        )

    def waits(self, wait: Wait) -> None:
        """Why the job that waits has not started."""
        if self.waiting is None:
            return
        left = None if wait.until is None else max(0.0, wait.until - self._clock.monotonic())
        old = self.get(self.waiting)
        new = replace(old, reason=wait.reason, detail=wait.detail, next_try_in_s=left)
        if (old.reason, old.detail) != (new.reason, new.detail):
            self._put(new)
        else:
            self._records[new.id] = new

    def start(self, job_id: str, interface: str) -> JobRecord:
        """It runs now, over that interface."""
        self.waiting = None if self.waiting == job_id else self.waiting
        self.running = job_id
        return self._put(
            replace(
                self.get(job_id),
                status=JobStatus.STARTED,
                reason=None,
                detail="",
                next_try_in_s=None,
                link=interface,
                started_at=self._clock.now(),
            )
        )

    def moved(self, progress: int, detail: str) -> None:
        """How far the running job is."""
        if self.running is not None:
            old = self.get(self.running)
            if (old.progress, old.detail) != (progress, detail):
                self._put(replace(old, progress=max(old.progress, progress), detail=detail))

    def canceling(self, job_id: str) -> None:
        """It is being stopped."""
        self._put(replace(self.get(job_id), status=JobStatus.CANCELING))

    def end(
        self,
        job_id: str,
        status: JobStatus,
        *,
        results: tuple[MapResult, ...] = (),
        error: EngineError | None = None,
    ) -> JobRecord:
        """It is over."""
        self.waiting = None if self.waiting == job_id else self.waiting
        self.running = None if self.running == job_id else self.running
        old = self.get(job_id)
        return self._put(
            replace(
                old,
                status=status,
                progress=100 if status is JobStatus.SUCCEEDED else old.progress,
                reason=None,
                detail="",
                next_try_in_s=None,
                ended_at=self._clock.now(),
                results=results,
                failure=None if error is None else Failure.of(error),
            )
        )

    def _are_too_large(self) -> bool:
        return sum(bytes_of_job(one) for one in self._records.values()) > REMEMBERED_BYTES

    def _put(self, record: JobRecord) -> JobRecord:
        self._records[record.id] = record
        while len(self._records) > REMEMBERED or (record.results and self._are_too_large()):
            kept = (record.id, self.waiting, self.running)
            oldest = next((k for k in self._records if k not in kept), None)
            if oldest is None:
                break
            del self._records[oldest]
        self._events.job_changed(record)
        return record
