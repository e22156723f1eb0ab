"""Bringing one geodatabase to the state of its package: what to download, downloaded, applied.

It may be killed between any two instructions and run again: each file is applied in one durable
step together with its generation, so what is left to do is planned anew from the generation here.
"""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine import faults
from engine.atomic import require_space
from engine.clock import Clock
from engine.errors import (
    AuthenticationError,
    FullDownloadRequired,
    MapError,
    PermissionDeniedError,
    ProtocolError,
    SchemaChangedError,
    ServiceError,
    ServiceRefusedError,
    UploadRequired,
)
from engine.geodatabase import catalog, change_log, journal
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.package_record import (
    PackageGenerations,
    PackageRecord,
    get_package,
    set_package,
)
from engine.geodatabase.replica import get_replica
from engine.maps.package_item import PackageItem
from engine.maps.package_reader import ATTEMPTS
from engine.maps.update_packages import UpdateFile, UpdateKind, UpdatePlan, plan_updates
from engine.service.download import using
from engine.service.portal import Portal
from engine.service.session import Session
from engine.sync.check import check_layers, check_presence
from engine.sync.context import SyncContext, spool_folder
from engine.sync.exclusive import exclusive
from engine.sync.job import Narrator
from engine.sync.package_merge import (
    PackageFile,
    clear_spooled,
    has_lost_data,
    merge_package,
    package_context,
    read_package,
)
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.photos import fetch_photos
from engine.sync.results import SyncGeodatabaseResult
from engine.sync.schema_change import fill_new_fields


class PackageUpdate:
    """Keeps one geodatabase current by the packages of its map area.

    :exc:`MapError` if it is not kept current by packages.
    """

    def __init__(self, geodatabase: Geodatabase, session: Session, clock: Clock) -> None:
        self._geodatabase = geodatabase
        self._session = session
        self._clock = clock
        self._folder = spool_folder(geodatabase.path)

    async def plan(self) -> UpdatePlan:
        """What a run would do now. Nothing is changed, and nothing downloaded."""
        _, plan = await self._plan("")
        return plan

    async def run(
        self,
        parameters: SyncGeodatabaseParameters,
        narrator: Narrator,
        result: SyncGeodatabaseResult,
    ) -> None:
        """Apply what there is, and count it in ``result``, which has an entry for each layer.

        :exc:`UploadRequired` if the whole package is needed and there are edits that were not sent.
        """
        with exclusive(self._geodatabase):
            context = await package_context(
                self._geodatabase, self._session, parameters, clock=self._clock, narrator=narrator
            )
            context.result = result
            await _fetch_photos(context)
            await self._update(context)
            await _best_effort(context, fill_new_fields, "values of new fields")
            await _fetch_photos(context)
            await clear_spooled(context)
            self._geodatabase.replica = await context.database.read(get_replica)
            for warning in await context.database.checkpoint():
                narrator.warn(warning)

    async def _update(self, context: SyncContext) -> None:
        must_be_whole = ""
        for attempt in range(1, ATTEMPTS + 1):
            await context.narrator.breathe()
            item, plan = await self._plan(must_be_whole)
            is_whole = plan.kind is UpdateKind.WHOLE_PACKAGE
            wanted = {self._whole_target(item)} if is_whole else set(map(self._target, plan.files))
            await asyncio.to_thread(self._clear, wanted)
            if attempt == 1 and plan.kind is not UpdateKind.NOTHING:
                await self._follow_layers(context)
            context.narrator.report(5)
            try:
                if is_whole:
                    await self._replace(context, item, plan)
                else:
                    await self._apply_files(context, item, plan)
                return
            except _NotAsTold as error:
                if attempt == ATTEMPTS:
                    raise
                context.narrator.info(f"{error.message}; looking again")
                if attempt > 1 and not is_whole:
                    must_be_whole = "an update file cannot be used"

    async def _follow_layers(self, context: SyncContext) -> None:
        """Let the tables follow what changed in the layers, if their service can be asked.

        What comes was made of the layers as they are now. :exc:`SchemaChangedError` if one is not
        what it was: its rows would be left out, and the generation stands for all layers.
        """
        before = {table.layer_id for table in context.tables}
        try:
            context.schema = await context.service.load()
            check_presence(context)
            await check_layers(context, self._geodatabase)
        except SchemaChangedError:
            raise
        except ServiceError as error:
            context.narrator.info(f"the service does not show its layers: {error.message}")
        for layer_id in sorted(before - {table.layer_id for table in context.tables}):
            left_out = context.result.layer(layer_id).error
            assert left_out is not None
            raise left_out

    async def _record(self) -> PackageRecord:
        record = await self._geodatabase.database.read(get_package)
        if record is None:
            raise MapError(f"{self._geodatabase.path} is not kept current by packages")
        return record

    async def _plan(self, must_be_whole: str) -> tuple[PackageItem, UpdatePlan]:
        record = await self._record()
        if await self._geodatabase.database.read(has_lost_data, self._folder):
            must_be_whole = must_be_whole or "the data of an attachment was lost here"
        portal = Portal(record.portal, self._session)
        item = PackageItem.from_item(await portal.item(record.item_id))
        resources = await portal.resources(record.item_id)
        return item, plan_updates(record, item, resources, must_be_whole=must_be_whole)

    # --- update files -----------------------------------------------------------------------------

    async def _apply_files(self, context: SyncContext, item: PackageItem, plan: UpdatePlan) -> None:
        require_space(self._geodatabase.path, plan.size_bytes)
        outer = context.narrator
        done = 0
        for number, file in enumerate(plan.files, 1):
            await outer.breathe()
            outer.info(f"update {number} of {len(plan.files)}: {max(file.size_bytes, 0)} bytes")
            try:
                await self._apply_file(context, item, file)
            except (AuthenticationError, PermissionDeniedError):
                raise
            except (ServiceRefusedError, ProtocolError) as error:
                # It was purged meanwhile, or is damaged: without it none of the later ones is good.
                raise _NotAsTold(f"{file.name}: {error.message}") from error
            faults.point("update.applied")
            done += max(file.size_bytes, 1)
            outer.report(5 + 85 * done / max(plan.size_bytes, done))

    async def _apply_file(self, context: SyncContext, item: PackageItem, file: UpdateFile) -> None:
        record = await self._record()
        portal = Portal(record.portal, self._session)
        target = self._target(file)
        limit = file.size_bytes if file.size_bytes >= 0 else item.size_bytes
        with using(target):
            size = await portal.download_resource(
                item.item_id, file.name, target, limit_bytes=limit if limit >= 0 else None
            )
            faults.point("update.fetched")
            _check_size(size, file.size_bytes)
            package = await asyncio.to_thread(read_package, target)
            moved = replace(record, generations=_moved(record, package, file))
            await merge_package(context, package, is_whole=False, put=partial(_put, moved))

    def _target(self, file: UpdateFile) -> Path:
        return self._folder / f"download-update-{file.generation}.json"

    # --- the whole package ------------------------------------------------------------------------

    async def _replace(self, context: SyncContext, item: PackageItem, plan: UpdatePlan) -> None:
        if await context.database.read(has_unsent):
            raise UploadRequired(
                f"{self._geodatabase.path} needs all of its package, because {plan.reason}, and "
                "has edits that were not sent",
                remedy="Sync again when the feature service takes them: they are sent first. Or "
                "delete those features here, if they are not wanted",
            )
        if not context.parameters.allow_full_download:
            raise FullDownloadRequired(
                f"{self._geodatabase.path} needs all of its package, {plan.size_bytes} bytes, "
                f"because {plan.reason}"
            )
        context.narrator.info(
            f"fetching the whole package, {plan.size_bytes} bytes, because {plan.reason}"
        )
        record = await self._record()
        portal = Portal(record.portal, self._session)
        target = self._whole_target(item)
        with using(target):
            size = await portal.download_item_data(
                item.item_id, target, limit_bytes=item.size_bytes if item.size_bytes >= 0 else None
            )
            faults.point("package.fetched")
            context.narrator.report(50)
            _check_size(size, item.size_bytes)
            package = await asyncio.to_thread(read_package, target)
            here, told = package.generations.number, item.generations.number
            if told is not None and here is not None and here < told:
                raise _NotAsTold(f"the package is of generation {here}, and not of {told} as told")
            moved = replace(
                record, generations=package.generations, size_bytes=size, modified=item.modified
            )
            await merge_package(context, package, is_whole=True, put=partial(_put, moved))
        faults.point("package.applied")
        context.narrator.report(90)

    def _whole_target(self, item: PackageItem) -> Path:
        return self._folder / f"download-package-{item.version}.json"

    def _clear(self, wanted: Collection[Path]) -> None:
        """Remove what an earlier run has downloaded of files that are not wanted any more."""
        self._folder.mkdir(exist_ok=True)
        for pattern in ("download-update-*", "download-package*"):
            for path in self._folder.glob(pattern):
                if not any(path.name.startswith(one.name) for one in wanted):
                    path.unlink(missing_ok=True)


