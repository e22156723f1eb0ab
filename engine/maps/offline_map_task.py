"""Taking a map offline, of a web map or of feature services: the task, and the job that does it."""

import asyncio
import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self
from uuid import uuid4

from engine import atomic
from engine.clock import Clock, timestamp
from engine.errors import (
    BadParameterError,
    EngineError,
    JobCancelledError,
    MapError,
    StorageFullError,
    SyncInProgress,
)
from engine.geodatabase.geodatabase import Geodatabase
from engine.layer_schema import LayerSchema
from engine.maps.map_source import MapSource, left_out
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_parameters import (
    GenerateOfflineMapParameterOverrides,
    GenerateOfflineMapParameters,
    OfflineMapCapabilities,
    OfflineMapParametersKey,
    default_parameters,
    service_parameters,
    web_map_service_parameters,
)
from engine.maps.package_info import (
    MAP_NAME,
    NO_UPDATES,
    UPDATE_BY_SYNC,
    LeftOut,
    MapService,
    PackageInfo,
    web_map,
)
from engine.maps.web_map import clauses
from engine.model import Envelope, GenerateOfflineMapUpdateMode, PreplannedUpdateMode
from engine.service.portal import PortalItem
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.abandoned import clear_abandoned_folders
from engine.sync.generate import GeodatabaseGenerator
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Job, Narrator
from engine.sync.job_json import (
    check_kind,
    job_json,
    parameters_in,
    parameters_json,
    text_in,
    texts_in,
)
from engine.sync.parameters import GenerateGeodatabaseParameters
from engine.sync.results import SyncTotals


