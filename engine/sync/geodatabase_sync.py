"""One sync of one geodatabase: the lock, the connection, and what its states share."""

import copy

from engine.atomic import ProcessLock
from engine.clock import Clock
from engine.errors import (
    EngineError,
    GeodatabaseError,
    SyncInProgress,
    TransactionOpenError,
)
from engine.geodatabase import catalog, replica as replica_record
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.relations import relations
from engine.layer_schema import ServiceSchema
from engine.model import SpatialReference
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.accounts import Accounts
from engine.sync.context import SyncContext, lock_path, spool_folder
from engine.sync.job import Narrator
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.recovery import lacks_generations
from engine.sync.results import SyncGeodatabaseResult, SyncLayerResult
from engine.sync.states import SyncRun, run_states


class GeodatabaseSync:
    """Syncs an open geodatabase with its feature service, once."""

    def __init__(
        self,
        geodatabase: Geodatabase,
        parameters: SyncGeodatabaseParameters,
        *,
        credential: Credentials | None = None,
        clock: Clock,
    ) -> None:
        self._geodatabase = geodatabase
        self._parameters = copy.deepcopy(parameters)
        self._credential = credential
        self._clock = clock
        self.result: SyncGeodatabaseResult | None = None

    async def run(self, narrator: Narrator) -> SyncGeodatabaseResult:
        """Sync, and account for every edit; ``result`` tells of a sync that failed, too.

        :exc:`SyncInProgress` if another program syncs this geodatabase now;
        :exc:`TransactionOpenError` before any traffic if the caller's transaction is open.
        """
        geodatabase = self._geodatabase
        if geodatabase.is_in_transaction:
            raise TransactionOpenError(f"{geodatabase.path}: a transaction is open")
        with ProcessLock(lock_path(geodatabase.path)) as lock:
            if not lock.acquire():
                raise SyncInProgress(f"another program is syncing {geodatabase.path}")
            async with Session(
                credential=self._credential, clock=self._clock, watch=narrator.watch
            ) as session:
                start = self._clock.monotonic()
                context = await self._context(session, narrator)
                self.result = context.result
                try:
                    run = SyncRun(
                        context=context, geodatabase=geodatabase, accounts=Accounts(context)
                    )
                    await run_states(run, narrator)
                except EngineError as error:
                    context.result.error = error
                    raise
                finally:
                    totals = context.result.totals
                    totals.sent_bytes = session.sent_bytes
                    totals.received_bytes = session.received_bytes
                    totals.seconds = self._clock.monotonic() - start
                    geodatabase.replica = context.replica
                return context.result

    async def _context(self, session: Session, narrator: Narrator) -> SyncContext:
        database = self._geodatabase.database
        record = await database.read(replica_record.get_replica)
        stored = await database.read(catalog.stored_layers)
        known = await database.read(replica_record.get_service)
        entries = await database.read(catalog.entries)
        if not record.replica_id:
            raise GeodatabaseError(
                f"{self._geodatabase.path} is not registered with its feature service",
                remedy="Register it anew with `fieldsync register`; its edits are kept",
            )
        service = FeatureService(record.service_url, session)
        schema = await service.load()
        self._check_service(known, schema)
        return SyncContext(
            database=database,
            replica=record,
            tables=[e.table for e in entries],
            srs_ids={e.table.number: e.srs_id for e in entries},
            layers={layer.schema.id: layer.schema for layer in stored},
            relations=relations([(layer.schema, layer.features.table) for layer in stored]),
            schema=schema,
            service=service,
            spatial_reference=_spatial_reference(entries, known),
            parameters=self._parameters,
            folder=spool_folder(self._geodatabase.path),
            clock=self._clock,
            narrator=narrator,
            result=SyncGeodatabaseResult(
                geodatabase_path=self._geodatabase.path,
                layer_results=[
                    SyncLayerResult(layer_id=layer.schema.id, table_name=layer.features.table.name)
                    for layer in stored
                ],
            ),
            needs_snapshot=lacks_generations(record),
        )

    def _check_service(self, known: ServiceSchema, schema: ServiceSchema) -> None:
        if known.item_id and schema.item_id and known.item_id != schema.item_id:
            raise GeodatabaseError(
                f"{schema.url} is another service now than the one this map was taken from",
                remedy="Ask the owner of the service; unsent edits are kept",
            )


def _spatial_reference(entries: list[catalog.Entry], known: ServiceSchema) -> SpatialReference:
    """The geometries' reference, in the service's own spelling where it is the same."""
    ids = {e.srs_id for e in entries if e.table.geometry is not None}
    if not ids:
        return known.spatial_reference
    reference = SpatialReference.of(ids.pop())
    if reference.same_as(known.spatial_reference):
        return known.spatial_reference
    return reference
