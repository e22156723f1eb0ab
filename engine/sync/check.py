"""What must be true before a sync touches anything: tables, triggers, layers, directions."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

from engine.atomic import require_space
from engine.errors import (
    BadParameterError,
    ChangeLogBrokenError,
    EngineError,
    ProtocolError,
    SchemaChangedError,
    ServiceRefusedError,
)
from engine.geodatabase import backfill, catalog, change_log, fetch_queue, journal
from engine.geodatabase.broken_file import check_file
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.layer_table import LayerTable
from engine.geodatabase.notices import note_service
from engine.geodatabase.remembered import recall, remember
from engine.geodatabase.replica import Replica
from engine.layer_schema import JsonObject, LayerSchema, ServiceSchema
from engine.model import AttachmentSyncDirection, SyncDirection, SyncModel
from engine.service.feature_service import NO_SUCH_LAYER
from engine.service.replica_file import generations
from engine.sync.context import SyncContext
from engine.sync.schema_change import follow_layers

_LOOKED_ON = "layers_looked_on"
_GONE = "layers_gone"
_STOPPED = "layers_stopped"
_NO_ATTACHMENTS = "attachments_gone"
_JOURNAL_BYTES = 1024 * 1024


def check_directions(context: SyncContext) -> None:
    """A layer that can only be downloaded cannot be asked to upload alone: an error of that layer.

    With one direction for the whole geodatabase it is an error only if no layer can upload.
    """
    possible = {t.layer_id: context.direction(t.layer_id) for t in context.tables}
    asked = {i: context.asked_direction(i) for i in possible}
    refused = [i for i in possible if asked[i] is SyncDirection.UPLOAD and not possible[i].uploads]
    if not context.parameters.layer_options and len(refused) < len(possible):
        return
    for layer_id in refused:
        result = context.result.layer(layer_id)
        result.error = BadParameterError(
            f"the layer {result.table_name!r} can only be downloaded",
            remedy="Sync it with the direction download or bidirectional",
        )


def check_tables(context: SyncContext, geodatabase: Geodatabase) -> None:
    """Leave out the layers whose edits are not known, because their change log was damaged."""
    broken = {t.layer_id: t.error for t in geodatabase.feature_tables if t.error is not None}
    _leave_out(context, broken)


def check_space(context: SyncContext) -> None:
    """:exc:`StorageFullError` before any edit is sent if not even the journal has room."""
    require_space(context.database.path, _JOURNAL_BYTES)


def takes_edits(context: SyncContext) -> bool:
    """False if the service says that it takes no edits at all any more: then they stay pending, and
    the rest of the sync goes on."""
    if context.schema.is_editable or any(layer.is_editable for layer in context.layers.values()):
        return True
    context.narrator.warn(f"{context.schema.name} takes no edits now; those here stay unsent")
    return False


def check_presence(context: SyncContext) -> None:
    """Leave out the layers that the service does not list any more."""
    gone = {t.layer_id for t in context.tables} - set(context.schema.layer_ids)
    _leave_out(
        context,
        {
            i: SchemaChangedError(
                f"the layer {context.layers[i].name!r} is not on the service any more",
                remedy="Its rows and unsent edits are kept here; ask the owner of the service",
            )
            for i in sorted(gone)
        },
    )


async def is_any_back(context: SyncContext) -> bool:
    """Whether a layer is on the service again that was not when an earlier sync looked.

    The generation has moved on without it, and the replica may not have it any more. Stays so until
    :func:`settle_back`.
    """
    noted, here = await context.database.read(_noted_gone), set(context.schema.layer_ids)
    gone = {layer.layer_id for layer in context.replica.layers} - here
    if gone - noted:
        await context.write(remember, _GONE, json.dumps(sorted(gone | noted)))
    return bool(noted & here and context.replica.replica_id)


async def are_attachments_back(context: SyncContext) -> bool:
    """The same of the attachments of a layer, once the layers were looked at: what was changed
    before they were switched off, or is gone since, no download tells."""
    if context.replica.attachment_direction is not AttachmentSyncDirection.BIDIRECTIONAL:
        return False
    noted = await context.database.read(_noted_gone, _NO_ATTACHMENTS)
    known = {t.layer_id for t in context.tables if not t.is_attachment}
    off = {i for i in known if not context.layers[i].has_attachments}
    off &= {t.layer_id for t in await context.database.read(_attachment_tables)}
    if off - noted:
        await context.write(remember, _NO_ATTACHMENTS, json.dumps(sorted(off | noted)))
    return bool(noted & (known - off))


async def is_any_mended(context: SyncContext) -> bool:
    """The same of a layer that had stopped, where one generation stands for all: it moves on
    without the layer."""
    if context.replica.sync_model is SyncModel.PER_LAYER:
        return False
    noted, stopped = await context.database.read(_noted_gone, _STOPPED), context.stopped_layers()
    if stopped - noted:
        await context.write(remember, _STOPPED, json.dumps(sorted(stopped | noted)))
    return bool(noted & {t.layer_id for t in context.tables})


async def settle_back(context: SyncContext) -> None:
    """The layers that are back are in the replica again, or their rows were fetched."""
    here = set(context.schema.layer_ids)
    mended = {t.layer_id for t in context.tables}
    with_attachments = {
        i for i in here & context.layers.keys() if context.layers[i].has_attachments
    }
    for name, there in (
        (_GONE, here),
        (_NO_ATTACHMENTS, with_attachments),
        (_STOPPED, mended),
    ):
        noted = await context.database.read(_noted_gone, name)
        if back := noted & there:
            await context.write(remember, name, json.dumps(sorted(noted - back)))


def _noted_gone(connection: sqlite3.Connection, name: str = _GONE) -> set[int]:
    return set(json.loads(recall(connection, name) or "[]"))


def _attachment_tables(connection: sqlite3.Connection) -> list[LayerTable]:
    return [e.table for e in catalog.entries(connection) if e.table.is_attachment]


async def check_layers(context: SyncContext, geodatabase: Geodatabase) -> None:
    """Follow what changed in the layers, and leave out those that are not what they were.

    The first time of a day the whole file is checked for damage, too.
    """
    if await context.database.read(recall, _LOOKED_ON) != _today(context):
        await context.database.read(_check_whole)
    errors: dict[int, EngineError] = {}
    layers: dict[int, LayerSchema] = {}
    together = await _all_layers(context)
    for layer_id in dict.fromkeys(t.layer_id for t in context.tables):
        try:
            if layer_id in together:
                now = LayerSchema.from_json(together[layer_id], context.schema.resource)
            else:
                now = await context.service.layer(layer_id, context.schema)
            layers[layer_id] = now
        except ProtocolError as error:
            errors[layer_id] = error
        except ServiceRefusedError as error:
            if error.service_code not in NO_SUCH_LAYER:
                raise
            errors[layer_id] = error
    errors |= await follow_layers(context, geodatabase, layers)
    _leave_out(context, errors)
    for name in await context.write(_note_look, context):
        context.narrator.info(f"the service has the new layer {name}; this map goes on without it")


def _check_whole(connection: sqlite3.Connection) -> None:
    check_file(connection, whole=True)


def _note_look(connection: sqlite3.Connection, context: SyncContext) -> list[str]:
    remember(connection, _LOOKED_ON, _today(context))
    return note_service(connection, context.schema)


async def _all_layers(context: SyncContext) -> dict[int, JsonObject]:
    """The layer resources in one answer ("All layers and tables"); empty where that is not had."""
    try:
        answer = await context.service.session.get(f"{context.service.url}/layers")
    except (ServiceRefusedError, ProtocolError):
        return {}
    found: dict[int, JsonObject] = {}
    for kind in ("layers", "tables"):
        resources = answer.get(kind)
        for resource in resources if isinstance(resources, list) else []:
            if isinstance(resource, dict) and isinstance(resource.get("id"), int):
                found[resource["id"]] = resource
    return found


def _leave_out(context: SyncContext, errors: dict[int, EngineError]) -> None:
    for layer_id, error in errors.items():
        context.result.layer(layer_id).error = error
        context.narrator.warn(f"{context.result.layer(layer_id).table_name}: {error}")
    context.tables = [t for t in context.tables if t.layer_id not in errors]
    if errors and not context.tables:
        raise next(iter(errors.values()), ChangeLogBrokenError("no table can be synced"))


async def has_work(context: SyncContext) -> bool:
    """False if nothing is to be sent, fetched or found out, so that no layer needs a look.

    Once a day they get one all the same: a service does not say in its own resource that a layer
    was changed.
    """
    if context.downloads and not is_current(context):
        return True
    if await context.database.read(recall, _LOOKED_ON) != _today(context):
        return True
    return await context.database.read(_has_local_work, context.tables)


def _today(context: SyncContext) -> str:
    return context.now()[:10]


def is_current(context: SyncContext) -> bool:
    """True if the service says that it has not changed since our generation."""
    layers = {t.layer_id for t in context.tables if context.direction(t.layer_id).downloads}
    return is_unchanged(context.schema, context.replica, layers)


def is_unchanged(service: ServiceSchema, record: Replica, layer_ids: Iterable[int]) -> bool:
    """True only if the service itself says that those layers are at the replica's generation."""
    tracking = service.resource.get("changeTrackingInfo")
    if not isinstance(tracking, dict):
        return False
    _, per_layer = generations(tracking)
    ours = {i: record.layer(i).generation or record.server_generation for i in layer_ids}
    return bool(ours) and all(n is not None and per_layer.get(i) == n for i, n in ours.items())


def _has_local_work(connection: sqlite3.Connection, tables: Sequence[LayerTable]) -> bool:
    return (
        bool(journal.unfinished(connection))
        or fetch_queue.count(connection) > 0
        or bool(backfill.backfills(connection))
        or any(change_log.has_pending(connection, table) for table in tables)
    )
