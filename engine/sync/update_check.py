"""Whether a sync would bring something down, and about how much; nothing is changed by asking.

The service's own generations come with its resource. Where they have moved, ``extractChanges`` with
the replica's own queries tells whether that concerns us: first by ids alone, which is cheap, and
as services have been seen that answer so with nothing, then in full. Source: ArcGIS REST API,
"Extract changes (feature service)".
"""

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from engine import values
from engine.errors import EngineError
from engine.geodatabase import backfill, catalog
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.replica import Replica, get_replica, get_service
from engine.geodatabase.sql import quote
from engine.layer_schema import FieldType, ServiceSchema
from engine.model import OfflineUpdateAvailability
from engine.service.feature_service import FeatureService
from engine.service.replica_file import read_events, read_header
from engine.service.session import Session
from engine.sync.check import is_unchanged
from engine.sync.context import spool_folder
from engine.sync.local_context import spatial_reference
from engine.sync.pull_channels import can_extract, extract_form
from native.decoder import Attachment, BadItem, Deletes, PartialRows, Rows
from native.errors import NativeError
from native.geometry import gpkg_to_esri_json
from native.layer import Layer

SAMPLE_ROWS = 100  # of a table, to know how many bytes a row takes on the wire
ID_BYTES = 40  # of a deleted row: its GlobalID
MAX_IDS_BYTES = 4 * 1024 * 1024

_TRACKED: Mapping[FieldType, values.WireValue] = {
    FieldType.DATE: 1_700_000_000_000,
    FieldType.STRING: "an editor",
}
"""Of which size editor tracking is."""


@dataclass(slots=True, kw_only=True)
class LayerUpdates:
    """What would come of one layer: rows that were added, updated or deleted, and attachments."""

    rows: int = 0
    deletes: int = 0
    attachments: int = 0
    attachment_bytes: int = 0
    row_bytes: float = 0.0
    """An estimate of what a row takes on the wire."""

    @property
    def size_bytes(self) -> int:
        changed = self.rows - self.deletes
        rows = changed * self.row_bytes + self.deletes * ID_BYTES
        return round(rows) + self.attachment_bytes


@dataclass(slots=True, kw_only=True)
class GeodatabaseUpdates:
    """``layers``: table name → what would come of it, as far as that is known."""

    availability: OfflineUpdateAvailability
    layers: dict[str, LayerUpdates] = field(default_factory=dict)


async def check_geodatabase(session: Session, geodatabase: Geodatabase) -> GeodatabaseUpdates:
    """Ask what a download of ``geodatabase`` would bring.

    ``NONE`` only if the service says itself that nothing has changed; ``AVAILABLE`` if something is
    known that would come, be it an edit of our own that comes back; else ``INDETERMINATE``.
    """
    database = geodatabase.database
    record = await database.read(get_replica)
    waiting = await database.read(_waiting)
    try:
        service = FeatureService(record.service_url, session)
        schema = await service.load()
        layer_ids = [x.layer_id for x in record.layers if x.layer_id in schema.layer_ids]
        found: dict[int, LayerUpdates] = {}
        if not is_unchanged(schema, record, layer_ids):
            if can_extract(record, schema, layer_ids):
                found = await _extracted(service, schema, record, geodatabase, layer_ids)
            if not found and not waiting:
                return GeodatabaseUpdates(availability=OfflineUpdateAvailability.INDETERMINATE)
    except EngineError:
        if not waiting:
            return GeodatabaseUpdates(availability=OfflineUpdateAvailability.INDETERMINATE)
        found = {}
    if not found and not waiting and not await database.read(backfill.backfills):
        return GeodatabaseUpdates(availability=OfflineUpdateAvailability.NONE)
    layers = await database.read(_with_sizes, found, waiting)
    return GeodatabaseUpdates(availability=OfflineUpdateAvailability.AVAILABLE, layers=layers)


async def _extracted(
    service: FeatureService,
    schema: ServiceSchema,
    record: Replica,
    geodatabase: Geodatabase,
    layer_ids: Sequence[int],
) -> dict[int, LayerUpdates]:
    """Layer → what has changed in it; layers without changes are left out."""
    entries = await geodatabase.database.read(catalog.entries)
    known = await geodatabase.database.read(get_service)
    reference = spatial_reference(entries, known)
    folder = spool_folder(geodatabase.path)
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-", dir=folder) as scratch:
        target = Path(scratch) / "changes.json"
        able = schema.resource.get("extractChangesCapabilities")
        if isinstance(able, dict) and able.get("supportsReturnIdsOnly") is True:
            form = extract_form(record, reference, layer_ids, ids_only=True)
            await service.extract_changes(form, target)
            found = await asyncio.to_thread(_by_ids, target)
            if found:
                return found
        form = extract_form(record, reference, layer_ids)
        await service.extract_changes(form, target)
        return await asyncio.to_thread(_by_rows, target)


