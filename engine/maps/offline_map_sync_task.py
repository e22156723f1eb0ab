"""Syncing a whole offline map: all its geodatabases in turn, one result for each layer."""

import asyncio
import copy
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from engine.clock import Clock, SystemClock
from engine.errors import EngineError, JobCancelledError, MapError, ServiceBusyError
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.package_record import get_package
from engine.geodatabase.replica import get_replica, get_service
from engine.maps.offline_map import OfflineMap
from engine.maps.package_info import (
    NO_UPDATES,
    UPDATE_BY_PACKAGES,
    UPDATE_BY_PACKAGES_AND_NEW,
    UPDATE_BY_SYNC,
)
from engine.maps.update_capabilities import OfflineMapUpdateCapabilities
from engine.service.hosts import is_same_host
from engine.service.service_time import ServiceTime
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.geodatabase_sync import GeodatabaseSync, no_deltas
from engine.sync.job import Job
from engine.sync.job_json import check_kind, job_json, parameters_in, text_in, texts_in
from engine.sync.loadable import Loadable
from engine.sync.parameters import OfflineMapSyncParameters, SyncGeodatabaseParameters
from engine.sync.results import FeatureEditResult, GeodatabaseDeltaInfo, SyncGeodatabaseResult

if TYPE_CHECKING:  # loaded when a map needs them, which most never do: 0.6 MB
    from engine.maps.map_updates import OfflineMapUpdatesInfo
    from engine.maps.scheduled_sync import ScheduledSync


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapSyncLayerResult:
    """One layer or table: ``error`` if none of it could be synced, else the refused edits."""

    error: EngineError | None
    edit_errors: tuple[FeatureEditResult, ...]

    @property
    def has_errors(self) -> bool:
        return self.error is not None or bool(self.edit_errors)


@dataclass(slots=True, kw_only=True)
class OfflineMapSyncResult:
    """What a sync of the map did. The keys of the results are (geodatabase file, table name).

    A job can succeed while ``has_errors`` is true: it ran to its end, but some rows, layers or
    services failed.
    """

    layer_results: dict[tuple[str, str], OfflineMapSyncLayerResult] = field(default_factory=dict)
    table_results: dict[tuple[str, str], OfflineMapSyncLayerResult] = field(default_factory=dict)
    geodatabase_results: list[SyncGeodatabaseResult] = field(default_factory=list)

    @property
    def has_errors(self) -> bool:
        return any(result.has_errors for result in self.geodatabase_results)

    @property
    def is_mobile_map_package_reopen_required(self) -> bool:
        """Always False: a geodatabase is only ever changed by transactions inside its file."""
        return False


