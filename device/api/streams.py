"""Event streams (NDJSON): what is now, then what changes, and a heartbeat when nothing does."""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

from device.api.appliance import Appliance, UnknownJobError
from device.api.connections import Connection
from device.api.events import Event, EventKind, Gap, Subscription
from device.api.json_form import Json, as_json
from device.api.limits import Limits
from device.api.problems import BusyError
from device.api.routes import NDJSON
from engine import Clock

log = logging.getLogger(__name__)

HEARTBEAT: Json = {"event": "heartbeat"}


class Streams:
    """All streams that are open."""

    def __init__(self, appliance: Appliance, clock: Clock, limits: Limits) -> None:
        self._appliance = appliance
        self._clock = clock
        self._limits = limits
        self._readers: set[Subscription] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Let every stream say goodbye."""
        self._is_stopping = True
        for reader in self._readers:
            reader.wake()

    async def follow(self, request: web.Request, job_id: str | None) -> web.StreamResponse:
        """Write events to the caller until it hangs up, or until the job is over."""
        if job_id is not None:
            self._appliance.job(job_id)
        with self._reader() as reader:
            response = web.StreamResponse(headers={"Cache-Control": "no-store"})
            response.content_type = NDJSON
            response.force_close()
            await response.prepare(request)
            connection = request.protocol
            assert isinstance(connection, Connection)
            connection.on_gone = reader.wake
            async with asyncio.TaskGroup() as group:
                beat = group.create_task(self._beat(reader), name="heartbeat of a stream")
                try:
                    await self._tell(response, connection, reader, job_id)
                except (ConnectionError, TimeoutError):
                    connection.force_close()  # gone, or it takes nothing
                except Exception:
                    log.exception("a stream of events failed")
                    connection.force_close()  # without the last line: the caller can tell
                finally:
                    beat.cancel()
            return response

    @contextmanager
    def _reader(self) -> Iterator[Subscription]:
        if self._is_stopping:
            raise BusyError("the daemon is stopping")
        if len(self._readers) >= self._limits.streams:
            raise BusyError("too many are listening to events already")
        with self._appliance.events.subscribe() as reader:
            self._readers.add(reader)
            try:
                yield reader
            finally:
                self._readers.discard(reader)

    async def _beat(self, reader: Subscription) -> None:
        while True:
            await self._clock.sleep(self._limits.heartbeat_s)
            reader.wake()

    async def _tell(
        self,
        response: web.StreamResponse,
        connection: Connection,
        reader: Subscription,
        job_id: str | None,
    ) -> None:
        reader.take()  # what is told now is newer
        lines = self._now(job_id)
        while not connection.is_gone:
            is_over = False
            for line in lines:
                async with asyncio.timeout(self._limits.stall_s):
                    await response.write(json.dumps(line).encode() + b"\n")
                is_over = is_over or line["event"] == "end"
            if is_over:
                return
            await reader.wait()
            lines = self._news(reader.take(), job_id)

    def _now(self, job_id: str | None) -> Iterator[Json]:
        """What a reader has to know first: the status and the jobs that are not over."""
        sequence, at = self._appliance.events.last, self._clock.now()
        head: Json = {"sequence": sequence, "at": as_json(at)}
        if job_id is not None:
            yield from self._job_now(head, job_id)
            return
        yield {"event": "status"} | head | {"status": as_json(self._appliance.status())}
        for job in self._appliance.jobs():
            if not job.status.is_done:
                yield {"event": "job"} | head | {"job": as_json(job)}
        yield from self._goodbye()

    def _job_now(self, head: Json, job_id: str) -> Iterator[Json]:
        try:
            job = self._appliance.job(job_id)
        except UnknownJobError as error:
            yield {"event": "end", "reason": error.message}
            return
        yield {"event": "job"} | head | {"job": as_json(job)}
        if job.status.is_done:
            yield {"event": "end", "reason": "the job is over"}
        else:
            yield from self._goodbye()

    def _news(self, found: Sequence[Event | Gap], job_id: str | None) -> Iterator[Json]:
        """What came since the last time. A gap is followed by what is left, and by what is now."""
        events = [one for one in found if isinstance(one, Event)]
        lost = next((one.lost for one in found if isinstance(one, Gap)), 0)
        if lost:
            yield {"event": "gap", "lost": lost}
        statuses = [one.sequence for one in events if one.kind is EventKind.STATUS]
        for event in events:
            if job_id is not None and event.job_id != job_id:
                continue
            if event.kind is EventKind.STATUS and event.sequence != statuses[-1]:
                continue  # the last one says it all
            yield self._line(event)
            if event.job is not None and event.job_id == job_id and event.job.status.is_done:
                yield {"event": "end", "reason": "the job is over"}
                return
        if lost:
            yield from self._now(job_id)
        else:
            if not events:
                yield HEARTBEAT
            yield from self._goodbye()

    def _goodbye(self) -> Iterator[Json]:
        if self._is_stopping:
            yield {"event": "end", "reason": "the daemon is stopping"}

    def _line(self, event: Event) -> Json:
        line: Json = {
            "event": event.kind.value,
            "sequence": event.sequence,
            "at": as_json(event.at),
        }
        if event.kind is EventKind.STATUS:
            line["status"] = as_json(self._appliance.status())
        elif event.kind is EventKind.JOB:
            line["job"] = as_json(event.job)
        elif event.kind is EventKind.MESSAGE:
            line |= {"job_id": event.job_id, "map": event.map, "message": as_json(event.message)}
        else:
            line["gesture"] = as_json(event.gesture)
        return line
