"""Syncing a whole offline map: all its geodatabases in turn, one result for each layer."""

import copy
from dataclasses import dataclass, field
from pathlib import Path

from engine.clock import Clock, SystemClock
from engine.errors import EngineError, MapError
from engine.geodatabase import fetch_queue
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.replica import get_replica
from engine.maps.offline_map import OfflineMap
from engine.model import OfflineUpdateAvailability
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.check import is_unchanged
from engine.sync.geodatabase_sync import GeodatabaseSync, no_deltas
from engine.sync.job import Job
from engine.sync.loadable import Loadable
from engine.sync.parameters import OfflineMapSyncParameters, SyncGeodatabaseParameters
from engine.sync.results import FeatureEditResult, GeodatabaseDeltaInfo, SyncGeodatabaseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineMapUpdatesInfo:
    """Whether there is something to upload or download now; ask again for a newer answer."""

    download_availability: OfflineUpdateAvailability
    upload_availability: OfflineUpdateAvailability


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

    async def _load(self) -> None:
        if not self.map.geodatabases:
            raise MapError(f"the map in {self.map.folder} has no geodatabase that can be opened")

    async def check_for_updates(self) -> OfflineMapUpdatesInfo:
        """Local edits are known exactly, without the services.

        There is nothing to download if every service says that its generation is the map's;
        otherwise, or if one cannot be asked now, that is ``INDETERMINATE``.
        """
        await self.load()
        edits = [await geodatabase.has_local_edits() for geodatabase in self.map.geodatabases]
        unchanged = [await self._is_unchanged(g) for g in self.map.geodatabases]
        return OfflineMapUpdatesInfo(
            download_availability=OfflineUpdateAvailability.NONE
            if all(unchanged)
            else OfflineUpdateAvailability.INDETERMINATE,
            upload_availability=OfflineUpdateAvailability.AVAILABLE
            if any(edits)
            else OfflineUpdateAvailability.NONE,
        )

    async def _is_unchanged(self, geodatabase: Geodatabase) -> bool:
        record = await geodatabase.database.read(get_replica)
        if await geodatabase.database.read(fetch_queue.count):
            return False
        try:
            async with Session(credential=self._credential, clock=self._clock) as session:
                service = await FeatureService(record.service_url, session).load()
        except EngineError:
            return False
        return is_unchanged(service, record, [layer.layer_id for layer in record.layers])

    async def create_default_offline_map_sync_parameters(self) -> OfflineMapSyncParameters:
        """Both directions, the most recently synchronised edit wins."""
        await self.load()
        return OfflineMapSyncParameters()

    def create_offline_map_sync_job(
        self, parameters: OfflineMapSyncParameters
    ) -> "OfflineMapSyncJob":
        """The job that syncs the map. The map must stay open until it has ended."""
        return OfflineMapSyncJob(
            self.map, parameters, credential=self._credential, clock=self._clock
        )


class OfflineMapSyncJob(Job[OfflineMapSyncResult]):
    """Syncs the geodatabases of a map in turn; one failing service does not stop the others.

    The job fails only if no geodatabase could be synced at all: then with the first one's error.
    ``geodatabase_delta_infos`` has one entry for each geodatabase that was synced, or tried, if
    deltas are kept.
    """

    kind = "offline_map_sync"

    def __init__(
        self,
        map: OfflineMap,
        parameters: OfflineMapSyncParameters,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(clock=clock)
        self._map = map
        self._credential = credential
        self.parameters = copy.deepcopy(parameters)
        self.geodatabase_delta_infos: list[GeodatabaseDeltaInfo] = []

    def to_json(self) -> dict[str, object]:
        parameters = self.parameters
        return {
            "kind": self.kind,
            "folder": str(self._map.folder),
            "sync_direction": parameters.sync_direction.name,
            "rollback_on_failure": parameters.rollback_on_failure,
            "conflict_policy": parameters.conflict_policy.value,
        }

    async def _run(self) -> OfflineMapSyncResult:
        result = OfflineMapSyncResult()
        geodatabases = self._map.geodatabases
        for number, geodatabase in enumerate(geodatabases):
            share = 100 / len(geodatabases)
            narrator = self._narrator.part(number * share, (number + 1) * share)
            sync = GeodatabaseSync(
                geodatabase, self._parameters(), credential=self._credential, clock=self._clock
            )
            try:
                one = await sync.run(narrator)
            except EngineError as error:
                one = sync.result or SyncGeodatabaseResult(geodatabase_path=geodatabase.path)
                one.error = error
                if len(geodatabases) > 1:
                    narrator.warn(f"{Path(geodatabase.path).name}: {error}")
            if self.parameters.keep_geodatabase_deltas:
                self.geodatabase_delta_infos.append(one.delta_info or no_deltas(geodatabase))
            result.geodatabase_results.append(one)
            self._collect(result, one)
        errors = [one.error for one in result.geodatabase_results]
        if errors and all(errors) and errors[0] is not None:
            raise errors[0]
        return result

    def _parameters(self) -> SyncGeodatabaseParameters:
        return SyncGeodatabaseParameters(
            geodatabase_sync_direction=self.parameters.sync_direction,
            rollback_on_failure=self.parameters.rollback_on_failure,
            conflict_policy=self.parameters.conflict_policy,
            push_channel=self.parameters.push_channel,
            allow_full_download=self.parameters.allow_full_download,
            keep_geodatabase_deltas=self.parameters.keep_geodatabase_deltas,
        )

    def _collect(self, result: OfflineMapSyncResult, one: SyncGeodatabaseResult) -> None:
        name = Path(one.geodatabase_path).name
        by_id = {layer.layer_id: layer for layer in one.layer_results}
        geodatabase = next(g for g in self._map.geodatabases if g.path == one.geodatabase_path)
        for table in geodatabase.feature_tables:
            found = by_id.get(table.layer_id)
            value = OfflineMapSyncLayerResult(
                error=one.error if found is None else found.error or one.error,
                edit_errors=() if found is None else tuple(found.edit_results),
            )
            target = (
                result.table_results if table.schema.geometry_type is None else result.layer_results
            )
            target[(name, table.name)] = value
