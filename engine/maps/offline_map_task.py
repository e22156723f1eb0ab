"""Taking a map offline: parameters, overrides per service, and the job that does it."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from engine import atomic
from engine.clock import Clock, SystemClock, timestamp
from engine.errors import BadParameterError, EngineError, MapError, SyncInProgress
from engine.layer_schema import LayerSchema
from engine.maps.offline_map import OfflineMap
from engine.maps.package_info import (
    MAP_NAME,
    UPDATE_BY_SYNC,
    MapService,
    PackageInfo,
    web_map,
)
from engine.model import AttachmentSyncDirection, Envelope
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.abandoned import clear_abandoned_folders
from engine.sync.generate import GeodatabaseGenerator
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Job
from engine.sync.job_json import (
    check_kind,
    job_json,
    parameters_in,
    parameters_json,
    text_in,
    texts_in,
)
from engine.sync.loadable import Loadable
from engine.sync.parameters import GenerateGeodatabaseParameters
from engine.sync.results import SyncTotals


@dataclass(slots=True, kw_only=True)
class GenerateOfflineMapParameters:
    """What of a map is taken. ``title`` names it; the folder's name if empty."""

    area_of_interest: Envelope | None
    attachment_sync_direction: AttachmentSyncDirection = AttachmentSyncDirection.BIDIRECTIONAL
    title: str = ""


@dataclass(slots=True, kw_only=True)
class GenerateOfflineMapParameterOverrides:
    """Finer choices: the parameters for each feature service, by its URL."""

    generate_geodatabase_parameters: dict[str, GenerateGeodatabaseParameters] = field(
        default_factory=dict
    )


