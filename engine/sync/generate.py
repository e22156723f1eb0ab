"""Taking part of a feature service into a new geodatabase."""

import asyncio
import copy
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from engine import faults
from engine.atomic import ProcessLock, disk_errors, sync_folder
from engine.clock import Clock, timestamp
from engine.errors import (
    BadParameterError,
    EngineError,
    LinkError,
    ProtocolError,
    ServiceBusyError,
    ServiceError,
    SyncInProgress,
)
from engine.geodatabase import catalog, fetch_queue, geopackage
from engine.geodatabase.connection import Database
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.package_record import set_package
from engine.geodatabase.replica import Replica, ReplicaLayer, get_replica
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import AttachmentSyncDirection, PreplannedUpdateMode, SyncDirection, SyncModel
from engine.service.download import discard
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.abandoned import abandoned_in, recorded_in, unregister_abandoned
from engine.sync.context import (
    SyncContext,
    lock_path,
    remove_file,
    remove_geodatabase,
    remove_spool,
    spool_folder,
)
from engine.sync.incoming import Sinks, Staged, Stager
from engine.sync.job import Narrator
from engine.sync.machine import machine_id
from engine.sync.parameters import (
    GenerateGeodatabaseParameters,
    SyncGeodatabaseParameters,
)
from engine.sync.photos import fetch_photos
from engine.sync.replica_request import (
    effective_spatial_reference,
    replica_name,
    require_sync,
    require_syncable,
)
from engine.sync.results import SyncGeodatabaseResult, SyncLayerResult, SyncTotals
from engine.sync.row_source import FirstRows, RowSource, ServiceRows, Wanted
from engine.sync.rows import codec_layer
from engine.sync.taking import Taking, is_begun, loaded_replica, partial_path, request_of


