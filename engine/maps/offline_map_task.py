"""Taking a map offline, of a web map or of feature services: the task, and the job that does it."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from engine import atomic
from engine.clock import Clock, timestamp
from engine.errors import (
    BadParameterError,
    EngineError,
)
from engine.maps.map_source import MapSource, left_out
from engine.maps.map_taking import MapTakingJob, Piece, Taken
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
    PackageInfo,
    web_map,
)
from engine.maps.preplanned_download import (
    DownloadPreplannedOfflineMapJob,
    DownloadPreplannedOfflineMapParameters,
)
from engine.maps.preplanned_map_area import MAP_AREA, PreplannedMapArea
from engine.maps.web_map import clauses
from engine.model import Envelope, GenerateOfflineMapUpdateMode, PreplannedUpdateMode
from engine.service.portal import ItemInfo, Portal, PortalItem
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.job_json import (
    check_kind,
    job_json,
    parameters_in,
    parameters_json,
    text_in,
    texts_in,
)


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

    # --- map areas prepared ahead of time ---------------------------------------------------------

    async def get_preplanned_map_areas(self) -> list[PreplannedMapArea]:
        """The map areas of the web map, not yet loaded. Of a map area's own item: that one alone.

        Empty for a web map without any. The services of the map are not asked.
        """
        if self.portal_item is None:
            raise BadParameterError(
                "only a web map has map areas", remedy="Give its item, not a feature service"
            )
        item, portal_url = self.portal_item, self.portal_item.portal
        async with Session(credential=self.credential, clock=self._clock) as session:
            portal = Portal(portal_url, session)
            found = [await self._item_info(portal, item)]
            if found[0].type == "Web Map":
                found = await portal.related_items(item.item_id, "Map2Area")
            elif found[0].type != MAP_AREA:
                raise BadParameterError(
                    f"the item {item.item_id} ({found[0].title}) is no web map, but of the type "
                    f"{found[0].type or 'unknown'}",
                    remedy="Give the item of a web map",
                )
        return [self._map_area(one) for one in found if one.type == MAP_AREA]

    async def find_map_area(self) -> PreplannedMapArea | None:
        """The map area, not yet loaded, if the task's item is one and no web map."""
        if self.portal_item is None:
            return None
        async with Session(credential=self.credential, clock=self._clock) as session:
            portal = Portal(self.portal_item.portal, session)
            info = await self._item_info(portal, self.portal_item)
        return self._map_area(info) if info.type == MAP_AREA else None

    def _map_area(self, info: ItemInfo) -> PreplannedMapArea:
        assert self.portal_item is not None
        return PreplannedMapArea(
            PortalItem(portal=self.portal_item.portal, item_id=info.id),
            credential=self.credential,
            clock=self._clock,
            item=info,
        )

    async def create_default_download_preplanned_offline_map_parameters(
        self,
        preplanned_map_area: PreplannedMapArea,
        update_mode: PreplannedUpdateMode | None = None,
    ) -> DownloadPreplannedOfflineMapParameters:
        """The parameters for a map area. Without an ``update_mode`` it is synced with its services
        if that is possible, else kept current by packages, else not at all.

        :exc:`BadParameterError` if the area does not offer the mode.
        """
        await preplanned_map_area.load()
        modes = PreplannedUpdateMode
        if update_mode is None:
            offered = (modes.SYNC_WITH_FEATURE_SERVICES, modes.DOWNLOAD_SCHEDULED_UPDATES)
            found = (mode for mode in offered if preplanned_map_area.supports(mode))
            update_mode = next(found, modes.NO_UPDATES)
        preplanned_map_area.require_support(update_mode)
        return DownloadPreplannedOfflineMapParameters(
            preplanned_map_area=preplanned_map_area, update_mode=update_mode
        )

    def create_download_preplanned_offline_map_job(
        self, parameters: DownloadPreplannedOfflineMapParameters, folder: str | Path
    ) -> DownloadPreplannedOfflineMapJob:
        """The job that makes the map in ``folder``, which must not exist or be empty."""
        return DownloadPreplannedOfflineMapJob(
            parameters, Path(folder), credential=self.credential, clock=self._clock
        )


class GenerateOfflineMapJob(MapTakingJob[OfflineMap]):
    """Makes an offline map. Its result is the map, not yet opened.

    The folder appears whole or not at all: it is filled under another name and renamed. A job that
    is killed, or whose link breaks, is gone on with by the next one that takes the same into the
    same folder. ``totals`` is the traffic so far.
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
        super().__init__(
            folder,
            credential=task.credential,
            continue_on_errors=parameters.continue_on_errors,
            clock=clock,
        )
        self._sync_tasks = task
        self._parameters = copy.deepcopy(parameters)
        self._overrides = copy.deepcopy(overrides)
        self._keys: Mapping[str, OfflineMapParametersKey] = {}

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

        What a killed run left is gone on with. If the job had ended, and its map is there, it
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

    async def _take_again(self) -> OfflineMap:
        async with self._sync_tasks:
            return await self._run_with_lock()

    def _made(self) -> OfflineMap:
        return OfflineMap(self.folder)

    async def _take(self) -> OfflineMap:
        source = self._sync_tasks
        await source.load()
        for note in () if source.web_map is None else source.web_map.offline.notes:
            self._narrator.warn(note)
        missing = source.not_possible()
        overrides = self._overrides or (
            await source.create_generate_offline_map_parameter_overrides(self._parameters)
        )
        of_services = frozenset(one.id for one in source.map_layers if one.service_url)
        self._warn_of(missing, of_services)
        pieces = [
            Piece(task=task, parameters=overrides.generate_geodatabase_parameters[task.url])
            for task in source.tasks
            if task.url in overrides.generate_geodatabase_parameters
        ]
        if not pieces:
            if missing:
                raise missing[0].error
            raise BadParameterError("nothing of the map is left to take")
        await self._require_space(pieces)
        self._keys = overrides.keys
        await self._make(pieces, missing, PreplannedUpdateMode[self._parameters.update_mode.name])
        return self._made()

    async def _require_space(self, pieces: Sequence[Piece]) -> None:
        """Room for all services together, before the first of them is asked for a replica."""
        if len(pieces) < 2:
            return  # its own take looks
        coming = 0
        for piece in pieces:
            with suppress(EngineError):  # its own take tells of it
                coming += await piece.task.estimated_bytes(piece.parameters)
        atomic.require_space(self.folder, coming)

    def _missing_of(self, piece: Piece, error: EngineError) -> list[LeftOut]:
        ids = {name for name, key in self._keys.items() if key.service_url == piece.task.url}
        return [left_out(one, error) for one in self._sync_tasks.map_layers if one.id in ids]

    def _write(self, folder: Path, taken: Sequence[Taken], missing: Sequence[LeftOut]) -> None:
        source = self._sync_tasks
        item = source.portal_item
        title = self._parameters.title or source.title or self.folder.name
        info = PackageInfo(
            title=title,
            taken_how="service" if item is None else "webMap",
            taken_at=timestamp(self._clock.now()),
            update_mode=NO_UPDATES
            if self._parameters.update_mode is GenerateOfflineMapUpdateMode.NO_UPDATES
            else UPDATE_BY_SYNC,
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
