"""One sync of one geodatabase: check, pull, push, photos.

    LOCK ─▶ CHECK ─▶ RECONCILE ─▶ PULL ─▶ PUSH ─▶ PHOTOS ─▶ done

It may be killed between any two instructions and run again: what was sent without an answer is
found out first, and nothing is sent twice without that.
"""

import asyncio
import copy
import sqlite3
from enum import Enum
from pathlib import Path

from engine.atomic import ProcessLock
from engine.clock import Clock
from engine.errors import (
    ChangeLogBrokenError,
    EngineError,
    GeodatabaseError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceRefusedError,
    SyncInProgress,
    TransactionOpenError,
)
from engine.geodatabase import acknowledge, catalog, journal, replica as replica_record
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.journal import BatchState
from engine.geodatabase.relations import relations
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import EditOperation, SpatialReference
from engine.service.feature_service import FeatureService
from engine.service.replica_file import generations
from engine.service.session import Session
from engine.sync.context import SyncContext, spool_folder
from engine.sync.job import Narrator
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.photos import fetch_photos
from engine.sync.pull import pull, refresh
from engine.sync.push import Push
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
        self, geodatabase: Geodatabase, parameters: SyncGeodatabaseParameters, *, clock: Clock
    ) -> None:
        self._geodatabase = geodatabase
        self._parameters = copy.deepcopy(parameters)
        self._clock = clock

    async def run(self, narrator: Narrator) -> SyncGeodatabaseResult:
        """Sync, and account for every edit.

        :exc:`SyncInProgress` if another program syncs this geodatabase now;
        :exc:`TransactionOpenError` before any traffic if the caller's transaction is open.
        """
        geodatabase = self._geodatabase
        if geodatabase.is_in_transaction:
            raise TransactionOpenError(f"{geodatabase.path}: a transaction is open")
        with ProcessLock(lock_path(geodatabase.path)) as lock:
            if not lock.acquire():
                raise SyncInProgress(f"another program is syncing {geodatabase.path}")
            async with Session(clock=self._clock, watch=narrator.watch) as session:
                start = self._clock.monotonic()
                context = await self._context(session, narrator)
                try:
                    await self._steps(context, narrator)
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
        direction = self._parameters.geodatabase_sync_direction
        for step in SyncStep:
            context.narrator = narrator.part(*_PERCENT[step])
            await narrator.breathe()
            try:
                match step:
                    case SyncStep.CHECK:
                        await self._check(context)
                    case SyncStep.RECONCILE:
                        await self._reconcile(context)
                    case SyncStep.PULL:
                        if direction.downloads and not _is_current(context):
                            await pull(context)
                    case SyncStep.PUSH:
                        if direction.uploads and context.replica.sync_direction.uploads:
                            await Push(context).run()
                    case SyncStep.PHOTOS:
                        if direction.downloads:
                            await fetch_photos(context)
            except ServiceRefusedError as error:
                await _explain(context, error)
                raise
            narrator.report(_PERCENT[step][1])
        await context.database.checkpoint()

    async def _check(self, context: SyncContext) -> None:
        """Tables, triggers and the service's layers must be what the geodatabase was made for."""
        broken = [t for t in self._geodatabase.feature_tables if t.error is not None]
        for table in broken:
            context.result.layer(table.layer_id).error = table.error
        context.tables = [
            t for t in context.tables if t.layer_id not in {b.layer_id for b in broken}
        ]
        if broken and not context.tables:
            error = broken[0].error
            raise error if error is not None else ChangeLogBrokenError("no table can be synced")
        for layer_id in {t.layer_id for t in context.tables}:
            now = await context.service.layer(layer_id, context.schema)
            _check_layer(context.layers[layer_id], now)

    async def _reconcile(self, context: SyncContext) -> None:
        """Find out what became of batches whose answer was lost; what was not applied is pending.

        The rows are read back from the service: what it has as we sent it is acknowledged by the
        merge, the rest stays an edit.
        """
        for batch in await context.database.read(journal.unfinished):
            if batch.state is BatchState.PREPARED:
                await context.database.write(_forget, batch.id)
                continue
            if batch.state is BatchState.ACKNOWLEDGED:
                await context.database.write(_finish, batch.id, context.now())
                continue
            edits = await context.database.read(
                acknowledge.sent_edits, batch.id, list(context.tables)
            )
            context.narrator.info(f"finding out about {len(edits)} edits without an answer")
            for table in {e.table.number: e.table for e in edits}.values():
                if table.is_attachment:
                    continue
                ours = [e for e in edits if e.table.number == table.number]
                adds = [e.global_id for e in ours if e.operation is EditOperation.ADD]
                others = [e.global_id for e in ours if e.operation is not EditOperation.ADD]
                await refresh(context, table, adds, absent_means_deleted=False)
                await refresh(context, table, others, absent_means_deleted=True)
            await context.database.write(_forget, batch.id)
        await asyncio.to_thread(_clear, context.folder)


def lock_path(geodatabase: Path) -> Path:
    """The file whose lock says that a geodatabase is being synced."""
    return geodatabase.with_name(f"{geodatabase.name}.lock")


def _is_current(context: SyncContext) -> bool:
    """True if the service says that it has not changed since our generation."""
    tracking = context.schema.resource.get("changeTrackingInfo")
    if not isinstance(tracking, dict):
        return False
    _, per_layer = generations(tracking)
    record = context.replica
    ours = {layer.layer_id: layer.generation or record.server_generation for layer in record.layers}
    return bool(ours) and all(per_layer.get(i) == number for i, number in ours.items())


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


def _check_layer(known: LayerSchema, now: LayerSchema) -> None:
    """:exc:`ProtocolError` if the layer's fields are not those of the geodatabase any more."""
    before = {f.name.casefold(): f.type for f in known.fields}
    after = {f.name.casefold(): f.type for f in now.fields}
    gone = sorted(before.keys() - after.keys())
    retyped = sorted(n for n in before.keys() & after.keys() if before[n] is not after[n])
    if gone or retyped or known.geometry_type != now.geometry_type:
        what = ", ".join(
            [f"{n} was removed" for n in gone] + [f"{n} has another type" for n in retyped]
        )
        raise ProtocolError(
            f"the layer {known.name!r} has changed on the service: {what or 'another geometry'}",
            remedy="Take the map again; unsent edits are kept in this one",
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


def _forget(connection: sqlite3.Connection, batch_id: int) -> None:
    acknowledge.release(connection, batch_id)
    journal.discard(connection, batch_id)


def _finish(connection: sqlite3.Connection, batch_id: int, now: str) -> None:
    acknowledge.release(connection, batch_id)
    journal.move(connection, batch_id, BatchState.MERGED, now)


def _clear(folder: Path) -> None:
    """Remove what an interrupted run left in the spool folder."""
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.name.startswith(("batch-", "answer-", "download", "fetch-", ".batch-")):
                entry.unlink(missing_ok=True)