class OfflineMapTask(MapSource):
    """Takes a map offline. An async context manager.

    ``source``: the portal item of a web map; or the URLs of feature services, or one URL, to be
    taken as one map. ``credential``: one for their host or portal, or a store with one for each.
    """

    async def get_offline_map_capabilities(
        self, parameters: GenerateOfflineMapParameters | None = None
    ) -> OfflineMapCapabilities:
        """Whether each layer and table of the map can be taken, and why not. Needs the services."""
        del parameters  # the SDK's form; what is possible does not depend on them here
        await self.load()
        found = {layer.id: (layer, self.capability(layer)) for layer in self.map_layers}
        return OfflineMapCapabilities(
            layer_capabilities={n: c for n, (one, c) in found.items() if not one.is_table},
            table_capabilities={n: c for n, (one, c) in found.items() if one.is_table},
        )

    # --- parameters -------------------------------------------------------------------------------

    async def create_default_generate_offline_map_parameters(
        self, area_of_interest: Envelope | None
    ) -> GenerateOfflineMapParameters:
        """Defaults for an area; None takes the whole of the services' data.

        Those for a web map are what its author chose for offline use. Of services that were named
        one by one each must be taken.
        """
        await self.load()
        if self.web_map is not None:
            return default_parameters(area_of_interest, self.web_map.offline)
        return GenerateOfflineMapParameters(
            area_of_interest=area_of_interest, continue_on_errors=False
        )

    async def create_generate_offline_map_parameter_overrides(
        self, parameters: GenerateOfflineMapParameters
    ) -> GenerateOfflineMapParameterOverrides:
        """The parameters that each service would get, to be adjusted; layers may be removed."""
        await self.load()
        overrides = GenerateOfflineMapParameterOverrides()
        takeable = [one for one in self.map_layers if one.can_be_taken and not self.error_of(one)]
        for task in self.tasks:
            layers = [one for one in takeable if one.service_url == task.url]
            if not layers:
                continue
            if self.web_map is None:
                made = await service_parameters(task, parameters)
            else:
                made = await web_map_service_parameters(
                    task, parameters, self.web_map.offline, clauses(layers)
                )
            overrides.generate_geodatabase_parameters[task.url] = made
            for layer in layers:
                overrides.keys[layer.id] = OfflineMapParametersKey(
                    service_url=task.url, layer_id=layer.layer_id
                )
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
        item = self._sync_tasks.portal_item
        source: dict[str, object] = {}
        if item is None:
            source["services"] = [task.url for task in self._sync_tasks.tasks]
        else:
            source["item"] = {"portal": item.portal, "item_id": item.item_id}
        return job_json(
            self.kind,
            self._parameters,
            id=self._id,
            **source,
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
        item = value.get("item")
        source = (
            PortalItem(portal=text_in(item, "portal"), item_id=text_in(item, "item_id"))
            if isinstance(item, dict)
            else texts_in(value, "services")
        )
        task = OfflineMapTask(source, credential=credential, clock=clock)
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
        source = self._sync_tasks
        await source.load()
        for note in () if source.web_map is None else source.web_map.offline.notes:
            self._narrator.warn(note)
        missing = source.not_possible()
        overrides = self._overrides or (
            await source.create_generate_offline_map_parameter_overrides(self._parameters)
        )
        self._warn_of(missing)
        chosen = [
            (task, overrides.generate_geodatabase_parameters[task.url])
            for task in source.tasks
            if task.url in overrides.generate_geodatabase_parameters
        ]
        if not chosen:
            if missing:
                raise missing[0].error
            raise BadParameterError("nothing of the map is left to take")
        await self._require_space(chosen)
        made: list[GeodatabaseGenerator] = []
        taken: list[_Taken] = []
        try:
            with atomic.new_folder(self.folder) as partial:
                for number, (task, parameters) in enumerate(chosen):
                    name = _free_name(task.schema.name, [one.service.file for one in taken])
                    generator = task.generator(
                        parameters, partial / name, update_mode=self._preplanned_mode
                    )
                    made.append(generator)
                    share = 100 / len(chosen)
                    narrator = self._narrator.part(number * share, (number + 1) * share)
                    try:
                        await self._generate(task, generator, narrator)
                    except EngineError as error:
                        failed = self._of_service(task.url, overrides, error)
                        if len(failed) == 0 or not self._may_go_on(error):
                            raise
                        self._warn_of(failed)
                        missing += failed
                        continue
                    finally:
                        self.totals.add(generator.totals)
                    service = MapService(file=name, url=task.url)
                    layers = generator.layers_with_clauses()
                    taken.append(_Taken(service, task.schema.item_id, layers))
                if not taken:
                    raise missing[-1].error
                self._write(partial, taken, missing)
        except BaseException:
            for generator in made:
                with suppress(EngineError):  # the error that led here is the one to tell
                    await asyncio.shield(generator.undo())
            raise
        return OfflineMap(self.folder)

    @property
    def _is_without_updates(self) -> bool:
        return self._parameters.update_mode is GenerateOfflineMapUpdateMode.NO_UPDATES

    @property
    def _preplanned_mode(self) -> PreplannedUpdateMode:
        return PreplannedUpdateMode[self._parameters.update_mode.name]

    async def _generate(
        self, task: GeodatabaseSyncTask, generator: GeodatabaseGenerator, narrator: Narrator
    ) -> None:
        await generator.run(narrator)
        if not self._is_without_updates:
            return
        try:  # the service need not remember what is never synced
            async with await Geodatabase.open(generator.path, clock=self._clock) as geodatabase:
                await task.unregister_geodatabase(geodatabase)
        except EngineError:
            with suppress(EngineError):
                await asyncio.shield(generator.undo())
            raise

    async def _require_space(
        self, chosen: Sequence[tuple[GeodatabaseSyncTask, GenerateGeodatabaseParameters]]
    ) -> None:
        """Room for all services together, before the first of them is asked for a replica."""
        if len(chosen) < 2:
            return  # its own take looks
        coming = 0
        for task, parameters in chosen:
            with suppress(EngineError):  # its own take tells of it
                coming += await task.estimated_bytes(parameters)
        atomic.require_space(self.folder, coming)

    def _may_go_on(self, error: EngineError) -> bool:
        """A disk that is full and a person who has had enough are no matter of one service."""
        is_ours = isinstance(error, StorageFullError | JobCancelledError | SyncInProgress)
        return self._parameters.continue_on_errors and not is_ours

    def _warn_of(self, missing: Sequence[LeftOut]) -> None:
        """Warn of what is not taken; raise it, if it is of a feature service and must be taken."""
        of_services = {one.id for one in self._sync_tasks.map_layers if one.service_url}
        for one in missing:
            if not self._parameters.continue_on_errors and one.id in of_services:
                raise one.error
            self._narrator.warn(f"not taken: {one.title}: {one.error.message}")

    def _of_service(
        self, url: str, overrides: GenerateOfflineMapParameterOverrides, error: EngineError
    ) -> list[LeftOut]:
        ids = {name for name, key in overrides.keys.items() if key.service_url == url}
        return [left_out(one, error) for one in self._sync_tasks.map_layers if one.id in ids]

    def _write(self, folder: Path, taken: "list[_Taken]", missing: Sequence[LeftOut]) -> None:
        source = self._sync_tasks
        item = source.portal_item
        title = self._parameters.title or source.title or self.folder.name
        info = PackageInfo(
            title=title,
            taken_how="service" if item is None else "webMap",
            taken_at=timestamp(self._clock.now()),
            update_mode=NO_UPDATES if self._is_without_updates else UPDATE_BY_SYNC,
            item_id="" if item is None else item.item_id,
            portal="" if item is None else item.portal,
            area=self._parameters.area_of_interest,
            job_id=self._id,
            services=tuple(one.service for one in taken),
            left_out=tuple(missing),
        )
        if source.web_map is not None:
            definition = dict(source.web_map.definition)
        else:
            reference = source.tasks[0].schema.spatial_reference
            listed = [(one.service, one.item_id, one.layers) for one in taken]
            definition = web_map(title, listed, reference)
        info.write(folder)
        atomic.write_json(folder / MAP_NAME, definition)


class _Taken(NamedTuple):
    """A geodatabase that was made: where it is from, and its layers with their clauses."""

    service: MapService
    item_id: str
    layers: list[tuple[LayerSchema, str]]


def _free_name(service: str, taken: Sequence[str]) -> str:
    name, number = f"{service}.gpkg", 2
    while name.casefold() in {t.casefold() for t in taken}:
        name, number = f"{service}_{number}.gpkg", number + 1
    return name
