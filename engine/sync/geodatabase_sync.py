"""One sync of one geodatabase: check, pull, push, photos.

    LOCK ─▶ CHECK ─▶ RECONCILE ─▶ PULL ─▶ PUSH ─▶ PHOTOS ─▶ done

It may be killed between any two instructions and run again: what was sent without an answer is
found out first, and nothing is sent twice without that.
"""

import copy
from enum import Enum

from engine.atomic import ProcessLock
from engine.clock import Clock
from engine.errors import (
    EngineError,
    GeodatabaseError,
    ReplicaNotFoundError,
    ServiceRefusedError,
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
from engine.sync.channels import Channel
from engine.sync.check import check_directions, check_layers, check_tables, has_work, is_current
from engine.sync.context import SyncContext, lock_path, spool_folder
from engine.sync.job import Narrator
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.photos import fetch_photos
from engine.sync.pull import pull
from engine.sync.push import Push, choose_channel
from engine.sync.reconciling import reconcile_all
from engine.sync.results import SyncGeodatabaseResult, SyncLayerResult


class SyncStep(Enum):
    """Where a sync is; the order is that of the steps."""

    CHECK = "check"
    RECONCILE = "reconcile"
    PULL = "pull"
    PUSH = "push"
    PHOTOS = "photos"


_PERCENT = {
    SyncStep.CHECK: (0, 5),
    SyncStep.RECONCILE: (5, 10),
    SyncStep.PULL: (10, 40),
    SyncStep.PUSH: (40, 80),
    SyncStep.PHOTOS: (80, 99),
}


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
                    await self._steps(context, narrator)
                except EngineError as error:
                    context.result.error = error
                    raise
                finally:
                    totals = context.result.totals
                    totals.sent_bytes = session.sent_bytes
                    totals.received_bytes = session.received_bytes
                    totals.seconds = self._clock.monotonic() - start
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
                remedy="Take the map again, or register the geodatabase",
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
        )

    def _check_service(self, known: ServiceSchema, schema: ServiceSchema) -> None:
        if known.item_id and schema.item_id and known.item_id != schema.item_id:
            raise GeodatabaseError(
                f"{schema.url} is another service now than the one this map was taken from",
                remedy="Ask the owner of the service; unsent edits are kept",
            )

    async def _steps(self, context: SyncContext, narrator: Narrator) -> None:
        channel: Channel | None = None
        accounts = Accounts(context)
        try:
            for step in SyncStep:
                context.narrator = narrator.part(*_PERCENT[step])
                await narrator.breathe()
                match step:
                    case SyncStep.CHECK:
                        check_directions(context)
                        check_tables(context, self._geodatabase)
                        if not await has_work(context):
                            context.narrator.info("nothing changed on either side")
                            break
                        await check_layers(context)
                        channel = choose_channel(context)
                    case SyncStep.RECONCILE:
                        assert channel is not None
                        found_out = await reconcile_all(context, channel)
                    case SyncStep.PULL:
                        # What was found out was found by a pull.
                        if context.downloads and not found_out and not is_current(context):
                            await pull(context)
                    case SyncStep.PUSH:
                        assert channel is not None
                        if context.uploads:
                            await Push(context, channel, accounts).run()
                    case SyncStep.PHOTOS:
                        if context.downloads:
                            await fetch_photos(context)
                narrator.report(_PERCENT[step][1])
        except ServiceRefusedError as error:
            await _explain(context, error)
            raise
        finally:
            await accounts.close()
        await context.database.checkpoint()


async def _explain(context: SyncContext, error: ServiceRefusedError) -> None:
    """Replace a refusal by a clearer error if the replica is gone."""
    try:
        there = await context.service.has_replica(context.replica.replica_id)
    except EngineError:
        return
    if not there:
        raise ReplicaNotFoundError(
            f"{context.schema.url} has no replica {context.replica.replica_id} any more",
            service_code=error.service_code,
            details=error.details,
        ) from error


def _spatial_reference(entries: list[catalog.Entry], known: ServiceSchema) -> SpatialReference:
    """The geometries' reference, in the service's own spelling where it is the same."""
    ids = {e.srs_id for e in entries if e.table.geometry is not None}
    if not ids:
        return known.spatial_reference
    reference = SpatialReference.of(ids.pop())
    if reference.same_as(known.spatial_reference):
        return known.spatial_reference
    return reference
