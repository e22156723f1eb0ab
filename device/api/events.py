"""The events of the device: published once, read by any number at their own pace.

The last events are kept in one ring, and each reader only remembers where it is. So a thousand
readers cost no more memory than one. One that is slow loses the oldest events, and is told so.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import islice

from device.api.status import JobRecord
from device.model import Gesture
from engine import Clock, JobMessage

KEPT = 512
"""A sync tells about two hundred events."""
KEPT_BYTES = 400_000
"""What they may take together: maps may have many layers, and services many words."""
_EVENT_BYTES, _LAYER_BYTES = 300, 300


class EventKind(Enum):
    """What an event is about."""

    STATUS = "status"
    """Something in the status has changed; the status itself says what."""
    JOB = "job"
    """A job was made, moved on or ended."""
    MESSAGE = "message"
    """A job says something in words."""
    BUTTON = "button"
    """Somebody pressed the button."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. ``sequence`` grows by one from each to the next while the daemon runs."""

    sequence: int
    kind: EventKind
    at: datetime
    job_id: str | None = None
    """Whose event it is, of a job or a message."""
    job: JobRecord | None = None
    map: str | None = None
    message: JobMessage | None = None
    gesture: Gesture | None = None


def bytes_of_job(job: JobRecord) -> int:
    """About what its record takes in memory."""
    failures = [job.failure, *(one.error for one in job.results)]
    layers = [layer for one in job.results for layer in one.layers]
    failures += [layer.error for layer in layers]
    words = sum(len(one.message) + len(one.remedy) for one in failures if one is not None)
    return _EVENT_BYTES + len(job.detail) + words + _LAYER_BYTES * len(layers)


def _bytes_of(event: Event) -> int:
    words = 0 if event.message is None else len(event.message.text)
    return _EVENT_BYTES + words + (0 if event.job is None else bytes_of_job(event.job))


@dataclass(frozen=True, slots=True)
class Gap:
    """So many events were lost to a reader, because it was too slow."""

    lost: int


class EventHub:
    """Where the daemon publishes, and everybody else listens."""

    def __init__(self, clock: Clock, *, kept: int = KEPT) -> None:
        self._clock = clock
        self._kept = kept
        self._ring: deque[Event] = deque()
        self._bytes = 0
        self._last = 0
        self._readers: set[Subscription] = set()

    # --- for the daemon ---------------------------------------------------------------------------

    def status_changed(self) -> None:
        """Something that ``Appliance.status`` tells is different now."""
        self._publish(EventKind.STATUS)

    def job_changed(self, job: JobRecord) -> None:
        """The job is as ``job`` tells now."""
        self._publish(EventKind.JOB, job_id=job.id, job=job)

    def said(self, job_id: str, map_name: str, message: JobMessage) -> None:
        """The job said something about a map."""
        self._publish(EventKind.MESSAGE, job_id=job_id, map_name=map_name, message=message)

    def pressed(self, gesture: Gesture) -> None:
        """The button was let go, or is stuck."""
        self._publish(EventKind.BUTTON, gesture=gesture)

    # --- for readers ------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The sequence number of the newest event, 0 before the first."""
        return self._last

    @contextmanager
    def subscribe(self) -> Iterator["Subscription"]:
        """The events from now on."""
        reader = Subscription(self, self._last)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def after(self, sequence: int) -> Iterator[Event]:
        """The events after that one which are still kept."""
        first = self._last - len(self._ring) + 1
        return islice(self._ring, max(0, sequence + 1 - first), None)

    def lost_after(self, sequence: int) -> int:
        """How many events after that one are not kept any more."""
        return max(0, self._last - len(self._ring) - sequence)

    def _publish(
        self,
        kind: EventKind,
        *,
        job_id: str | None = None,
        job: JobRecord | None = None,
        map_name: str | None = None,
        message: JobMessage | None = None,
        gesture: Gesture | None = None,
    ) -> None:
        self._last += 1
        event = Event(
            sequence=self._last,
            kind=kind,
            at=self._clock.now(),
            job_id=job_id,
            job=job,
            map=map_name,
            message=message,
            gesture=gesture,
        )
        self._ring.append(event)
        self._bytes += _bytes_of(event)
        while len(self._ring) > self._kept or (self._bytes > KEPT_BYTES and len(self._ring) > 1):
            self._bytes -= _bytes_of(self._ring.popleft())
        for reader in self._readers:
            reader.wake()


class Subscription:
    """One reader's place in the events."""

    def __init__(self, hub: EventHub, position: int) -> None:
        self._hub = hub
        self._position = position
        self._news = asyncio.Event()

    def wake(self) -> None:
        """End :meth:`wait`, also if there is nothing new."""
        self._news.set()

    async def wait(self) -> None:
        """Wait until :meth:`take` would give something, or until somebody calls :meth:`wake`."""
        if self._position == self._hub.last:
            await self._news.wait()
        self._news.clear()

    def take(self) -> list[Event | Gap]:
        """All that is new, after a :class:`Gap` if some of it is lost already."""
        lost = self._hub.lost_after(self._position)
        found: list[Event | Gap] = [Gap(lost)] if lost else []
        found += self._hub.after(self._position)
        self._position = self._hub.last
        return found
