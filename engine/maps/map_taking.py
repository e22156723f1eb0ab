"""Making the folder of an offline map out of several feature services: what every such job shares.

The folder appears whole or not at all: it is filled under another name and renamed. If a job is
killed, or its link breaks, the next one for the same folder goes on with what is there of the same
map, and takes back the rest, here and on the services.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from engine import atomic
from engine.clock import Clock
from engine.errors import (
    EngineError,
    JobCancelledError,
    LinkError,
    MapError,
    ServiceBusyError,
    StorageFullError,
    SyncInProgress,
)
from engine.geodatabase.geodatabase import Geodatabase
from engine.layer_schema import LayerSchema
from engine.maps.package_info import LeftOut, MapService, PackageInfo
from engine.model import PreplannedUpdateMode
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.abandoned import Abandoned, abandoned_in, recorded_in, unregister_abandoned
from engine.sync.context import spool_folder
from engine.sync.generate import GeodatabaseGenerator
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Job
from engine.sync.parameters import GenerateGeodatabaseParameters
from engine.sync.results import SyncTotals
from engine.sync.row_source import RowSource
from engine.sync.taking import is_begun, partial_path

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One geodatabase to be made. ``rows``: where they come from, if not from the service; then
    ``package_item_id`` is the package that they come in."""

    task: GeodatabaseSyncTask
    parameters: GenerateGeodatabaseParameters
    rows: RowSource | None = None
    package_item_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A geodatabase that was made: where it is from, and its layers with their clauses."""

    service: MapService
    item_id: str
    layers: list[tuple[LayerSchema, str]]


class MapTakingJob(Job[ResultT]):
    """Makes an offline map in ``folder``. ``totals`` is the traffic so far."""

    def __init__(
        self,
        folder: Path,
        *,
        credential: Credentials | None,
        continue_on_errors: bool,
        clock: Clock | None,
    ) -> None:
        super().__init__(clock=clock)
        self.folder = folder
        self.totals = SyncTotals()
        self._credential = credential
        self._continue_on_errors = continue_on_errors
        self._id = str(uuid4())  # noted in the map, so that its own is known again
        self._goes_on = False

    async def _run(self) -> ResultT:
        if not self._goes_on:
            return await self._run_with_lock()
        if await asyncio.to_thread(self._is_made):
            with atomic.ProcessLock(self._lock_path) as lock:
                if lock.acquire():  # of a run that was killed at its very end
                    self._lock_path.unlink(missing_ok=True)
            return self._made()
        return await self._take_again()

    async def _take_again(self) -> ResultT:
        """Run as one that was made again from its JSON."""
        return await self._run_with_lock()

    @property
    def _lock_path(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.lock")

    def _is_made(self) -> bool:
        """Whether the folder holds this job's own map."""
        try:
            return PackageInfo.read(self.folder).job_id == self._id
        except MapError:
            return False  # the run will say that something else is in its place

    async def _run_with_lock(self) -> ResultT:
        atomic.refuse_existing(self.folder)
        path = self._lock_path
        with atomic.disk_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic.ProcessLock(path) as lock:
            if not lock.acquire():
                raise SyncInProgress(f"another program is taking {self.folder}")
            try:
                return await self._take()
            finally:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    @abstractmethod
    async def _take(self) -> ResultT:
        """Make the map, holding its lock."""

    @abstractmethod
    def _made(self) -> ResultT:
        """The result, of the map that is in the folder."""

    @abstractmethod
    def _missing_of(self, piece: Piece, error: EngineError) -> list[LeftOut]:
        """What the map lacks because this could not be made."""

    @abstractmethod
    def _write(self, folder: Path, taken: Sequence[Taken], missing: Sequence[LeftOut]) -> None:
        """Write what the map is beside its geodatabases."""

    async def _make(
        self,
        pieces: Sequence[Piece],
        missing: Sequence[LeftOut],
        update_mode: PreplannedUpdateMode,
    ) -> list[LeftOut]:
        """Make the geodatabases in turn and then the folder; all that is missing in the end.

        One that cannot be made leaves the others, unless it must not be missing, or is the last.
        """
        missing = list(missing)
        generators: list[GeodatabaseGenerator] = []
        taken: list[Taken] = []
        partial = self.folder.with_name(f".{self.folder.name}.taking")
        try:
            with atomic.disk_errors(self.folder):
                partial.mkdir(exist_ok=True)
                for number, piece in enumerate(pieces):
                    name = _free_name(piece.task.schema.name, [one.service.file for one in taken])
                    generator = piece.task.generator(
                        piece.parameters,
                        partial / name,
                        rows=piece.rows,
                        update_mode=update_mode,
                        is_part=True,
                    )
                    generators.append(generator)
                    share = 100 / len(pieces)
                    narrator = self._narrator.part(number * share, (number + 1) * share)
                    try:
                        await generator.run(narrator)
                        if update_mode is PreplannedUpdateMode.NO_UPDATES:
                            await self._forget(generator)
                    except EngineError as error:
                        failed = self._missing_of(piece, error)
                        if len(failed) == 0 or not self._may_go_on(error):
                            raise
                        self._warn_of(failed)
                        missing += failed
                        continue
                    finally:
                        self.totals.add(generator.totals)
                    service = MapService(
                        file=name, url=piece.task.url, package_item_id=piece.package_item_id
                    )
                    layers = generator.layers_with_clauses()
                    item_id = piece.task.schema.item_id
                    taken.append(Taken(service=service, item_id=item_id, layers=layers))
                if not taken:
                    raise missing[-1].error
                await self._clear_others(partial, [one.service.file for one in taken])
                self._write(partial, taken, missing)
                await asyncio.to_thread(atomic.publish_folder, partial, self.folder)
        except BaseException as error:
            is_link = isinstance(error, LinkError | ServiceBusyError)
            if not is_link or not await asyncio.to_thread(is_begun, partial):
                await asyncio.shield(self._undo(generators, partial))
            raise
        return missing

    async def _undo(self, generators: Sequence[GeodatabaseGenerator], partial: Path) -> None:
        # The error that led here is the one to tell, so what cannot be undone is left to the next
        # job for the same folder.
        for generator in generators:
            with suppress(EngineError):
                await generator.undo()
        with suppress(EngineError):
            await self._take_back(await asyncio.to_thread(abandoned_in, partial))
            await asyncio.to_thread(atomic.remove, partial)

    async def _clear_others(self, partial: Path, files: Sequence[str]) -> None:
        """Take back what the folder holds beside the map: what earlier runs left that is no part of
        it, and what is noted of the takes."""

        def others() -> list[Abandoned]:
            mine: list[Abandoned] = []
            for name in files:
                mine += recorded_in(partial / name)
                mine += abandoned_in(spool_folder(partial_path(partial / name)))
            return [one for one in abandoned_in(partial) if one not in mine]

        def clear() -> None:
            for path in partial.iterdir():
                if not path.name.startswith(tuple(files)):
                    atomic.remove(path)

        await self._take_back(await asyncio.to_thread(others))
        await asyncio.to_thread(clear)

    async def _take_back(self, abandoned: Sequence[Abandoned]) -> None:
        if abandoned:
            async with Session(credential=self._credential, clock=self._clock) as session:
                await unregister_abandoned(session, abandoned)

    async def _forget(self, generator: GeodatabaseGenerator) -> None:
        try:
            await unregister_for_good(
                generator.path, credential=self._credential, clock=self._clock
            )
        except EngineError:
            with suppress(EngineError):
                await asyncio.shield(generator.undo())
            raise

    def _may_go_on(self, error: EngineError) -> bool:
        """A disk that is full and a person who has had enough are no matter of one service."""
        is_ours = isinstance(error, StorageFullError | JobCancelledError | SyncInProgress)
        return self._continue_on_errors and not is_ours

    def _warn_of(
        self, missing: Sequence[LeftOut], of_services: frozenset[str] | None = None
    ) -> None:
        """Warn of what is not taken; raise it if it must be taken: all, or those ``of_services``,
        by their ids."""
        for one in missing:
            if not self._continue_on_errors and (of_services is None or one.id in of_services):
                raise one.error
            self._narrator.warn(f"not taken: {one.title}: {one.error.message}")


async def unregister_for_good(path: Path, *, credential: Credentials | None, clock: Clock) -> None:
    """The service need not remember what is never synced: end the tie of a geodatabase to it."""
    async with await Geodatabase.open(path, clock=clock) as geodatabase:
        if geodatabase.replica.replica_id:
            url = geodatabase.service_url
            async with GeodatabaseSyncTask(url, credential=credential, clock=clock) as task:
                await task.unregister_geodatabase(geodatabase)


def _free_name(service: str, taken: Sequence[str]) -> str:
    name, number = f"{service}.gpkg", 2
    while name.casefold() in {t.casefold() for t in taken}:
        name, number = f"{service}_{number}.gpkg", number + 1
    return name
