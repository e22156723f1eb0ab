"""What the socket does for each operation of the table of routes."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web

from device.api import paging
from device.api.answers import (
    ConflictPage,
    DecidedConflict,
    DecidedConflicts,
    DecidedRows,
    EditPage,
    Jobs,
    Links,
    Maps,
    QuarantinePage,
)
from device.api.appliance import Appliance, Caller, UnknownMapError
from device.api.json_form import json_object
from device.api.limits import Limits
from device.api.openapi import document
from device.api.openmetrics import text_of
from device.api.requests import PauseRequest, QuarantineRequest, ResolveRequest, SyncRequest
from device.api.routes import OPENMETRICS
from device.api.status import Failure, Health, JobRecord, MapStatus, Status
from device.api.status_metrics import families
from device.api.streams import Streams
from device.review import (
    conflicts,
    discard,
    edits,
    geodatabases_meant,
    quarantine,
    resolve,
    retry,
)
from engine import EngineError, OfflineMap, Side

BodyT = TypeVar("BodyT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, read and checked. ``caller`` is None only where nothing is changed."""

    request: web.Request
    path: Mapping[str, str]
    query: Mapping[str, int | str | bool]
    body: object
    caller: Caller | None

    @property
    def by(self) -> Caller:
        assert self.caller is not None
        return self.caller

    def body_as(self, kind: type[BodyT]) -> BodyT:
        assert isinstance(self.body, kind)
        return self.body

    @property
    def limit(self) -> int:
        return int(self.query["limit"])

    @property
    def after(self) -> str | None:
        place = self.query.get("after")
        return None if place is None else str(place)

    @property
    def resolved(self) -> bool:
        return bool(self.query["resolved"])

    @property
    def file(self) -> str | None:
        name = self.query.get("geodatabase")
        return None if name is None else str(name)