class OfflineMapTask(Loadable):
    """Takes feature services offline as one map. An async context manager.

    ``services`` are the URLs of feature services, or one URL. ``credential``: one for their host or
    portal, or a store with one for each.
    """

    def __init__(
        self,
        services: str | Sequence[str],
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        urls = [services] if isinstance(services, str) else list(services)
        if not urls:
            raise BadParameterError("a map needs at least one feature service")
        self._clock: Clock = clock or SystemClock()
        self.credential = credential
        self.tasks = [
            GeodatabaseSyncTask(url, credential=credential, clock=self._clock) for url in urls
        ]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for task in self.tasks:
                await stack.enter_async_context(task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _load(self) -> None:
        for task in self.tasks:
            await task.load()

    async def create_default_generate_offline_map_parameters(
        self, area_of_interest: Envelope | None
    ) -> GenerateOfflineMapParameters:
        """Defaults for an area; None takes the whole of the services' data."""
        await self.load()
        return GenerateOfflineMapParameters(area_of_interest=area_of_interest)

    async def create_generate_offline_map_parameter_overrides(
        self, parameters: GenerateOfflineMapParameters
    ) -> GenerateOfflineMapParameterOverrides:
        """The parameters that each service would get, to be adjusted."""
        await self.load()
        overrides = GenerateOfflineMapParameterOverrides()
        for task in self.tasks:
            made = await task.create_default_generate_geodatabase_parameters(
                parameters.area_of_interest
            )
            direction = parameters.attachment_sync_direction
            made.attachment_sync_direction = direction
            made.return_attachments = direction is AttachmentSyncDirection.BIDIRECTIONAL
            overrides.generate_geodatabase_parameters[task.url] = made
        return overrides

    def create_generate_offline_map_job(
        self,
        parameters: GenerateOfflineMapParameters,
        folder: str | Path,
        overrides: GenerateOfflineMapParameterOverrides | None = None,
    ) -> "GenerateOfflineMapJob":
        """The job that makes the map in ``folder``, which must not exist or be empty."""
        return GenerateOfflineMapJob(self, parameters, Path(folder), overrides, clock=self._clock)


class GenerateOfflineMapJob(Job[OfflineMap]):
    """Makes an offline map. Its result is the map, not yet opened.

    The folder appears whole or not at all: it is filled under another name and renamed. ``totals``
    is the traffic so far.
    """

    kind = "generate_offline_map"

    def __init__(
        self,
        task: OfflineMapTask,
        parameters: GenerateOfflineMapParameters,
        folder: Path,
        overrides: GenerateOfflineMapParameterOverrides | None,
        *,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self._sync_tasks = task
        self._parameters = copy.deepcopy(parameters)
        self.folder = folder
        self._overrides = copy.deepcopy(overrides)
        self._id = str(uuid4())  # noted in the map, so that its own is known again
        self._goes_on = False
        self.totals = SyncTotals()

    @property
    def parameters(self) -> GenerateOfflineMapParameters:
        """A copy: those of the job cannot be changed any more."""
        return copy.deepcopy(self._parameters)

    def to_json(self) -> dict[str, object]:
        overrides: dict[str, object] = {}
        if self._overrides is not None:
            overrides["overrides"] = parameters_json(self._overrides)
        return job_json(
            self.kind,
            self._parameters,
            id=self._id,
            services=[task.url for task in self._sync_tasks.tasks],
            folder=str(self.folder),
            **overrides,
        )

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, object],
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """The job that :meth:`to_json` told of, not started, to go on after a restart.

        What a killed run left is taken back first. If the job had ended, and its map is there, it
        has nothing left to do.
        """
        check_kind(value, cls.kind)
        overrides = None
        if value.get("overrides") is not None:
            overrides = parameters_in(value, GenerateOfflineMapParameterOverrides, "overrides")
        task = OfflineMapTask(texts_in(value, "services"), credential=credential, clock=clock)
        parameters = parameters_in(value, GenerateOfflineMapParameters)
        job = cls(task, parameters, Path(text_in(value, "folder")), overrides, clock=clock)
        job._id, job._goes_on = text_in(value, "id"), True
        return job

    async def _run(self) -> OfflineMap:
        if not self._goes_on:
            return await self._run_with_lock()
        if await asyncio.to_thread(self._is_made):
            return OfflineMap(self.folder)
        async with self._sync_tasks:
            return await self._run_with_lock()

    def _is_made(self) -> bool:
        """Whether the folder holds this job's own map."""
        try:
            return PackageInfo.read(self.folder).job_id == self._id
        except MapError:
            return False  # the run will say that something else is in its place

    async def _run_with_lock(self) -> OfflineMap:
        atomic.refuse_existing(self.folder)
        path = self.folder.with_name(f".{self.folder.name}.lock")
        with atomic.disk_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic.ProcessLock(path) as lock:
            if not lock.acquire():
                raise SyncInProgress(f"another program is taking {self.folder}")
            try:
                credential = self._sync_tasks.credential
                async with Session(credential=credential, clock=self._clock) as session:
                    await clear_abandoned_folders(session, self.folder)
                return await self._take()
            finally:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _take(self) -> OfflineMap:
        overrides = self._overrides or (
            await self._sync_tasks.create_generate_offline_map_parameter_overrides(self._parameters)
        )
        await self._sync_tasks.load()
        chosen = [
            (task, overrides.generate_geodatabase_parameters[task.url])
            for task in self._sync_tasks.tasks
            if task.url in overrides.generate_geodatabase_parameters
        ]
        if not chosen:
            raise BadParameterError("no feature service is left to take")
        made: list[GeodatabaseGenerator] = []
        services: list[tuple[MapService, str, list[tuple[LayerSchema, str]]]] = []
        try:
            with atomic.new_folder(self.folder) as partial:
                for number, (task, parameters) in enumerate(chosen):
                    name = _free_name(task.schema.name, [s.file for s, _, _ in services])
                    generator = task.generator(parameters, partial / name)
                    made.append(generator)
                    share = 100 / len(chosen)
                    try:
                        await generator.run(
                            self._narrator.part(number * share, (number + 1) * share)
                        )
                    finally:
                        self.totals.add(generator.totals)
                    services.append(
                        (
                            MapService(file=name, url=task.url),
                            task.schema.item_id,
                            generator.layers_with_clauses(),
                        )
                    )
                self._write(partial, services)
        except BaseException:
            for generator in made:
                with suppress(EngineError):  # the error that led here is the one to tell
                    await asyncio.shield(generator.undo())
            raise
        return OfflineMap(self.folder)

    def _write(
        self,
        folder: Path,
        services: list[tuple[MapService, str, list[tuple[LayerSchema, str]]]],
    ) -> None:
        title = self._parameters.title or self.folder.name
        info = PackageInfo(
            title=title,
            taken_how="service",
            taken_at=timestamp(self._clock.now()),
            update_mode=UPDATE_BY_SYNC,
            area=self._parameters.area_of_interest,
            job_id=self._id,
            services=tuple(service for service, _, _ in services),
        )
        reference = self._sync_tasks.tasks[0].schema.spatial_reference
        definition = web_map(title, services, reference)
        info.write(folder)
        atomic.write_json(folder / MAP_NAME, definition)


def _free_name(service: str, taken: Sequence[str]) -> str:
    name, number = f"{service}.gpkg", 2
    while name.casefold() in {t.casefold() for t in taken}:
        name, number = f"{service}_{number}.gpkg", number + 1
    return name
