"""Repairing a map: a geodatabase that is damaged is taken again, with the unsent edits it has.

    read what is left ─▶ take the service's rows beside it ─▶ set the damaged file aside
    ─▶ carry its edits over ─▶ put the new file in its place

The damaged file stays where it is until the new rows are there, and is never erased. Killed
anywhere and run again, it goes on: a file that was taken is used, edits are carried over once.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from engine import faults
from engine.atomic import ProcessLock, disk_errors, sync_folder
from engine.clock import Clock, SystemClock, timestamp
from engine.errors import (
    EngineError,
    GeodatabaseDamagedError,
    MapError,
    NotAGeodatabaseError,
    SyncInProgress,
)
from engine.geodatabase import catalog, replica as replica_record
from engine.geodatabase.broken_file import (
    broken_files,
    check_file,
    finish_setting_aside,
    set_aside,
)
from engine.geodatabase.dependents import dependents_of
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.replica import LeftReplica, Replica
from engine.geodatabase.salvage import salvage
from engine.geodatabase.salvaged_edits import Salvaged, adopt, was_adopted
from engine.layer_schema import ServiceSchema
from engine.maps.map_taking import unregister_for_good
from engine.maps.package_again import (
    forget_package,
    is_of_packages,
    package_generator,
    update_mode_of,
)
from engine.maps.package_info import MAP_NAME, MapService, PackageInfo, read_json
from engine.maps.web_map import WebMap, clauses
from engine.model import PreplannedUpdateMode, SpatialReference
from engine.service.sign_in import Credentials
from engine.sync.context import lock_path, remove_geodatabase
from engine.sync.generate import GeodatabaseGenerator
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Job, Narrator
from engine.sync.job_json import check_kind, job_json, parameters_in, text_in
from engine.sync.parameters import GenerateGeodatabaseParameters
from engine.sync.replica_request import definition_of
from engine.sync.results import SyncTotals

_DAMAGE = (GeodatabaseDamagedError, NotAGeodatabaseError)


@dataclass(slots=True, kw_only=True)
class RepairedGeodatabase:
    """A geodatabase that was taken again. ``set_aside`` is where its damaged file lies now, None if
    the file was missing; ``salvaged`` tells of each unsent edit."""

    path: Path
    reason: str
    set_aside: Path | None = None
    salvaged: Salvaged = field(default_factory=Salvaged)


@dataclass(slots=True, kw_only=True)
class RepairOfflineMapResult:
    """What a repair did. Geodatabases that are whole are not among ``geodatabases``."""

    geodatabases: list[RepairedGeodatabase] = field(default_factory=list)
    totals: SyncTotals = field(default_factory=SyncTotals)

    @property
    def has_errors(self) -> bool:
        """True if some edit could not be carried over as it was."""
        return any(one.salvaged.lost or one.salvaged.damage for one in self.geodatabases)


class RepairOfflineMapJob(Job[RepairOfflineMapResult]):
    """Looks at every geodatabase of the map in ``folder``, and takes the damaged ones again.

    One is damaged if SQLite says so, if it is missing, or if another program took the triggers
    away that note edits. With ``again`` all are taken again: for a layer that became another one on
    the service. The map must be closed, here and in other programs: :exc:`GeodatabaseBusyError`
    otherwise.
    """

    kind = "repair_offline_map"

    def __init__(
        self,
        folder: str | Path,
        *,
        again: bool = False,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self.folder = Path(folder)
        self.again = again
        self._credential = credential
        self._time: Clock = clock or SystemClock()

    def to_json(self) -> dict[str, object]:
        return job_json(self.kind, {"again": self.again}, folder=str(self.folder))

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, object],
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """The job that :meth:`to_json` told of, not started, to go on after a restart."""
        check_kind(value, cls.kind)
        again = parameters_in(value, dict[str, bool]).get("again", False)
        folder = text_in(value, "folder")
        return cls(folder, again=again, credential=credential, clock=clock)

    async def _run(self) -> RepairOfflineMapResult:
        info = PackageInfo.read(self.folder)
        result = RepairOfflineMapResult()
        for number, service in enumerate(info.services):
            share = 100 / len(info.services)
            narrator = self._narrator.part(number * share, (number + 1) * share)
            repair = _Repair(self, info, service, result, narrator)
            await repair.run()
        return result


class _Repair:
    """One geodatabase of the map."""

    def __init__(
        self,
        job: RepairOfflineMapJob,
        info: PackageInfo,
        service: MapService,
        result: RepairOfflineMapResult,
        narrator: Narrator,
    ) -> None:
        self._folder = job.folder
        self._credential = job._credential
        self._clock = job._time
        self._info = info
        self._again = job.again
        self._every: frozenset[int] = frozenset()
        self._service = service
        self._url = service.url
        self._result = result
        self._narrator = narrator
        self._path = job.folder / service.file
        self._fresh = self._path.with_name(f".{service.file}.again")
        self._scratch = self._path.with_name(f".{service.file}.salvage")

    async def run(self) -> None:
        with ProcessLock(lock_path(self._path)) as lock:
            if not lock.acquire():
                raise SyncInProgress(f"another program is syncing {self._path}")
            await asyncio.to_thread(finish_setting_aside, self._path)
            reason = await self._damage()
            if reason is None:
                return
            self._narrator.warn(f"{self._path.name}: {reason}")
            await self._repair(reason)

    async def _damage(self) -> str | None:
        """Why the file must be taken again; None if it is whole."""
        try:
            async with await Geodatabase.open(self._path, clock=self._clock) as geodatabase:
                await geodatabase.database.read(_check_whole)
                unknown = [t for t in geodatabase.feature_tables if t.error is not None]
                self._every = frozenset(n for t in unknown for n in (t.number, t.number + 1))
                errors = [t.error.message for t in unknown if t.error is not None]
        except _DAMAGE as error:
            return error.message
        return "; ".join(errors) or ("it was asked for" if self._again else None)

    async def _repair(self, reason: str) -> None:
        source = self._source()
        if source is not None:
            await self._read(source)
        if not await self._is_taken():
            await self._take(source is not None)
        await asyncio.to_thread(forget_package, self._fresh)
        if update_mode_of(self._info) is PreplannedUpdateMode.NO_UPDATES:
            await unregister_for_good(self._fresh, credential=self._credential, clock=self._clock)
        faults.point("map.refilled")
        if self._path.exists():
            source = await asyncio.to_thread(set_aside, self._path, self._clock.now())
            self._narrator.info(f"the old file is kept as {source.name}")
        one = RepairedGeodatabase(path=self._path, reason=reason, set_aside=source)
        if source is not None:
            await self._read(source)
            one.salvaged = await self._carry_over(source.name)
        with disk_errors(self._path):
            await asyncio.to_thread(self._put_in_place)
        self._result.geodatabases.append(one)
        self._tell(one.salvaged)

    def _source(self) -> Path | None:
        if self._path.exists():
            return self._path
        broken = broken_files(self._path)
        return broken[-1] if broken else None

    async def _read(self, source: Path) -> None:
        with disk_errors(self._scratch):
            await asyncio.to_thread(salvage, source, self._scratch, self._every)

    # --- taking -----------------------------------------------------------------------------------

    async def _is_taken(self) -> bool:
        """Whether an earlier run, killed since, has the new file already."""
        if not self._fresh.exists():
            return False
        try:
            async with await Geodatabase.open(self._fresh, clock=self._clock):
                return True
        except EngineError:
            await asyncio.to_thread(remove_geodatabase, self._fresh)
            return False

    async def _take(self, has_source: bool) -> None:
        mode = update_mode_of(self._info)
        if is_of_packages(self._info):
            generator = await package_generator(
                self._info,
                self._service,
                self._fresh,
                credential=self._credential,
                clock=self._clock,
            )
        else:
            generator = await self._generator(has_source, mode)
        self._narrator.info(f"taking {self._path.name} again")
        try:
            await generator.run(self._narrator.part(5, 90))
        finally:
            self._result.totals.add(generator.totals)

    async def _generator(
        self, has_source: bool, mode: PreplannedUpdateMode
    ) -> GeodatabaseGenerator:
        """What takes the rows from the service."""
        record = await asyncio.to_thread(_record, self._scratch) if has_source else None
        url = self._url if record is None else record[0].service_url or self._url
        async with GeodatabaseSyncTask(url, credential=self._credential, clock=self._clock) as task:
            await task.load()
            if record is None:
                parameters = await self._parameters_of_map(task)
            else:
                parameters = definition_of(record[0], task.schema, record[1])
        return GeodatabaseGenerator(
            url,
            parameters,
            self._fresh,
            credential=self._credential,
            clock=self._clock,
            update_mode=mode,
        )

    async def _parameters_of_map(self, task: GeodatabaseSyncTask) -> GenerateGeodatabaseParameters:
        """What was taken, going by the map alone: its area, its layers, their clauses."""
        self._narrator.warn("how the file was taken cannot be read any more; the map tells it")
        parameters = await task.create_default_generate_geodatabase_parameters(self._info.area)
        known = _clauses(read_json(self._folder / MAP_NAME, self._folder), task.url)
        options = [o for o in parameters.layer_options if not known or o.layer_id in known]
        for option in options:
            option.where_clause = known.get(option.layer_id, "")
        if not options:
            raise MapError(f"{task.url} has none of the layers of this map any more")
        parameters.layer_options = options
        return parameters

    # --- carrying over ----------------------------------------------------------------------------

    async def _carry_over(self, name: str) -> Salvaged:
        async with await Geodatabase.open(self._fresh, clock=self._clock) as fresh:
            if await fresh.database.read(was_adopted, name):
                return Salvaged()
            entries = await fresh.database.read(catalog.entries)
            tables = [entry.table for entry in entries]
            dependents = {t.number: dependents_of(t, tables, fresh.relations) for t in tables}
            now = timestamp(self._clock.now())

            def carry(connection: sqlite3.Connection) -> Salvaged:
                found = adopt(
                    connection,
                    self._scratch,
                    name,
                    dependents,
                    self._folder,
                    every=self._every,
                    now=now,
                )
                _leave_old_replica(connection, self._scratch)
                return found

            salvaged = await fresh.database.write(carry)
            await fresh.database.checkpoint()
            return salvaged

    def _put_in_place(self) -> None:
        """Nobody else knows the new file, so it is closed and has no log of its own."""
        for left in (self._scratch, lock_path(self._fresh)):
            left.unlink(missing_ok=True)
        self._fresh.rename(self._path)
        sync_folder(self._path.parent)
        faults.point("map.repaired")

    def _tell(self, salvaged: Salvaged) -> None:
        narrator = self._narrator
        narrator.info(f"{len(salvaged.saved)} unsent edits were carried over")
        for name, note in salvaged.damage.items():
            narrator.warn(f"{name} could not be read whole: {note}")
        for edit in salvaged.lost:
            narrator.warn(f"{edit.table} {edit.global_id}: {edit.problem}")
        if salvaged.conflicts:
            narrator.warn(f"{salvaged.conflicts} conflicts are kept for a person")


def _check_whole(connection: sqlite3.Connection) -> None:
    check_file(connection, whole=True)


def _record(scratch: Path) -> tuple[Replica, SpatialReference] | None:
    """How the damaged file was taken, if that could be read."""
    with (
        closing(sqlite3.connect(scratch)) as connection,
        suppress(sqlite3.Error, ValueError, TypeError, KeyError),
    ):
        record = replica_record.get_replica(connection)
        known: ServiceSchema = replica_record.get_service(connection)
        entries = catalog.entries(connection)
        if record.layers and entries:
            ids = {entry.srs_id for entry in entries if entry.table.geometry is not None}
            reference = SpatialReference.of(ids.pop()) if ids else known.spatial_reference
            if reference.same_as(known.spatial_reference):
                reference = known.spatial_reference
            return record, reference
    return None


def _leave_old_replica(connection: sqlite3.Connection, scratch: Path) -> None:
    """The next sync unregisters the replica of the damaged file, and those that it had left."""
    for earlier in _left(scratch):
        replica_record.note_left(connection, earlier)
    found = _record(scratch)
    if found is not None and found[0].name:
        left = LeftReplica(found[0].service_url, found[0].name, found[0].machine_id)
        replica_record.note_left(connection, left)


def _left(scratch: Path) -> list[LeftReplica]:
    with (
        closing(sqlite3.connect(scratch)) as connection,
        suppress(sqlite3.Error, ValueError, TypeError),
    ):
        return replica_record.left_replicas(connection)
    return []


def _clauses(definition: Mapping[str, object], url: str) -> dict[int, str]:
    """Layer id → its where clause, of the layers of that service in a web map."""
    for service, layers in WebMap.from_json(definition).services().items():
        if service.casefold() == url.casefold():
            return clauses(layers)
    return {}