class Handlers:
    """The operations, under their names in the table."""

    def __init__(
        self, appliance: Appliance, streams: Streams, limits: Limits, version: str
    ) -> None:
        self._version = version
        self._appliance = appliance
        self._streams = streams
        self._open_maps = asyncio.Semaphore(limits.open_maps)

    async def status(self, _: Call) -> Status:
        return self._appliance.status()

    async def sync(self, call: Call) -> web.Response:
        wanted = call.body_as(SyncRequest)
        job = await self._appliance.request_sync(wanted, call.by)
        where = {"Location": f"/v1/jobs/{job.id}"}
        return web.json_response(json_object(job), status=202, headers=where)

    async def pause(self, call: Call) -> Status:
        await self._appliance.pause(call.body_as(PauseRequest).seconds, call.by)
        return self._appliance.status()

    async def resume(self, call: Call) -> Status:
        await self._appliance.resume(call.by)
        return self._appliance.status()

    async def jobs(self, _: Call) -> Jobs:
        return Jobs(jobs=tuple(self._appliance.jobs()))

    async def job(self, call: Call) -> JobRecord:
        return self._appliance.job(call.path["job"])

    async def cancel_job(self, call: Call) -> JobRecord:
        return await self._appliance.cancel_job(call.path["job"], call.by)

    async def job_events(self, call: Call) -> web.StreamResponse:
        return await self._streams.follow(call.request, call.path["job"])

    async def events(self, call: Call) -> web.StreamResponse:
        return await self._streams.follow(call.request, None)

    async def maps(self, _: Call) -> Maps:
        return Maps(maps=self._appliance.status().maps)

    async def map(self, call: Call) -> MapStatus:
        name = call.path["map"]
        for one in self._appliance.status().maps:
            if one.name == name:
                return one
        raise UnknownMapError(f"there is no map {name!r}", remedy="/v1/maps lists them")

    async def edits(self, call: Call) -> EditPage:
        after = paging.edit_place(call.after)
        async with self._map(call) as map_:
            unknown = [t.error for g in map_.geodatabases for t in g.feature_tables if t.error]
            errors = [*unknown, *map_.errors.values()]
            page, has_more = await paging.take(edits(map_, after), call.limit)
        return EditPage(
            edits=tuple(one for _, one in page),
            errors=tuple(Failure.of(error) for error in errors),
            next=paging.after_edit(page[-1][0]) if has_more else None,
        )

    async def conflicts(self, call: Call) -> ConflictPage:
        file, after = paging.numbered_place(call.after)
        async with self._map(call) as map_:
            meant = paging.from_file(geodatabases_meant(map_, call.file), file)
            found = conflicts(meant, resolved=call.resolved, after=after)
            page, has_more = await paging.take(found, call.limit)
        following = paging.after_number(page[-1].geodatabase, page[-1].id) if has_more else None
        return ConflictPage(conflicts=tuple(page), next=following)

    async def quarantine(self, call: Call) -> QuarantinePage:
        file, after = paging.numbered_place(call.after)
        async with self._map(call) as map_:
            meant = paging.from_file(geodatabases_meant(map_, call.file), file)
            found = quarantine(meant, resolved=call.resolved, after=after)
            page, has_more = await paging.take(found, call.limit)
        following = paging.after_number(page[-1].geodatabase, page[-1].id) if has_more else None
        return QuarantinePage(quarantine=tuple(page), next=following)

    async def resolve_conflicts(self, call: Call) -> DecidedConflicts:
        wanted = call.body_as(ResolveRequest)
        done: list[DecidedConflict] = []
        async with self._deciding(call) as map_:
            for side, ids in ((Side.MINE, wanted.mine), (Side.THEIRS, wanted.theirs)):
                for one in ids:
                    with _telling(len(done)):
                        await resolve(map_, wanted.geodatabase, [one], side)
                    done.append(DecidedConflict(id=one, side=side))
        return DecidedConflicts(decided=tuple(done))

    async def retry_quarantined(self, call: Call) -> DecidedRows:
        wanted = call.body_as(QuarantineRequest)
        async with self._deciding(call) as map_:
            for done, one in enumerate(wanted.ids):
                with _telling(done):
                    await retry(map_, wanted.geodatabase, [one])
        return DecidedRows(decided=wanted.ids)

    async def discard_quarantined(self, call: Call) -> DecidedRows:
        wanted = call.body_as(QuarantineRequest)
        async with self._deciding(call) as map_:
            for done, one in enumerate(wanted.ids):
                with _telling(done):
                    await discard(map_, wanted.geodatabase, [one])
        return DecidedRows(decided=wanted.ids)

    async def links(self, _: Call) -> Links:
        status = self._appliance.status()
        return Links(links=status.links, budgets=status.budgets)

    async def config(self, _: Call) -> Mapping[str, object]:
        return self._appliance.config()

    async def metrics(self, _: Call) -> web.Response:
        status, health = self._appliance.status(), self._appliance.health()
        told = text_of([*families(status, health), *self._appliance.metrics()])
        return web.Response(body=told.encode(), headers={"Content-Type": OPENMETRICS})

    async def health(self, _: Call) -> web.Response:
        health: Health = self._appliance.health()
        return web.json_response(json_object(health), status=200 if health.is_healthy else 503)

    async def openapi(self, _: Call) -> Mapping[str, object]:
        return document(self._version)

    @asynccontextmanager
    async def _map(self, call: Call) -> AsyncIterator[OfflineMap]:
        opening = self._appliance.open_map(call.path["map"])
        async with self._open_maps, opening as map_:
            yield map_

    @asynccontextmanager
    async def _deciding(self, call: Call) -> AsyncIterator[OfflineMap]:
        """The map; afterwards the daemon is told, also if one of the decisions failed."""
        async with self._map(call) as map_:
            try:
                yield map_
            finally:
                await self._appliance.map_was_decided(call.path["map"], call.by)


@contextmanager
def _telling(done: int) -> Iterator[None]:
    """An error that comes after others were decided says so."""
    try:
        yield
    except EngineError as error:
        if done:
            error.message = f"{error.message.rstrip('.')}; {done} before it were decided"
        raise
