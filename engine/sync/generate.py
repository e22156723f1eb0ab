"""Taking part of a feature service into a new geodatabase."""

import asyncio
import copy
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine import faults
from engine.atomic import ProcessLock, disk_errors, sync_folder
from engine.clock import Clock, timestamp
from engine.errors import (
    BadParameterError,
    EngineError,
    ProtocolError,
    ServiceError,
    SyncInProgress,
)
from engine.geodatabase import catalog, fetch_queue, geopackage
from engine.geodatabase.connection import Database
from engine.geodatabase.difference import Row
from engine.geodatabase.fetch_queue import Fetch
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.package_record import set_package
from engine.geodatabase.replica import Replica, ReplicaLayer
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import AttachmentSyncDirection, PreplannedUpdateMode, SyncDirection, SyncModel
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.abandoned import (
    NOTE,
    abandoned_in,
    note_replica,
    recorded_in,
    unregister_abandoned,
)
from engine.sync.context import SyncContext, lock_path, spool_folder
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


class GeodatabaseGenerator:
    """Makes one geodatabase at ``path``: registers a replica, loads its rows and attachments.

    The file appears whole or not at all; if anything fails the replica is unregistered again.
    ``rows``: where they come from, if not with that replica. ``update_mode``: how it will be kept
    current, which says what may be edited in it, whatever the service allows.
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
    ) -> None:
        self.url = url
        self.parameters = copy.deepcopy(parameters)
        self.path = path
        self.layers: list[LayerSchema] = []
        self.undecodable = 0
        self.totals = SyncTotals()
        self._credential = credential
        self._clock = clock
        self._rows: RowSource = rows or ServiceRows()
        self._update_mode = update_mode
        self._partial = path.with_name(f".{path.name}.partial")
        self._replica_id = ""
        self._replica_name = ""  # known to the service from the moment we ask for a replica

    async def run(self, narrator: Narrator) -> None:
        """Do it. Any failure leaves neither a file nor a replica."""
        if self.path.exists():
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
                    await self._clear_abandoned(session)
                    await self._generate(service, narrator)
                except BaseException:
                    await asyncio.shield(self._clean_up(service))
                    raise
                finally:
                    self.totals.sent_bytes = session.sent_bytes
                    self.totals.received_bytes = session.received_bytes
                    self.totals.seconds = self._clock.monotonic() - start

    async def _clear_abandoned(self, session: Session) -> None:
        """Take back what an earlier run that was killed has left."""
        folder = spool_folder(self._partial)
        if folder.exists() or self._partial.exists():
            found = await asyncio.to_thread(abandoned_in, folder)
            found += await asyncio.to_thread(recorded_in, self._partial)
            await unregister_abandoned(session, found)
            await asyncio.to_thread(_remove, self._partial)

    async def undo(self) -> None:
        """Take back a finished run, when the map it is part of could not be made."""
        if self._replica_id:
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
            replica_name=replica_name(),
            narrator=narrator,
        )
        await self._rows.prepare(wanted)
        narrator.report(5)
        form = wanted.form()
        with disk_errors(self.path):
            folder.mkdir(parents=True)
        await narrator.breathe()
        with disk_errors(self.path):
            await asyncio.to_thread(note_replica, folder, self.url, wanted.replica_name)
        self._replica_name = wanted.replica_name
        first = await self._rows.fetch(wanted)
        self._replica_id = first.replica_id
        if not first.needs_snapshot:
            self._require_generations(first)
        narrator.report(40)
        replica = self._record(schema, first, form)
        await self._load(service, schema, replica, first, narrator)
        with disk_errors(self.path):
            await asyncio.to_thread(_finish, self._partial, self.path, folder)
        faults.point("geodatabase.generated")
        narrator.report(99)

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

    async def _load(
        self,
        service: FeatureService,
        schema: ServiceSchema,
        replica: Replica,
        first: FirstRows,
        narrator: Narrator,
    ) -> None:
        reference = effective_spatial_reference(self.parameters, schema)

        def create(connection: sqlite3.Connection) -> None:
            geopackage.create_geopackage(
                connection,
                schema,
                self.layers,
                replica,
                spatial_reference=reference,
                spatial_index=self.parameters.spatial_index_for_editable_layers,
            )
            if first.package is not None:
                set_package(connection, first.package)

        async with await Database.open(self._partial, create=True) as database:
            await database.write(create)
            entries = await database.read(catalog.entries)
            staged = await database.write(self._fill, entries, first)
            self.undecodable = staged.undecodable_count
            if staged.undecodable_count:
                narrator.warn(f"{staged.undecodable_count} rows of the service cannot be stored")
            if first.path.parent == spool_folder(self._partial):
                first.path.unlink()
            narrator.report(70)
            tables = [entry.table for entry in entries]
            context = SyncContext(
                database=database,
                replica=replica,
                tables=tables,
                srs_ids={entry.table.number: entry.srs_id for entry in entries},
                layers={layer.id: layer for layer in self.layers},
                relations=(),
                schema=schema,
                service=service,
                spatial_reference=reference,
                parameters=SyncGeodatabaseParameters(),
                folder=spool_folder(self._partial),
                clock=self._clock,
                narrator=narrator.part(70, 98),
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
                narrator.warn(f"some attachments are left for the first sync: {error}")
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
        """Leave nothing behind, here or on the service."""
        await asyncio.to_thread(_remove, self._partial)
        await asyncio.to_thread(_remove, self.path)
        await asyncio.to_thread(lock_path(self.path).unlink, missing_ok=True)
        # When even this fails the replica stays on the service, under a name that says whose it is.
        with suppress(EngineError):
            if self._replica_name and not self._replica_id:
                found = [i for n, i in await service.replicas() if n == self._replica_name]
                self._replica_id = found[0] if found else ""
            if self._replica_id:
                await service.unregister_replica(self._replica_id)
        self._replica_id = self._replica_name = ""


def _possible(is_editable: bool) -> SyncDirection:
    return SyncDirection.BIDIRECTIONAL if is_editable else SyncDirection.DOWNLOAD


def _finish(partial: Path, path: Path, folder: Path) -> None:
    (folder / NOTE).unlink()
    folder.rmdir()
    faults.point("geodatabase.finished")
    partial.replace(path)
    sync_folder(path.parent)


def _remove(path: Path) -> None:
    folder = spool_folder(path)
    if folder.is_dir():
        for entry in folder.iterdir():
            entry.unlink(missing_ok=True)
        folder.rmdir()
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
