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


@dataclass(frozen=True, slots=True)
class Gap:
    """So many events were lost to a reader, because it was too slow."""

    lost: int


class EventHub:
    """Where the daemon publishes, and everybody else listens."""

    def __init__(self, clock: Clock, *, kept: int = KEPT) -> None:
        self._clock = clock
        self._ring: deque[Event] = deque(maxlen=kept)
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
        self._ring.append(
            Event(
                sequence=self._last,
                kind=kind,
                at=self._clock.now(),
                job_id=job_id,
                job=job,
                map=map_name,
                message=message,
                gesture=gesture,
            )
        )
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
