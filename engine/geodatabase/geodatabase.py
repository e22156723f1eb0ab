"""A geodatabase: one GeoPackage with the layers of one feature service, kept in step with it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Self

from engine.clock import Clock, SystemClock, timestamp
from engine.errors import (
    ChangeLogBrokenError,
    EngineError,
    FeatureNotFoundError,
    GeodatabaseError,
    TransactionOpenError,
)
from engine.geodatabase import arming, bookkeeping, change_log, conflicts, quarantine
from engine.geodatabase.broken_file import check_file
from engine.geodatabase.catalog import Entry, StoredLayer, stored_layers
from engine.geodatabase.conflicts import Conflict, Side
from engine.geodatabase.connection import Database
from engine.geodatabase.deleted_parts import add_wholes, lacks_wholes
from engine.geodatabase.feature_table import FeatureTable
from engine.geodatabase.geopackage import Fill, create_geopackage, load, require_geopackage
from engine.geodatabase.history import RowVersion, history
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.notices import notices
from engine.geodatabase.quarantine import Quarantined
from engine.geodatabase.relations import Relation, relations
from engine.geodatabase.replica import Replica, get_replica, set_last_sync
from engine.geodatabase.triggers import Permissions
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import Envelope, SpatialReference, SyncModel, normalise_guid


class Geodatabase:
    """An open geodatabase; an asynchronous context manager.

    ``layers``, ``relations`` and ``replica`` are as they were read at the opening, or at the last
    :meth:`refresh`. ``database`` is the connection, for the engine's own work.
    """

    layers: list[StoredLayer]
    relations: tuple[Relation, ...]
    replica: Replica
    feature_tables: list[FeatureTable]

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.feature_tables = []
        self._clock = clock

    @classmethod
    async def create(
        cls,
        path: Path,
        service: ServiceSchema,
        layers: Sequence[LayerSchema],
        replica: Replica,
        *,
        permissions: Mapping[int, Permissions] | None = None,
        spatial_reference: SpatialReference | None = None,
        spatial_index: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """Make a geodatabase at ``path``, where nothing may be; its tables are empty.

        It stays closed for edits until :meth:`load`. The arguments are those of
        :func:`engine.geodatabase.geopackage.create_geopackage`.
        """

        def make(connection: Connection) -> None:
            create_geopackage(
                connection,
                service,
                layers,
                replica,
                permissions=permissions,
                spatial_reference=spatial_reference,
                spatial_index=spatial_index,
            )

        geodatabase = cls(await Database.open(path, create=True), clock or SystemClock())
        try:
            await geodatabase.database.write(make)
            await geodatabase.refresh()
        except BaseException:
            await geodatabase.close()
            for suffix in ("", "-journal"):  # nobody else has seen the file
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            raise
        return geodatabase

    @classmethod
    async def open(cls, path: Path, *, clock: Clock | None = None) -> Self:
        """Open the geodatabase at ``path``; a file of an older engine is moved forward.

        :exc:`NotAGeodatabaseError` if fieldsync did not make the file,
        :exc:`GeodatabaseVersionError` if a newer one did, and :exc:`GeodatabaseDamagedError` if it
        is damaged, as far as a quick look can tell; none of them changes it. A layer whose change
        log was damaged is reported by its table's ``error``.
        """
        geodatabase = cls(await Database.open(path), clock or SystemClock())
        try:
            if await geodatabase.database.read(_is_older):
                await geodatabase.database.write(bookkeeping.migrate)
            await geodatabase.database.read(check_file)
            await geodatabase.refresh()
            # Only now: switching writes to the file, and before this it may have been anybody's.
            await geodatabase.database.use_wal()
        except BaseException as error:
            await geodatabase.close()
            if isinstance(error, EngineError) and str(path) not in error.message:
                raise type(error)(f"{path}: {error.message}", remedy=error.remedy) from error
            raise
        return geodatabase

    async def load(self, fill: Fill | None = None) -> None:
        """Let ``fill(connection)`` insert the service's rows, then begin to log edits.

        All in one transaction; nothing is kept if it fails.
        """
        await self.database.write(load, fill)
        await self.database.use_wal()
        await self.refresh()

    async def refresh(self) -> None:
        """Read anew what the file says of its layers and its replica, and check its change logs."""
        layers, faults, replica, is_old = await self.database.read(_read_all)
        if any(found is None for found in faults.values()):
            await self.database.write(_renew_triggers, layers)
        self.layers = layers
        self.replica = replica
        self.relations = relations([(s.schema, s.features.table) for s in layers])
        if is_old:
            await self.database.write(add_wholes, self._tables(), self.relations)
        by_number = {s.features.table.number: s for s in layers}
        present = {table.number: table for table in self.feature_tables}
        self.feature_tables = []
        for number, stored in by_number.items():
            error = _error(stored, faults)
            table = present.get(number)
            if table is None:
                table = FeatureTable(self.database, by_number, number, self.relations, error)
            else:
                table.renew(by_number, self.relations, error)
            self.feature_tables.append(table)

    async def close(self) -> None:
        """Close the file; a transaction that is still open is rolled back."""
        await self.database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # --- what it is -------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        return self.database.path

    @property
    def sync_id(self) -> str:
        """The id of the replica on the service; empty if it has none."""
        return self.replica.replica_id

    @property
    def service_url(self) -> str:
        return self.replica.service_url

    @property
    def sync_model(self) -> SyncModel:
        return self.replica.sync_model

    @property
    def server_generation(self) -> int | None:
        """Up to which generation of the service the rows have come; None if that is not known.

        With one generation per layer it is the lowest of them.
        """
        if self.sync_model is not SyncModel.PER_LAYER:
            return self.replica.server_generation
        found = [layer.generation for layer in self.replica.layers]
        known = [generation for generation in found if generation is not None]
        return min(known) if known and len(known) == len(found) else None

    @property
    def generate_geodatabase_extent(self) -> Envelope | None:
        """The area that was taken; None if all that the service has."""
        extent = self.replica.extent
        return None if extent is None else Envelope.from_json(extent)

    async def check(self) -> None:
        """:exc:`GeodatabaseDamagedError` if SQLite finds damage anywhere in the file.

        Reads all of it, while other programs read and write; cancelling ends it soon. Opening looks
        at large files only where the engine's own tables lie.
        """
        await self.database.read(_check_whole)

    async def note_sync(self) -> str:
        """Note that a sync has ended well, whether or not there was something to do; the time."""
        now = self._now()
        await self.database.write(set_last_sync, now)
        self.replica = replace(self.replica, last_sync_at=now)
        return now

    async def notices(self) -> list[str]:
        """What a person should know although nothing is wrong: one sentence each."""
        return await self.database.read(notices, self.database.wal_bytes, joining=True)

    def table(self, name_or_id: str | int) -> FeatureTable:
        """The table of a layer, by the layer's name or id, or by the table's name in the file."""
        for table in self.feature_tables:
            if name_or_id in (table.layer_id, table.name, table.table_name):
                return table
        names = ", ".join(f"{t.layer_id} ({t.name})" for t in self.feature_tables)
        raise FeatureNotFoundError(f"{self.path} has no layer {name_or_id!r}; it has {names}")

    # --- edits ------------------------------------------------------------------------------------

    async def has_local_edits(self, since: int = 0) -> bool:
        """True if there are edits that the service has not acknowledged, or if nobody can tell.

        ``since``: only rows that were touched after :meth:`edit_sequence` gave that number.
        """
        for table in self.feature_tables:
            if await table.has_local_edits(since):
                return True
        return False

    async def edit_sequence(self) -> int:
        """A number that grows with every edit, whatever the device's clock says.

        It is the greatest :attr:`LocalEdit.sequence` there was.
        """
        return await self.database.read(change_log.sequence, joining=True)

    @property
    def is_in_transaction(self) -> bool:
        return self.database.is_in_transaction

    async def begin_transaction(self) -> None:
        """Begin a transaction: the edits that follow are kept together or not at all.

        There is one at a time, for all tasks of this program; while it is open no other program
        can write and no sync can run. It is lost if the program ends.
        """
        await self.database.begin()

    async def commit_transaction(self) -> None:
        """Keep the edits made since :meth:`begin_transaction`."""
        await self.database.commit()

    async def rollback_transaction(self) -> None:
        """Undo the edits made since :meth:`begin_transaction`."""
        await self.database.rollback()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction that is committed at the end of the block, or rolled back by an error."""
        await self.begin_transaction()
        try:
            yield
        except BaseException:
            if self.is_in_transaction:  # not if SQLite rolled it back by itself
                await self.rollback_transaction()
            raise
        await self.commit_transaction()

    def require_no_transaction(self) -> None:
        """:exc:`TransactionOpenError` if the caller's own transaction is open."""
        if self.is_in_transaction:
            raise TransactionOpenError(f"a transaction is open on {self.path}")

    # --- what needs a person ----------------------------------------------------------------------

    async def conflicts(
        self, *, resolved: bool = False, after: int = 0, limit: int | None = None
    ) -> list[Conflict]:
        """Rows that were edited here and on the service; the open ones, or all, by their ids.

        ``after`` and ``limit`` give them in pages: so many, with ids above that one.
        """
        return await self.database.read(_list_conflicts, resolved, after, limit, joining=True)

    async def history(self, layer: str | int, global_id: str) -> list[RowVersion]:
        """The versions of a row that lost a conflict or were refused, oldest first.

        ``layer`` as in :meth:`table`. What is in a conflict is put back by
        :meth:`resolve_conflict`, also if it was decided long ago.
        """
        number = self.table(layer).layer_id * 2
        table = next(table for table in self._tables() if table.number == number)
        gid = normalise_guid(global_id) or global_id
        return await self.database.read(history, table, gid, joining=True)

    async def resolve_conflict(self, conflict_id: int, side: Side) -> None:
        """Take one side of a conflict, also of one that was decided: it is an edit again if the
        service has the other."""
        known = (self._tables(), self.relations)
        await self.database.write(
            _resolve_conflict, conflict_id, *known, side, self._now(), joining=True
        )

    async def quarantine(
        self, *, resolved: bool = False, after: int = 0, limit: int | None = None
    ) -> list[Quarantined]:
        """Refused edits and rows that could not be stored; the open ones, or all, by their ids.

        ``after`` and ``limit`` as in :meth:`conflicts`.
        """
        return await self.database.read(_list_quarantined, resolved, after, limit, joining=True)

    async def retry_quarantined(self, quarantine_id: int) -> None:
        """Send a refused edit again with the next sync."""
        await self.database.write(_retry, quarantine_id, self._now(), joining=True)

    async def discard_quarantined(self, quarantine_id: int) -> None:
        """Give a refused edit up: the row becomes as the service has it."""
        known = (self._tables(), self.relations)
        await self.database.write(_discard, quarantine_id, *known, self._now(), joining=True)

    def _tables(self) -> list[LayerTable]:
        entries = [e for s in self.layers for e in (s.features, s.attachments)]
        return [entry.table for entry in entries if entry is not None]

    def _now(self) -> str:
        return timestamp(self._clock.now())


