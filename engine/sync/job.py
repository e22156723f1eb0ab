"""Jobs: long work with a status, progress that only grows, messages, and an end.

    not_started ─▶ started, cancelled
    started     ─▶ paused, canceling, succeeded, failed
    paused      ─▶ started, canceling, succeeded, failed
    canceling   ─▶ cancelled, succeeded, failed

Pausing takes hold at the next safe point, so work may end while the job is paused; and it may end
by itself before a cancel reaches it.

The members are those of the ArcGIS Maps SDK's ``Job``; ``CANCELLED`` is ours, because a job that
was stopped on purpose has not failed. A job's durable state is in the journal of its geodatabase,
never here: a job made again from JSON goes on where the journal says.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Generic, TypeVar

from engine.clock import Clock, SystemClock, timestamp
from engine.errors import EngineError, JobCancelledError
from engine.model import JobStatus
from engine.service.job_watch import JobWatch

log = logging.getLogger(__name__)
ResultT = TypeVar("ResultT")

MAX_MESSAGES = 1000  # older ones are dropped: a job may run for days on a bad link


class MessageSeverity(Enum):
    """How much a message matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


class MessageSource(Enum):
    """Who said it."""

    CLIENT = "client"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMessage:
    """One line of a job's story."""

    text: str
    severity: MessageSeverity
    source: MessageSource
    at: datetime

    def to_json(self) -> dict[str, object]:
        return {
            "text": self.text,
            "severity": self.severity.value,
            "source": self.source.value,
            "at": timestamp(self.at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """A change of a job: its status and progress now, and the new message if there is one."""

    status: JobStatus
    progress: int
    message: JobMessage | None = None


@dataclass(frozen=True, slots=True)
class Narrator:
    """How a piece of work tells the job it is part of how far it is, and asks whether to go on."""

    report: Callable[[float], None]
    say: Callable[[str, MessageSeverity, MessageSource], None]
    breathe: Callable[[], Awaitable[None]]
    watch: JobWatch = field(default_factory=JobWatch)

    @classmethod
    def silent(cls) -> "Narrator":
        """For work that is no job: nobody listens, and it is never paused."""

        async def go_on() -> None:
            return None

        return cls(lambda _: None, lambda *_: None, go_on)

    def part(self, low: float, high: float) -> "Narrator":
        """A narrator whose 0–100 percent are ``low``–``high`` of this one."""

        def report(percent: float) -> None:
            self.report(low + (high - low) * percent / 100)

        return Narrator(report, self.say, self.breathe, self.watch)

    def info(self, text: str) -> None:
        self.say(text, MessageSeverity.INFO, MessageSource.CLIENT)

    def warn(self, text: str) -> None:
        self.say(text, MessageSeverity.WARNING, MessageSource.CLIENT)

    def service_says(self, text: str) -> None:
        self.say(text, MessageSeverity.INFO, MessageSource.SERVICE)


_MOVES: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.NOT_STARTED: frozenset({JobStatus.STARTED, JobStatus.CANCELLED}),
    JobStatus.STARTED: frozenset(
        {JobStatus.PAUSED, JobStatus.CANCELING, JobStatus.SUCCEEDED, JobStatus.FAILED}
    ),
    JobStatus.PAUSED: frozenset(
        {JobStatus.STARTED, JobStatus.CANCELING, JobStatus.SUCCEEDED, JobStatus.FAILED}
    ),
    JobStatus.CANCELING: frozenset({JobStatus.CANCELLED, JobStatus.SUCCEEDED, JobStatus.FAILED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


class Job(ABC, Generic[ResultT]):
    """Base of all jobs. Awaiting :meth:`result` does not start a job; :meth:`start` does."""

    kind = "job"

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._status = JobStatus.NOT_STARTED
        self._progress = 0
        self._messages: list[JobMessage] = []
        self._error: EngineError | None = None
        self._result: ResultT | None = None
        self._watch = JobWatch()
        self._task: asyncio.Task[None] | None = None
        self._running = asyncio.Event()
        self._done = asyncio.Event()
        self._listeners: list[asyncio.Queue[JobEvent]] = []

    # --- what a caller sees ---------------------------------------------------------------

    @property
    def status(self) -> JobStatus:
        return self._status

    @property
    def progress(self) -> int:
        """Percent done, 0–100; never falls."""
        return self._progress

    @property
    def messages(self) -> tuple[JobMessage, ...]:
        return tuple(self._messages)

    @property
    def error(self) -> EngineError | None:
        """Why the job failed or was cancelled."""
        return self._error

    @property
    def server_job_id(self) -> str:
        """The service's name for the job it is running for us, empty if there is none."""
        return self._watch.server_job_id

    def start(self) -> bool:
        """Start, or go on after a pause. False if the job is neither new nor paused."""
        if self._status not in (JobStatus.NOT_STARTED, JobStatus.PAUSED):
            return False
        self._move(JobStatus.STARTED)
        self._running.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name=f"job {self.kind}")
            self._task.add_done_callback(self._task_ended)
        return True

    def pause(self) -> bool:
        """Stop at the next safe point. False if the job is not running."""
        if self._status is not JobStatus.STARTED:
            return False
        self._running.clear()
        self._move(JobStatus.PAUSED)
        return True

    async def cancel(self) -> bool:
        """Stop for good and wait for the end. False if the job had ended, or ended by itself.

        Nothing is lost: edits that were not acknowledged stay pending on the device.
        """
        if self._status.is_done:
            return False
        if self._task is None:
            self._end(JobStatus.CANCELLED, JobCancelledError("the job was cancelled"))
            return True
        if self._status is not JobStatus.CANCELING:
            self._move(JobStatus.CANCELING)
            self._running.set()
            self._task.cancel()
        await self._done.wait()
        return self.status is JobStatus.CANCELLED

    def check_status(self) -> bool:
        """Ask the service for the state of its job now. False if the job is not running."""
        if self._status is not JobStatus.STARTED:
            return False
        self._watch.poll_now()
        return True

    async def result(self) -> ResultT:
        """Wait for the end and give the result, or raise the error the job ended with."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # set by _work before _done

    async def __aiter__(self) -> AsyncIterator[JobEvent]:
        """Events until the job's end, beginning with the state now."""
        queue: asyncio.Queue[JobEvent] = asyncio.Queue(MAX_MESSAGES)
        self._listeners.append(queue)
        try:
            event = JobEvent(status=self._status, progress=self._progress)
            yield event
            while not (event.status.is_done and queue.empty()):
                event = await queue.get()
                yield event
        finally:
            self._listeners.remove(queue)

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """Enough to make the job again with ``from_json`` after a restart."""

    # --- what the work uses ----------------------------------------------------------------

    @abstractmethod
    async def _run(self) -> ResultT:
        """The work. It calls :meth:`_breathe` wherever it may be paused."""

    @property
    def _narrator(self) -> Narrator:
        return Narrator(self._report, self._say, self._breathe, self._watch)

    async def _breathe(self) -> None:
        """A safe point: wait here while the job is paused."""
        await self._running.wait()

    def _report(self, percent: float) -> None:
        """Progress so far; lower values than before are ignored, 100 comes with success."""
        value = max(self._progress, min(99, int(percent)))
        if value != self._progress:
            self._progress = value
            self._tell(None)

    def _say(
        self,
        text: str,
        severity: MessageSeverity,
        source: MessageSource = MessageSource.CLIENT,
    ) -> None:
        message = JobMessage(text=text, severity=severity, source=source, at=self._clock.now())
        self._messages.append(message)
        del self._messages[:-MAX_MESSAGES]
        self._tell(message)

    # --- inside ------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            self._result = await self._run()
        except asyncio.CancelledError:
            if self._status is not JobStatus.CANCELING:
                # Not asked for through cancel(): the loop is going down. Say so and obey.
                self._end(JobStatus.FAILED, JobCancelledError("the program stopped the job"))
                raise
            self._end(JobStatus.CANCELLED, JobCancelledError("the job was cancelled"))
        except EngineError as error:
            if isinstance(error, JobCancelledError) and self._status is JobStatus.CANCELING:
                self._end(JobStatus.CANCELLED, error)  # a job within this one was cancelled with it
            else:
                self._end(JobStatus.FAILED, error)
        except Exception as error:
            log.exception("job %s failed unexpectedly", self.kind)
            wrapped = EngineError(
                f"unexpected {type(error).__name__}: {error}",
                remedy="This is a fault in fieldsync; please report it with the log",
            )
            wrapped.__cause__ = error
            self._end(JobStatus.FAILED, wrapped)
        else:
            self._progress = 100
            self._end(JobStatus.SUCCEEDED, None)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        """Whatever ended the task, somebody may wait for the result.

        A task that is cancelled before its first step never runs a line of its own.
        """
        if self._status.is_done:
            return
        if self._status is JobStatus.CANCELING:
            self._end(JobStatus.CANCELLED, JobCancelledError("the job was cancelled"))
        else:
            self._end(JobStatus.FAILED, JobCancelledError("the program stopped the job"))

    def _end(self, status: JobStatus, error: EngineError | None) -> None:
        self._error = error
        if error is not None:
            is_wanted = status is JobStatus.CANCELLED
            self._say(str(error), MessageSeverity.WARNING if is_wanted else MessageSeverity.ERROR)
        self._move(status)
        self._done.set()

    def _move(self, status: JobStatus) -> None:
        assert status in _MOVES[self._status], f"{self._status.name} → {status.name}"
        self._status = status
        self._tell(None)

    def _tell(self, message: JobMessage | None) -> None:
        event = JobEvent(status=self._status, progress=self._progress, message=message)
        for queue in self._listeners:
            if queue.full():  # a slow listener loses the oldest, never the end
                queue.get_nowait()
            queue.put_nowait(event)