def _by_ids(path: Path) -> dict[int, LayerUpdates]:
    """What an answer with ids alone speaks of; nothing if it is not understood."""
    if path.stat().st_size > MAX_IDS_BYTES:
        return {}
    try:
        answer = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return {}
    edits = answer.get("edits") if isinstance(answer, dict) else None
    found: dict[int, LayerUpdates] = {}
    for entry in edits if isinstance(edits, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
            continue
        lists = entry.get("objectIds") or entry.get("globalIds")
        counts = {
            name: len(ids)
            for name, ids in (lists.items() if isinstance(lists, dict) else ())
            if isinstance(ids, list)
        }
        deletes = counts.get("deletes", 0) + counts.get("deleteIds", 0)
        rows = counts.get("adds", 0) + counts.get("updates", 0) + deletes
        if rows:
            found[entry["id"]] = LayerUpdates(rows=rows, deletes=deletes)
    return found


def _by_rows(path: Path) -> dict[int, LayerUpdates]:
    """What an answer with rows holds."""
    layers = [Layer(id=layer_id, columns=()) for layer_id in read_header(path).layer_ids]
    found: dict[int, LayerUpdates] = {}
    for event in read_events(path, layers):
        layer_id = getattr(event, "layer_id", None)
        if layer_id is None:
            continue
        updates = found.setdefault(layer_id, LayerUpdates())
        if isinstance(event, Rows | PartialRows):
            updates.rows += len(event.rows)
        elif isinstance(event, Deletes) and event.of_attachments:
            updates.attachments += len(event.ids)
        elif isinstance(event, Deletes):
            updates.rows += len(event.ids)
            updates.deletes += len(event.ids)
        elif isinstance(event, Attachment):
            updates.attachments += 1
            updates.attachment_bytes += event.size if isinstance(event.size, int) else 0
        elif isinstance(event, BadItem) and not event.of_attachments:
            updates.rows += 1
    return {i: updates for i, updates in found.items() if updates.rows or updates.attachments}


# --- what the geodatabase knows -------------------------------------------------------------------


def _waiting(connection: sqlite3.Connection) -> dict[int, LayerUpdates]:
    """What is still to be fetched of earlier downloads."""
    tables = {e.table.number: e.table for e in catalog.entries(connection)}
    found: dict[int, LayerUpdates] = {}
    waiting = connection.execute(
        "SELECT number,count(*),coalesce(sum(size_bytes),0) FROM fieldsync_fetch GROUP BY number"
    )
    for number, count, size in waiting:
        if number in tables:
            updates = found.setdefault(tables[number].layer_id, LayerUpdates())
            updates.attachments, updates.attachment_bytes = count, size
    return found


def _with_sizes(
    connection: sqlite3.Connection,
    found: Mapping[int, LayerUpdates],
    waiting: Mapping[int, LayerUpdates],
) -> dict[str, LayerUpdates]:
    layers: dict[str, LayerUpdates] = {}
    for entry in catalog.entries(connection):
        table = entry.table
        if table.is_attachment or table.layer_id not in {*found, *waiting}:
            continue
        updates = found.get(table.layer_id, LayerUpdates())
        more = waiting.get(table.layer_id, LayerUpdates())
        updates.attachments += more.attachments
        updates.attachment_bytes += more.attachment_bytes
        updates.row_bytes = _row_bytes(connection, table)
        layers[table.name] = updates
    return layers


def _row_bytes(connection: sqlite3.Connection, table: LayerTable) -> float:
    """What a row of the table takes on the wire, going by some of those that are there."""
    name, key = quote(table.name), quote(table.key)
    (last,) = connection.execute(f"SELECT coalesce(max({key}),0) FROM {name}").fetchone()
    step = max(1, last // SAMPLE_ROWS)
    columns = ",".join(map(quote, table.row_names))
    rows = connection.execute(
        f"SELECT {columns} FROM {name} WHERE {key}%?=0 LIMIT ?", (step, 2 * SAMPLE_ROWS)
    )
    sizes = [_feature_bytes(table, row) for row in rows]
    return sum(sizes) / len(sizes) if sizes else 0.0


def _feature_bytes(table: LayerTable, row: Sequence[values.ColumnValue]) -> int:
    cells = dict(zip(table.row_names, row, strict=True))
    shape = None if table.geometry is None else cells.pop(table.geometry)
    attributes: dict[str, object] = {table.global_id: cells[table.global_id]}
    for column in table.columns:
        try:
            value = values.to_wire(column.type, cells[column.name])
        except ValueError:
            value = None
        if value is None and not column.is_editable:
            value = _TRACKED.get(column.type)  # who changes the row fills it in
        attributes[column.name] = value
    size = len(json.dumps({"attributes": attributes}, separators=(",", ":"))) + 1
    if isinstance(shape, bytes):
        with suppress(NativeError):  # another program's
            size += len(gpkg_to_esri_json(shape)) + len(',"geometry":')
    return size
