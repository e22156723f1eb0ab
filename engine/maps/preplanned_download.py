"""Taking a map area that was prepared ahead of time: parameters, job and result.

The members are the ArcGIS Maps SDK's ("DownloadPreplannedOfflineMapParameters" and its family),
without those that are about basemaps: tiles are never taken, the map keeps its references to them.
"""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from engine import atomic, faults
from engine.clock import Clock, timestamp
from engine.errors import (
    BadParameterError,
    EngineError,
    JobCancelledError,
    LinkError,
    MapError,
    ServiceRefusedError,
)
from engine.maps.area_layers import AreaLayers, package_left_out
from engine.maps.map_taking import MapTakingJob, Piece, Taken
from engine.maps.offline_map import OfflineMap
from engine.maps.package_info import (
    MAP_NAME,
    UPDATE_MODES,
    LeftOut,
    PackageInfo,
    web_map,
)
from engine.maps.package_item import PackageItem
from engine.maps.package_reader import (
    PackageLinkError,
    PackageReader,
    PackageSource,
    package_format,
    package_parameters,
    reader_for,
)
from engine.maps.preplanned_map_area import PreplannedMapArea
from engine.maps.web_map import WebMap
from engine.model import PreplannedUpdateMode
from engine.service.portal import Portal, PortalItem
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job_json import check_kind, job_json, parameters_in, text_in


@dataclass(slots=True, kw_only=True)
class DownloadPreplannedOfflineMapParameters:
    """What of a map area is taken, and how the map will be kept current.

    ``update_mode`` also says what may be edited in the map: everything that the services allow if
    it is synced with them, new features if those are uploaded, else nothing.
    ``continue_on_errors``: what cannot be taken is left out, and the map tells why; else the first
    one ends the job. It fails anyhow if nothing is left.
    """

    preplanned_map_area: PreplannedMapArea
    update_mode: PreplannedUpdateMode = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
    continue_on_errors: bool = True


@dataclass(slots=True, kw_only=True)
class _Choices:
    """Those of them that go into the JSON of a job as they are."""

    update_mode: PreplannedUpdateMode = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
    continue_on_errors: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadPreplannedOfflineMapResult:
    """The map that was taken, not yet opened, and what of it was not.

    The keys of the errors are the layers' and tables' ids in the web map; a package that no layer
    of it belongs to is there by its own item id. ``tile_packages`` are references only, which is no
    error.
    """

    offline_map: OfflineMap
    layer_errors: Mapping[str, EngineError] = field(default_factory=dict)
    table_errors: Mapping[str, EngineError] = field(default_factory=dict)
    tile_packages: tuple[PackageItem, ...] = ()

    @property
    def has_errors(self) -> bool:
        return bool(self.layer_errors or self.table_errors)


