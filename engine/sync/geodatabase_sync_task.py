"""Generating, syncing and unregistering the geodatabase of one feature service."""

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from engine.clock import Clock, SystemClock
from engine.errors import (
    AuthenticationError,
    BadParameterError,
    EngineError,
    NotLoadedError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.geodatabase.geodatabase import Geodatabase
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import (
    AttachmentSyncDirection,
    ConflictPolicy,
    Envelope,
    PreplannedUpdateMode,
    QueryOption,
    SyncDirection,
    SyncModel,
)
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync import registration
from engine.sync.generate import GeodatabaseGenerator
from engine.sync.geodatabase_jobs import GenerateGeodatabaseJob, SyncGeodatabaseJob
from engine.sync.loadable import Loadable
from engine.sync.parameters import (
    GenerateGeodatabaseParameters,
    GenerateLayerOption,
    SyncGeodatabaseParameters,
    SyncLayerOption,
)
from engine.sync.replica_request import count_rows, require_sync
from engine.sync.results import SyncLayerResult
from engine.sync.row_source import EXPECTED_ROW_BYTES, RowSource

if TYPE_CHECKING:
    from engine.sync.delta_push import PushDeltaJob


class GeodatabaseSyncTask(Loadable):
    """Works with the geodatabases of one feature service. An async context manager.

    ``credential``: one for the service or its portal, or a store that has one.
    ``continue_on_errors``: a layer that cannot be read is left out, and is in ``layer_errors``.
    """

    def __init__(
        self,
        url: str,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
        continue_on_errors: bool = False,
    ) -> None:
        super().__init__()
        self.layer_errors: dict[int, EngineError] = {}
        self._continue_on_errors = continue_on_errors
        self._clock: Clock = clock or SystemClock()
        self._credential = credential
        self._session: Session | None = None
        self._schema: ServiceSchema | None = None
        self._layers: list[LayerSchema] = []
        self.url = url.strip().split("?")[0].rstrip("/")

    async def __aenter__(self) -> Self:
        session = Session(credential=self._credential, clock=self._clock)
        self._session = await session.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.__aexit__(kind, error, trace)

    async def _load(self) -> None:
        service = self._service()
        schema = await service.load()
        require_sync(schema)
        self._layers, self.layer_errors = [], {}
        for layer_id in schema.layer_ids:
            try:
                self._layers.append(await service.layer(layer_id, schema))
            except (ProtocolError, ServiceRefusedError) as error:
                if not self._continue_on_errors or isinstance(error, AuthenticationError):
                    raise
                self.layer_errors[layer_id] = error
        self._schema = schema

    def _service(self) -> FeatureService:
        if self._session is None:
            raise NotLoadedError(
                "the task is not open", remedy="Use it inside 'async with', as the examples do"
            )
        return FeatureService(self.url, self._session)

    @property
    def schema(self) -> ServiceSchema:
        """What the service can do. :exc:`NotLoadedError` before :meth:`load`."""
        if self._schema is None:
            raise NotLoadedError(f"the feature service {self.url} is not loaded")
        return self._schema

    @property
    def layers(self) -> list[LayerSchema]:
        """The service's layers and tables. Empty before :meth:`load`."""
        return list(self._layers)

    # --- generate -----------------------------------------------------------------------------

    async def create_default_generate_geodatabase_parameters(
        self, extent: Envelope | None
    ) -> GenerateGeodatabaseParameters:
        """Every layer that can sync, filtered by ``extent``; tables by their relationships.

        A table that no layer is related to is taken whole. ``extent`` None filters nothing: also
        what is added later outside of the present data belongs to the map.
        """
        await self.load()
        options = []
        for layer in self._layers:
            if not layer.global_id_field:
                continue
            option = GenerateLayerOption(layer_id=layer.id, use_geometry=extent is not None)
            if layer.geometry_type is None:
                is_related = any(not r.is_origin for r in layer.relationships)
                option.query_option = QueryOption.NONE if is_related else QueryOption.ALL
                option.use_geometry = False
            options.append(option)
        models = self.schema.sync_models
        has_attachments = any(layer.has_attachments for layer in self._layers)
        return GenerateGeodatabaseParameters(
            extent=extent,
            layer_options=options,
            return_attachments=has_attachments,
            attachment_sync_direction=AttachmentSyncDirection.BIDIRECTIONAL
            if has_attachments
            else AttachmentSyncDirection.NONE,
            sync_model=SyncModel.PER_REPLICA
            if SyncModel.PER_REPLICA in models
            else SyncModel.PER_LAYER,
        )

    async def estimated_bytes(self, parameters: GenerateGeodatabaseParameters) -> int:
        """About how much these parameters bring: the service is asked for the number of rows."""
        await self.load()
        taken = {option.layer_id for option in parameters.layer_options}
        layers = [layer for layer in self._layers if not taken or layer.id in taken]
        counts = await count_rows(self._service(), layers, parameters)
        return EXPECTED_ROW_BYTES * sum(counts.values())

    def generator(
        self,
        parameters: GenerateGeodatabaseParameters,
        path: Path,
        *,
        rows: RowSource | None = None,
        update_mode: PreplannedUpdateMode = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES,
        is_part: bool = False,
    ) -> GeodatabaseGenerator:
        """The work of a generate job, for jobs that are made of several."""
        return GeodatabaseGenerator(
            self.url,
            parameters,
            path,
            credential=self._credential,
            clock=self._clock,
            rows=rows,
            update_mode=update_mode,
            is_part=is_part,
        )

    def create_generate_geodatabase_job(
        self, parameters: GenerateGeodatabaseParameters, path: str | Path
    ) -> GenerateGeodatabaseJob:
        """The job that makes the geodatabase file ``path``, which must not exist yet."""
        return GenerateGeodatabaseJob(self.generator(parameters, Path(path)), clock=self._clock)

    # --- sync ---------------------------------------------------------------------------------

    async def create_default_sync_geodatabase_parameters(
        self, geodatabase: Geodatabase, sync_direction: SyncDirection | None = None
    ) -> SyncGeodatabaseParameters:
        """Both directions unless one is given; with the model per layer, one option per layer."""
        direction = SyncDirection.BIDIRECTIONAL if sync_direction is None else sync_direction
        parameters = SyncGeodatabaseParameters(geodatabase_sync_direction=direction)
        if geodatabase.sync_model is SyncModel.PER_LAYER:
            parameters.layer_options = [
                SyncLayerOption(layer_id=table.layer_id, sync_direction=direction)
                for table in geodatabase.feature_tables
            ]
        return parameters

    def create_sync_geodatabase_job(
        self, parameters: SyncGeodatabaseParameters, geodatabase: Geodatabase
    ) -> SyncGeodatabaseJob:
        """The job that syncs ``geodatabase``, which must stay open until it has ended."""
        if parameters.layer_options and geodatabase.sync_model is not SyncModel.PER_LAYER:
            raise BadParameterError(
                "layer_options are for geodatabases of the sync model perLayer only",
                remedy="Leave layer_options empty; geodatabase_sync_direction counts",
            )
        return SyncGeodatabaseJob(
            geodatabase, parameters, credential=self._credential, clock=self._clock
        )

    # --- delta files --------------------------------------------------------------------------

    @staticmethod
    async def export_delta(geodatabase: Geodatabase, path: str | Path) -> bool:
        """Write all unsent edits, attachments included, to the delta file ``path``.

        True if there were any, and so a file. No network is used, no row is changed, and it may
        be done again; the edits are those of one moment, while other programs go on editing.
        Edits that were refused or are held for a decision are left out, and those of a layer
        whose change log is damaged. An older delta at ``path`` is replaced, whole or not at all.
        :exc:`SyncInProgress` while the geodatabase is being synced, exported or imported.
        """
        from engine.sync.deltas import export_delta  # what no sync needs

        return bool(await export_delta(geodatabase, Path(path), clock=SystemClock()))

    @staticmethod
    async def import_delta(
        geodatabase: Geodatabase,
        path: str | Path,
        *,
        conflict_policy: ConflictPolicy = ConflictPolicy.LAST_SYNCED,
    ) -> list[SyncLayerResult]:
        """Apply a delta file that came for this geodatabase; one entry for each layer and table.

        An acknowledgement settles the edits that were exported, changes of the service are merged.
        No network is used. It may be repeated, and be interrupted anywhere. :exc:`DeltaError` for
        a file that is damaged, :exc:`DeltaMismatchError` for one that is for another geodatabase:
        nothing of it is applied then.
        """
        from engine.sync.deltas import import_delta  # what no sync needs

        result = await import_delta(
            geodatabase, Path(path), conflict_policy=conflict_policy, clock=SystemClock()
        )
        return result.layer_results

    def create_push_delta_job(
        self, delta: str | Path, acknowledgement: str | Path
    ) -> "PushDeltaJob":
        """The job that sends an exported delta from any machine, and writes what became of each
        edit to the file ``acknowledgement``, for the device to import."""
        from engine.sync.delta_push import PushDeltaJob  # what no sync needs

        return PushDeltaJob(
            Path(delta),
            Path(acknowledgement),
            url=self.url,
            credential=self._credential,
            clock=self._clock,
        )

    # --- the tie to the service -----------------------------------------------------------------

    async def register_sync_enabled_geodatabase(self, geodatabase: Geodatabase) -> None:
        """Give ``geodatabase`` a replica of its own, so that it can be synced.

        A copy of a geodatabase needs that before its first sync, and so does one that was
        unregistered; the replica of the original is left alone. Edits that were pending when the
        copy was made are in both; they have the same GlobalIDs, so the service takes them once.
        """
        self._require_own(geodatabase)
        await registration.register(geodatabase, self._service(), clock=self._clock)

    async def unregister_geodatabase(self, geodatabase: Geodatabase | str) -> None:
        """Tell the service to forget this geodatabase's replica; edits can no longer be synced.

        Also by its ``sync_id``, without the file, if this device has made it. A replica that the
        service has forgotten already is no error with the file. :exc:`LinkError` without a link:
        then it is still registered.
        """
        if isinstance(geodatabase, str):
            await registration.unregister_by_id(self._service(), geodatabase)
            return
        self._require_own(geodatabase)
        await registration.unregister(geodatabase, self._service())

    async def relocate_geodatabase(self, geodatabase: Geodatabase) -> None:
        """Sync ``geodatabase`` with this task's service from now on: the same one, moved here.

        :exc:`BadParameterError` if it is another one, by its portal item and its layers.
        """
        await registration.relocate(geodatabase, self._service())

    def _require_own(self, geodatabase: Geodatabase) -> None:
        if geodatabase.service_url.casefold() != self.url.casefold():
            raise BadParameterError(
                f"{geodatabase.path} belongs to {geodatabase.service_url}, not to {self.url}",
                remedy="Make a task for that service, or relocate the geodatabase",
            )