_Faults = dict[int, list[str] | None]
"""Table number → what is wrong with its change log; None if its triggers are of an older engine."""


def _check_whole(connection: Connection) -> None:
    check_file(connection, whole=True)


def _is_older(connection: Connection) -> bool:
    require_geopackage(connection)
    return bookkeeping.is_older(connection)


def _read_all(connection: Connection) -> tuple[list[StoredLayer], _Faults, Replica, bool]:
    layers = stored_layers(connection)
    faults: _Faults = {}
    for entry in _entries(layers):
        if not entry.is_loaded:
            faults[entry.table.number] = ["it was never loaded"]
        elif arming.is_outdated(connection, entry):
            faults[entry.table.number] = None
        else:
            faults[entry.table.number] = arming.log_faults(connection, entry)
    return layers, faults, get_replica(connection), lacks_wholes(connection)


def _renew_triggers(connection: Connection, layers: Sequence[StoredLayer]) -> None:
    for entry in _entries(layers):
        if entry.is_loaded and arming.is_outdated(connection, entry):
            arming.arm(connection, entry)


def _entries(layers: Sequence[StoredLayer]) -> list[Entry]:
    return [e for s in layers for e in (s.features, s.attachments) if e is not None]


def _error(stored: StoredLayer, faults: _Faults) -> EngineError | None:
    found: list[str] = []
    for entry in _entries([stored]):
        if not entry.is_loaded:
            return GeodatabaseError(
                f"{stored.schema.name} was never loaded", remedy="Take the map again"
            )
        found += faults[entry.table.number] or ()
    if not found:
        return None
    return ChangeLogBrokenError(
        f"the edits of {stored.schema.name} are not known: {'; '.join(found)}"
    )


def _list_conflicts(
    connection: Connection, resolved: bool, after: int, limit: int | None
) -> list[Conflict]:
    return conflicts.list_conflicts(connection, resolved=resolved, after=after, limit=limit)


def _resolve_conflict(
    connection: Connection,
    conflict_id: int,
    tables: Sequence[LayerTable],
    relations: Sequence[Relation],
    side: Side,
    now: str,
) -> None:
    conflicts.resolve(connection, conflict_id, tables, side, now=now, relations=relations)


def _list_quarantined(
    connection: Connection, resolved: bool, after: int, limit: int | None
) -> list[Quarantined]:
    return quarantine.list_quarantined(connection, resolved=resolved, after=after, limit=limit)


def _retry(connection: Connection, quarantine_id: int, now: str) -> None:
    quarantine.retry(connection, quarantine_id, now=now)


def _discard(
    connection: Connection,
    quarantine_id: int,
    tables: Sequence[LayerTable],
    relations: Sequence[Relation],
    now: str,
) -> None:
    quarantine.discard(connection, quarantine_id, tables, now=now, relations=relations)