class _NotAsTold(ProtocolError):
    """A file is not what the item or the list said: perhaps a refresh came in between."""

    default_remedy = "Sync again; the package is perhaps being refreshed just now"


def _check_size(size: int, told: int) -> None:
    if told >= 0 and size != told:
        raise _NotAsTold(f"{size} bytes came, and not {told} as told")


def _moved(record: PackageRecord, package: PackageFile, file: UpdateFile) -> PackageGenerations:
    """The generations after an update file; it must lead to the one that it is named by."""
    found = package.generations
    if file.generation not in {found.server, *found.layers.values()}:
        raise ProtocolError(f"it leads to generation {found.number}")
    if record.generations.server is None:
        return PackageGenerations(layers={**record.generations.layers, **found.layers})
    return found


def _put(record: PackageRecord, connection: sqlite3.Connection) -> None:
    set_package(connection, record)


def has_unsent(connection: sqlite3.Connection) -> bool:
    """Whether there are edits that a sync would send, or that may or may not have arrived."""
    tables = [entry.table for entry in catalog.entries(connection)]
    return bool(journal.unfinished(connection)) or any(
        change_log.has_pending(connection, table) for table in tables
    )


async def _fetch_photos(context: SyncContext) -> None:
    """Store the data of attachments that came in files."""
    await _best_effort(context, fetch_photos, "attachments")


async def _best_effort(
    context: SyncContext, fetch: Callable[[SyncContext], Awaitable[None]], what: str
) -> None:
    """What cannot be had from the service waits for the next sync."""
    try:
        await fetch(context)
    except ServiceError as error:
        context.narrator.warn(f"some {what} are left for the next sync: {error}")