class OfflineMapSyncTask(Loadable):
    """Syncs an open offline map with its feature services.

    ``credential``: one for their host or portal, or a store with one for each.
    """

    def __init__(
        self,
        map: OfflineMap,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self.map = map
        self._credential = credential
        self._clock: Clock = clock or SystemClock()
        self._update_capabilities: OfflineMapUpdateCapabilities | None = None

    @property
    def update_capabilities(self) -> OfflineMapUpdateCapabilities | None:
        """How the map can be kept current; None before :meth:`load`. Needs no network."""
        return self._update_capabilities

    async def _load(self) -> None:
        if not self.map.geodatabases:
            raise MapError(f"the map in {self.map.folder} has no geodatabase that can be opened")
        mode = self.map.info.update_mode
        can_sync = [await g.database.read(_can_sync) for g in self.map.geodatabases]
        self._update_capabilities = OfflineMapUpdateCapabilities(
            supports_scheduled_updates_for_features=mode
            in (
                UPDATE_BY_PACKAGES,
                UPDATE_BY_PACKAGES_AND_NEW,
            ),
            supports_sync_with_feature_services=any(can_sync)
            and mode in (UPDATE_BY_SYNC, UPDATE_BY_PACKAGES_AND_NEW),
        )

    async def check_for_updates(self) -> "OfflineMapUpdatesInfo":
        """Ask what a sync would do now; nothing is changed by it.

        Local edits are known exactly, without the services. Of a map that is kept current by
        packages so is what there is to download, to the byte. Of others there is nothing to
        download if every service says that its generation is the map's, and something if one can
        tell what it is. Otherwise, or if one cannot be asked now, that is ``INDETERMINATE``.
        """
        from engine.maps.map_updates import check_map

        await self.load()
        async with Session(credential=self._credential, clock=self._clock) as session:
            return await check_map(self.map, session, self._clock)

    async def create_default_offline_map_sync_parameters(self) -> OfflineMapSyncParameters:
        """Both directions, the most recently synchronised edit wins."""
        await self.load()
        return OfflineMapSyncParameters()

    def create_offline_map_sync_job(
        self, parameters: OfflineMapSyncParameters, *, services: Collection[str] | None = None
    ) -> "OfflineMapSyncJob":
        """The job that syncs the map. The map must stay open until it has ended.

        ``services``: only the geodatabases of the services with these URLs; None: all. For a
        caller who leaves a service alone that asked for it, and syncs the others.
        """
        return OfflineMapSyncJob(
            self.map,
            parameters,
            credential=self._credential,
            clock=self._clock,
            services=services,
        )


class OfflineMapSyncJob(Job[OfflineMapSyncResult]):
    """Syncs the geodatabases of a map in turn; one failing service does not stop the others.

    The job fails only if no geodatabase could be synced at all: then with the first one's error.
    ``geodatabase_delta_infos`` has one entry for each geodatabase that was synced, or tried, if
    deltas are kept, ``geodatabase_results`` one for each that was begun, also in a job that fails
    or is cancelled. ``service_time`` is what time it is by the services, if they said it over TLS.
    The folder of a map instead of an open map is opened for as long as the job runs.
    """

    kind = "offline_map_sync"

    def __init__(
        self,
        map: OfflineMap | Path,
        parameters: OfflineMapSyncParameters,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
        services: Collection[str] | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self._map = map
        self._credential = credential
        self._services = None if services is None else frozenset(services)
        self.geodatabase_delta_infos: list[GeodatabaseDeltaInfo] = []
        self.geodatabase_results: list[SyncGeodatabaseResult] = []
        self.service_time: ServiceTime | None = None
        self._parameters = copy.deepcopy(parameters)

    @property
    def parameters(self) -> OfflineMapSyncParameters:
        """A copy: those of the job cannot be changed any more."""
        return copy.deepcopy(self._parameters)

    def to_json(self) -> dict[str, object]:
        folder = self._map.folder if isinstance(self._map, OfflineMap) else self._map
        services = None if self._services is None else sorted(self._services)
        return job_json(self.kind, self._parameters, folder=str(folder), services=services)

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, object],
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """The job that :meth:`to_json` told of, not started, to go on after a restart.

        It opens its map by itself, and each geodatabase goes on where its journal says.
        """
        check_kind(value, cls.kind)
        parameters = parameters_in(value, OfflineMapSyncParameters)
        folder = Path(text_in(value, "folder"))
        services = None if value.get("services") is None else texts_in(value, "services")
        return cls(folder, parameters, credential=credential, clock=clock, services=services)

    async def _run(self) -> OfflineMapSyncResult:
        async with AsyncExitStack() as stack:
            map_ = self._map
            if isinstance(map_, Path):
                map_ = await stack.enter_async_context(OfflineMap.open(map_))
            # One for all: services of one host share its connections.
            session = await stack.enter_async_context(
                Session(credential=self._credential, clock=self._clock, watch=self._narrator.watch)
            )
            try:
                return await self._sync(map_, session)
            finally:
                self.service_time = session.service_time

    async def _sync(self, map_: OfflineMap, session: Session) -> OfflineMapSyncResult:
        if map_.info.update_mode == NO_UPDATES:
            raise MapError(
                f"the map in {map_.folder} was taken without updates",
                remedy="To have newer rows, take it again into another folder",
            )
        result = OfflineMapSyncResult(geodatabase_results=self.geodatabase_results)
        geodatabases = [
            one
            for one in map_.geodatabases
            if self._services is None or one.service_url in self._services
        ]
        for number, geodatabase in enumerate(geodatabases):
            share = 100 / len(geodatabases)
            narrator = self._narrator.part(number * share, (number + 1) * share)
            sync = await self._one(geodatabase)
            try:
                _spare_host(geodatabase, result.geodatabase_results, geodatabases)
                one = await sync.run(narrator, session)
            except EngineError as error:
                one = sync.result or SyncGeodatabaseResult(geodatabase_path=geodatabase.path)
                one.error = error
                if len(geodatabases) > 1:
                    narrator.warn(f"{Path(geodatabase.path).name}: {error}")
            except asyncio.CancelledError:
                one = sync.result or SyncGeodatabaseResult(geodatabase_path=geodatabase.path)
                one.error = one.error or JobCancelledError("the job was cancelled")
                result.geodatabase_results.append(one)
                raise
            if self._parameters.keep_geodatabase_deltas:
                self.geodatabase_delta_infos.append(one.delta_info or no_deltas(geodatabase))
            result.geodatabase_results.append(one)
            _collect(result, one, geodatabase)
        errors = [one.error for one in result.geodatabase_results]
        if errors and all(errors) and errors[0] is not None:
            raise errors[0]
        return result

    async def _one(self, geodatabase: Geodatabase) -> "GeodatabaseSync | ScheduledSync":
        if await geodatabase.database.read(get_package) is None:
            return GeodatabaseSync(
                geodatabase, self._for_one(), credential=self._credential, clock=self._clock
            )
        from engine.maps.scheduled_sync import ScheduledSync

        return ScheduledSync(
            geodatabase,
            self._for_one(),
            self._parameters.preplanned_scheduled_updates_option,
            clock=self._clock,
        )

    def _for_one(self) -> SyncGeodatabaseParameters:
        return SyncGeodatabaseParameters(
            geodatabase_sync_direction=self._parameters.sync_direction,
            rollback_on_failure=self._parameters.rollback_on_failure,
            conflict_policy=self._parameters.conflict_policy,
            push_channel=self._parameters.push_channel,
            allow_full_download=self._parameters.allow_full_download,
            keep_geodatabase_deltas=self._parameters.keep_geodatabase_deltas,
            reconcile_branch_version=self._parameters.reconcile_branch_version,
        )


def _spare_host(
    geodatabase: Geodatabase,
    results: Iterable[SyncGeodatabaseResult],
    geodatabases: Iterable[Geodatabase],
) -> None:
    """:exc:`ServiceBusyError` if its host has just said, when another service was synced, for how
    long it wants to be left alone (RFC 9110, 10.2.3 Retry-After)."""
    urls = {one.path: one.service_url for one in geodatabases}
    for one in results:
        error = one.error
        if not isinstance(error, ServiceBusyError) or error.retry_after_s is None:
            continue
        asked_by = f"https://{error.host}" if error.host else urls[one.geodatabase_path]
        if is_same_host(asked_by, geodatabase.service_url):
            raise ServiceBusyError(
                f"{geodatabase.service_url} was left alone: {error.message}",
                retry_after_s=error.retry_after_s,
                host=error.host,
            )


def _can_sync(connection: sqlite3.Connection) -> bool:
    return bool(get_replica(connection).replica_id) and get_service(connection).can_sync


def _collect(
    result: OfflineMapSyncResult, one: SyncGeodatabaseResult, geodatabase: Geodatabase
) -> None:
    name = Path(one.geodatabase_path).name
    by_id = {layer.layer_id: layer for layer in one.layer_results}
    for table in geodatabase.feature_tables:
        found = by_id.get(table.layer_id)
        value = OfflineMapSyncLayerResult(
            error=one.error if found is None else found.error or one.error,
            edit_errors=() if found is None else tuple(found.edit_results),
        )
        is_table = table.schema.geometry_type is None
        target = result.table_results if is_table else result.layer_results
        target[(name, table.name)] = value