class DownloadPreplannedOfflineMapJob(MapTakingJob[DownloadPreplannedOfflineMapResult]):
    """Makes an offline map of a map area.

    The folder appears whole or not at all: it is filled under another name and renamed. ``totals``
    is the traffic so far. What has come of the packages outlives a broken link: the next job for
    the same folder goes on with it.
    """

    kind = "download_preplanned_offline_map"

    def __init__(
        self,
        parameters: DownloadPreplannedOfflineMapParameters,
        folder: Path,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            folder,
            credential=credential,
            continue_on_errors=parameters.continue_on_errors,
            clock=clock,
        )
        self._parameters = replace(parameters)
        self._area = parameters.preplanned_map_area
        self._layers = AreaLayers(None)
        self._web_map_item: PortalItem | None = None
        self._packages = folder.with_name(f".{folder.name}.packages")

    @property
    def parameters(self) -> DownloadPreplannedOfflineMapParameters:
        """A copy: those of the job cannot be changed any more."""
        return replace(self._parameters)

    def to_json(self) -> dict[str, object]:
        item = self._area.portal_item
        choices = _Choices(
            update_mode=self._parameters.update_mode,
            continue_on_errors=self._parameters.continue_on_errors,
        )
        return job_json(
            self.kind,
            choices,
            id=self._id,
            area={"portal": item.portal, "item_id": item.item_id},
            folder=str(self.folder),
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

        What had come of the packages is used, and what else a killed run left is taken back. If
        the job had ended, and its map is there, it has nothing left to do.
        """
        check_kind(value, cls.kind)
        told = value.get("area")
        told = told if isinstance(told, dict) else {}
        item = PortalItem(portal=text_in(told, "portal"), item_id=text_in(told, "item_id"))
        choices = parameters_in(value, _Choices)
        parameters = DownloadPreplannedOfflineMapParameters(
            preplanned_map_area=PreplannedMapArea(item, credential=credential, clock=clock),
            update_mode=choices.update_mode,
            continue_on_errors=choices.continue_on_errors,
        )
        folder = Path(text_in(value, "folder"))
        job = cls(parameters, folder, credential=credential, clock=clock)
        job._id, job._goes_on = text_in(value, "id"), True
        return job

    def _made(self) -> DownloadPreplannedOfflineMapResult:
        left = PackageInfo.read(self.folder).left_out
        return DownloadPreplannedOfflineMapResult(
            offline_map=OfflineMap(self.folder),
            layer_errors={one.id: one.error for one in left if not one.is_table},
            table_errors={one.id: one.error for one in left if one.is_table},
            tile_packages=tuple(one for one in self._area.package_items if one.is_tiles),
        )

    async def _take(self) -> DownloadPreplannedOfflineMapResult:
        try:
            return await self._take_area()
        except LinkError:
            raise  # what has come of the packages is gone on with
        except BaseException:
            await asyncio.shield(asyncio.to_thread(_remove, self._packages))
            raise

    async def _take_area(self) -> DownloadPreplannedOfflineMapResult:
        area, mode = self._area, self._parameters.update_mode
        await area.retry_load()
        area.require_support(mode)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(
                Session(credential=self._credential, clock=self._clock)
            )
            portal = Portal(area.portal_item.portal, session)
            self._layers = AreaLayers(await self._find_web_map(portal))
            failed: list[LeftOut] = []
            chosen = [
                one
                for package in area.package_items
                if package.has_features
                and (one := await self._choose(portal, stack, package, failed)) is not None
            ]
            self._warn_of(failed)
            missing = [*self._layers.not_covered(), *self._without_features()]
            self._warn_of(missing, frozenset())
            if not chosen:
                raise failed[0].error if failed else MapError(f"{area.title} has nothing to take")
            self._require_new_features(chosen)
            coming = [await one.reader.coming_bytes(one.task, one.parameters) for one in chosen]
            atomic.require_space(self.folder, sum(coming))
            await self._make(chosen, [*failed, *missing], mode)
        return self._made()

    async def _find_web_map(self, portal: Portal) -> WebMap | None:
        """The web map that the area is of; the area can be taken without it."""
        try:
            found = await portal.related_items(
                self._area.portal_item.item_id, "Map2Area", reverse=True
            )
            item = next(one for one in found if one.type == "Web Map")
            value = await portal.item_data(item.id)
            self._web_map_item = PortalItem(portal=portal.url, item_id=item.id)
            return WebMap.from_json(value, portal=portal.url)
        except StopIteration:
            self._narrator.warn("the portal does not say of which web map the map area is")
        except (ServiceRefusedError, MapError) as error:
            self._narrator.warn(f"the web map of the map area cannot be had: {error.message}")
        return None

    def _without_features(self) -> list[LeftOut]:
        """Packages of other types: tiles are no loss, the others are told."""
        found = []
        for package in self._area.package_items:
            if package.is_tiles:
                self._narrator.info(f"{package.title}: tiles are not taken; the map refers to them")
            elif not package.has_features:
                try:
                    package.require_definition()
                except MapError as error:
                    found.append(package_left_out(package, error))
        return found

    async def _choose(
        self,
        portal: Portal,
        stack: AsyncExitStack,
        package: PackageItem,
        failed: list[LeftOut],
    ) -> "_Package | None":
        """How a package is to be taken; None for what is ``failed``."""
        task = None
        try:
            package.require_definition()
            task = await stack.enter_async_context(
                GeodatabaseSyncTask(
                    package.service_url,
                    credential=self._credential,
                    clock=self._clock,
                    continue_on_errors=True,
                )
            )
            await task.load()
            return await self._piece(portal, task, package, failed)
        except JobCancelledError:
            raise
        except EngineError as error:
            ids = package.layer_ids or (() if task is None else [one.id for one in task.layers])
            failed += self._layers.cover(package.service_url, ids, package, error)
            return None

    async def _piece(
        self,
        portal: Portal,
        task: GeodatabaseSyncTask,
        package: PackageItem,
        failed: list[LeftOut],
    ) -> "_Package":
        kind = self._area.format_of(package) or await package_format(portal, package)
        source = PackageSource(
            portal=portal.url,
            area_item_id=self._area.portal_item.item_id,
            package=package,
            update_mode=self._parameters.update_mode,
            folder=self._packages,
        )
        reader = reader_for(source, kind, task)
        parameters = package_parameters(package, task)
        taken = [option.layer_id for option in parameters.layer_options]
        for layer_id in package.layer_ids:
            if layer_id not in taken:
                error = task.layer_errors.get(layer_id) or MapError(
                    f"{task.url} has no layer {layer_id} that can be synced",
                    remedy="The service has changed since: have the map area made anew",
                )
                failed += self._layers.cover(task.url, [layer_id], package, error)
        if not taken:
            raise MapError(
                f"{task.url} has none of the layers of the package {package.title}",
                remedy="The service has changed since: have the map area made anew",
            )
        self._layers.cover(task.url, taken, package, None)
        return _Package(
            task=task,
            parameters=parameters,
            rows=reader.rows(),
            package_item_id=package.item_id,
            package=package,
            reader=reader,
        )

    def _require_new_features(self, chosen: Sequence["_Package"]) -> None:
        mode = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES
        if self._parameters.update_mode is mode and not any(
            layer.can_create and one.task.schema.is_editable
            for one in chosen
            for layer in one.task.layers
            if layer.id in {option.layer_id for option in one.parameters.layer_options}
        ):
            raise BadParameterError(
                f"no layer of the map area {self._area.title} takes new features",
                remedy="Take it with the update mode download_scheduled_updates",
            )

    def _may_go_on(self, error: EngineError) -> bool:
        """A service may be down; without the portal there is no map, but there may be one soon."""
        return super()._may_go_on(error) and not isinstance(error, PackageLinkError)

    def _missing_of(self, piece: Piece, error: EngineError) -> list[LeftOut]:
        ids = [option.layer_id for option in piece.parameters.layer_options]
        assert isinstance(piece, _Package)
        return self._layers.cover(piece.task.url, ids, piece.package, error)

    def _write(self, folder: Path, taken: Sequence[Taken], missing: Sequence[LeftOut]) -> None:
        item, area = self._web_map_item, self._area
        info = PackageInfo(
            title=area.title,
            taken_how="mapArea",
            taken_at=timestamp(self._clock.now()),
            update_mode=UPDATE_MODES[self._parameters.update_mode],
            item_id="" if item is None else item.item_id,
            portal=area.portal_item.portal,
            area_item_id=area.portal_item.item_id,
            area=area.area_of_interest,
            job_id=self._id,
            services=tuple(one.service for one in taken),
            left_out=tuple(missing),
        )
        found = self._layers.web_map
        definition: Mapping[str, object]
        if found is not None:
            definition = found.definition
        else:
            listed = [(one.service, one.item_id, one.layers) for one in taken]
            reference = taken[0].layers[0][0].spatial_reference
            definition = web_map(area.title, listed, reference)
        info.write(folder)
        atomic.write_json(folder / MAP_NAME, definition)
        # Before the folder has its name: nobody would look for them afterwards.
        _remove(self._packages)
        faults.point("packages.removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Package(Piece):
    """A package, and how it is read."""

    package: PackageItem
    reader: PackageReader


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