class GeodatabaseGenerator:
    """Makes one geodatabase at ``path``: registers a replica, loads its rows and attachments.

    The file appears whole or not at all; if anything fails the replica is unregistered again. But a
    run that is killed, or whose link breaks when the service has made the replica, is gone on with
    by the next one for the same file, unless that asks for something else.
    ``rows``: where they come from, if not with that replica. ``update_mode``: how it will be kept
    current, which says what may be edited in it, whatever the service allows. ``is_part``: the file
    is one of several in a folder that is gone on with as a whole, and there when all are made.
    """

    def __init__(
        self,
        url: str,
        parameters: GenerateGeodatabaseParameters,
        path: Path,
        *,
        credential: Credentials | None = None,
        clock: Clock,
        rows: RowSource | None = None,
        update_mode: PreplannedUpdateMode = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES,
        is_part: bool = False,
    ) -> None:
        self.url = url
        self.parameters = copy.deepcopy(parameters)
        self.path = path
        self.layers: list[LayerSchema] = []
        self.totals = SyncTotals()
        self._credential = credential
        self._clock = clock
        self._rows: RowSource = rows or ServiceRows()
        self._update_mode = update_mode
        self._is_part = is_part
        self._partial = partial_path(path)
        self._replica_id = ""
        self._replica_name = ""  # known to the service from the moment we ask for a replica
        self._has_begun = False  # until then what is there is an earlier run's

    async def run(self, narrator: Narrator) -> None:
        """Do it. A failure leaves neither a file nor a replica, except for what the next run goes
        on with when the link has broken."""
        if self.path.exists() and not self._is_part:
            raise BadParameterError(f"{self.path} already exists", remedy="Choose another name")
        start = self._clock.monotonic()
        with ProcessLock(lock_path(self.path)) as lock:
            if not lock.acquire():
                raise SyncInProgress(f"another program is taking {self.path}")
            async with Session(
                credential=self._credential, clock=self._clock, watch=narrator.watch
            ) as session:
                service = FeatureService(self.url, session)
                try:
                    await self._generate(service, narrator)
                except BaseException as error:
                    is_link = isinstance(error, LinkError | ServiceBusyError)
                    folder = spool_folder(self._partial)
                    if is_link and await asyncio.to_thread(is_begun, folder):
                        narrator.warn(f"what has come of {self.url} is kept for the next take")
                    else:
                        await asyncio.shield(self._clean_up(service))
                    raise
                finally:
                    self.totals.sent_bytes = session.sent_bytes
                    self.totals.received_bytes = session.received_bytes
                    self.totals.seconds = self._clock.monotonic() - start

    async def _clear_abandoned(self, session: Session) -> None:
        """Take back what an earlier run has left."""
        folder = spool_folder(self._partial)
        places = [self._partial, *([self.path] if self._is_part else [])]
        if any(place.exists() for place in (folder, *places)):
            found = await asyncio.to_thread(abandoned_in, folder)
            for place in places:
                found += await asyncio.to_thread(recorded_in, place)
            await unregister_abandoned(session, found)
            for place in places:
                await asyncio.to_thread(remove_geodatabase, place)

    async def undo(self) -> None:
        """Take back a run, when the map it is part of could not be made."""
        if self._has_begun:
            async with Session(credential=self._credential, clock=self._clock) as session:
                await self._clean_up(FeatureService(self.url, session))

    def layers_with_clauses(self) -> list[tuple[LayerSchema, str]]:
        """The layers that were taken, each with its where clause (empty: none)."""
        clauses = {o.layer_id: o.where_clause for o in self.parameters.layer_options}
        return [(layer, clauses.get(layer.id, "")) for layer in self.layers]

    # --- the steps --------------------------------------------------------------------------------

    async def _generate(self, service: FeatureService, narrator: Narrator) -> None:
        schema = await service.load()
        require_sync(schema)
        ids = [o.layer_id for o in self.parameters.layer_options] or list(schema.layer_ids)
        self.layers = await service.layers(ids, schema)
        for layer in self.layers:
            require_syncable(layer)
        folder = spool_folder(self._partial)
        wanted = Wanted(
            service=service,
            schema=schema,
            layers=self.layers,
            parameters=self.parameters,
            path=self.path,
            target=folder / "replica.json",
            taking=Taking(
                url=self.url,
                name=replica_name(),
                request=request_of(self.url, self.parameters, self.layers, self._update_mode)
                if self._rows.goes_on
                else "",
                noted_at=timestamp(self._clock.now()),
            ),
            narrator=narrator,
        )
        note = await asyncio.to_thread(Taking.read, folder)
        is_kept = note is not None and note.is_of(wanted.taking.request, self._clock.now())
        if note is not None and is_kept and await self._go_on(replace(wanted, taking=note)):
            return
        await self._clear_abandoned(service.session)
        self._has_begun = True
        await self._rows.prepare(wanted)
        narrator.report(5)
        form = wanted.form()
        with disk_errors(self.path):
            folder.mkdir(parents=True)
        await narrator.breathe()
        with disk_errors(self.path):
            await asyncio.to_thread(wanted.taking.write, folder)
        faults.point("replica.named")
        self._replica_name = wanted.replica_name
        await self._make(wanted, await self._rows.fetch(wanted), form)

    async def _go_on(self, wanted: Wanted) -> bool:
        """Go on with what a run that was killed has left; False if it must be begun anew."""
        self._has_begun, self._replica_name = True, wanted.replica_name
        if self._is_part:
            made = await asyncio.to_thread(loaded_replica, self.path)
            if made is not None:
                self._replica_id = made
                return True
        wanted.narrator.info(f"{wanted.schema.name}: going on where the last take broke off")
        loaded = await asyncio.to_thread(loaded_replica, self._partial)
        if loaded is not None:
            self._replica_id = loaded
            async with await Database.open(self._partial) as database:
                await self._complete(database, wanted)
            await self._finish(wanted)
            return True
        await asyncio.to_thread(remove_file, self._partial)
        first = await self._rows.fetch_kept(wanted)
        if first is None:
            self._replica_name = ""
            return False
        await self._make(wanted, first, wanted.form())
        return True

    async def _make(self, wanted: Wanted, first: FirstRows, form: dict[str, str]) -> None:
        self._replica_id = first.replica_id
        if not first.needs_snapshot:
            self._require_generations(first)
        wanted.narrator.report(40)
        await self._load(wanted, self._record(wanted.schema, first, form), first)
        await self._finish(wanted)

    async def _finish(self, wanted: Wanted) -> None:
        with disk_errors(self.path):
            await asyncio.to_thread(_finish, self._partial, self.path, keeps_note=self._is_part)
        faults.point("geodatabase.generated")
        wanted.narrator.report(99)

    def _require_generations(self, first: FirstRows) -> None:
        model = self.parameters.sync_model
        if model is SyncModel.PER_REPLICA and first.server_generation is None:
            raise ProtocolError(f"{self.url} did not say the replica's generation")
        if model is SyncModel.PER_LAYER:
            missing = [i.id for i in self.layers if i.id not in first.layer_generations]
            if missing:
                raise ProtocolError(f"{self.url} did not say the generation of layers {missing}")

    def _record(self, schema: ServiceSchema, first: FirstRows, form: dict[str, str]) -> Replica:
        may_edit = schema.is_editable and self._update_mode.uploads
        direction = _possible(may_edit)
        options = {o.layer_id: o.to_json() for o in self.parameters.layer_options}
        extent = self.parameters.extent
        if form["returnAttachments"] == "false" and not schema.supports_attachments_direction:
            attachments = AttachmentSyncDirection.NONE
        elif any(layer.has_attachments for layer in self.layers):
            attachments = self.parameters.attachment_sync_direction
        else:
            attachments = AttachmentSyncDirection.NONE
        return Replica(
            replica_id=self._replica_id,
            name=first.replica_name,
            service_url=self.url,
            item_id=schema.item_id,
            sync_model=self.parameters.sync_model,
            server_generation=first.server_generation,
            attachment_direction=attachments,
            sync_direction=direction,
            extent=None if extent is None else extent.to_json(),
            created_at=timestamp(self._clock.now()),
            machine_id=machine_id(),
            update_mode=self._update_mode,
            layers=tuple(
                ReplicaLayer(
                    layer_id=layer.id,
                    generation=first.layer_generations.get(layer.id),
                    sync_direction=_possible(may_edit and layer.is_editable),
                    options=options.get(layer.id, {}),
                )
                for layer in self.layers
            ),
        )

    async def _load(self, wanted: Wanted, replica: Replica, first: FirstRows) -> None:
        narrator = wanted.narrator

        def create(connection: sqlite3.Connection) -> None:
            geopackage.create_geopackage(
                connection,
                wanted.schema,
                self.layers,
                replica,
                spatial_reference=effective_spatial_reference(self.parameters, wanted.schema),
                spatial_index=self.parameters.spatial_index_for_editable_layers,
            )
            if first.package is not None:
                set_package(connection, first.package)

        async with await Database.open(self._partial, create=True) as database:
            await database.write(create)
            entries = await database.read(catalog.entries)
            staged = await database.write(self._fill, entries, first)
            faults.point("rows.loaded")
            if staged.undecodable_count:
                narrator.warn(f"{staged.undecodable_count} rows of the service cannot be stored")
            await self._complete(database, wanted)

    async def _complete(self, database: Database, wanted: Wanted) -> None:
        """What is left to be done when the rows are there."""
        folder = spool_folder(self._partial)
        await asyncio.to_thread(discard, folder / "replica.json")
        wanted.narrator.report(70)
        entries = await database.read(catalog.entries)
        tables = [entry.table for entry in entries]
        context = SyncContext(
            database=database,
            replica=await database.read(get_replica),
            tables=tables,
            srs_ids={entry.table.number: entry.srs_id for entry in entries},
            layers={layer.id: layer for layer in self.layers},
            relations=(),
            schema=wanted.schema,
            service=wanted.service,
            spatial_reference=effective_spatial_reference(self.parameters, wanted.schema),
            parameters=SyncGeodatabaseParameters(),
            folder=folder,
            clock=self._clock,
            narrator=wanted.narrator.part(70, 98),
            result=SyncGeodatabaseResult(
                geodatabase_path=self.path,
                layer_results=[
                    SyncLayerResult(layer_id=t.layer_id, table_name=t.name)
                    for t in tables
                    if not t.is_attachment
                ],
            ),
        )
        try:
            await fetch_photos(context)
        except ServiceError as error:
            wanted.narrator.warn(f"some attachments are left for the first sync: {error}")
        await database.use_wal()
        await database.checkpoint()

    def _fill(
        self,
        connection: sqlite3.Connection,
        entries: Sequence[catalog.Entry],
        first: FirstRows,
    ) -> Staged:
        tables = [entry.table for entry in entries]
        schemas = {layer.id: layer for layer in self.layers}
        layers = [
            codec_layer(schemas[entry.table.layer_id], entry.table, entry.srs_id)
            for entry in entries
            if not entry.table.is_attachment
        ]

        def rows(table: LayerTable, batch: list[Row], bounds: bytes | None) -> None:
            geopackage.insert_rows(connection, table, batch, bounds)

        def fetches(batch: list[Fetch]) -> None:
            fetch_queue.enqueue(connection, batch)

        def changes(table: LayerTable, ids: Sequence[str | int]) -> None:
            raise ProtocolError(f"the replica's first data speaks of changes to {table.name}")

        sinks = Sinks(rows=rows, incomplete=changes, deletes=changes, fetches=fetches)
        stager = Stager(tables, layers, spool_folder(self._partial), sinks)

        def fill(connection: sqlite3.Connection) -> None:
            stager.read(first.path, first.header)

        geopackage.load(connection, fill)
        staged = stager.staged
        staged.set_aside(connection, timestamp(self._clock.now()))
        return staged

    async def _clean_up(self, service: FeatureService) -> None:
        """Leave nothing of this run behind, here or on the service."""
        await asyncio.to_thread(lock_path(self.path).unlink, missing_ok=True)
        if not self._has_begun:
            return
        await asyncio.to_thread(remove_geodatabase, self._partial)
        await asyncio.to_thread(remove_geodatabase, self.path)
        # When even this fails the replica stays on the service, under a name that says whose it is.
        with suppress(EngineError):
            if self._replica_name and not self._replica_id:
                found = [i for n, i in await service.replicas() if n == self._replica_name]
                self._replica_id = found[0] if found else ""
            if self._replica_id:
                await service.unregister_replica(self._replica_id)
        self._replica_id = self._replica_name = ""
        self._has_begun = False


def _possible(is_editable: bool) -> SyncDirection:
    return SyncDirection.BIDIRECTIONAL if is_editable else SyncDirection.DOWNLOAD


def _finish(partial: Path, path: Path, *, keeps_note: bool) -> None:
    if not keeps_note:
        remove_spool(partial)
    faults.point("geodatabase.finished")
    partial.replace(path)
    sync_folder(path.parent)
