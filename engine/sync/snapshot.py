"""Everything fetched anew and compared, when the service cannot tell what has changed.

Only rows of which the service says itself that they are gone are deleted here, and nothing is
merged of an answer that is cut or that has fewer rows than a query counts.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from engine import faults
from engine.clock import timestamp
from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.geodatabase import journal, replica as replica_record
from engine.geodatabase.replica import LeftReplica, Replica
from engine.layer_schema import JsonObject
from engine.model import AttachmentSyncDirection
from engine.service.download import using
from engine.service.replica_file import read_header
from engine.sync.context import SyncContext
from engine.sync.machine import machine_id
from engine.sync.parameters import GenerateGeodatabaseParameters
from engine.sync.pull import Whole, merge_file, pull
from engine.sync.recovery import was_made_without_rows
from engine.sync.replica_request import (
    count_rows,
    create_form,
    definition_of,
    replica_id_of,
    replica_name,
    sync_form,
)


async def fetch_everything(context: SyncContext) -> None:
    """Bring the layers that download to what the service has now, whatever they were before.

    The replica stays if it can give all its rows; otherwise a new one takes its place.
    """
    context.narrator.info("fetching all rows to compare them")
    record = await context.database.read(replica_record.get_replica)
    if not was_made_without_rows(record) and context.schema.supports_direction_control:
        try:
            await _from_replica(context, record)
        except (AuthenticationError, PermissionDeniedError):
            raise
        except ServiceRefusedError as error:
            context.narrator.warn(f"no snapshot of the replica: {error.message}")
        else:
            return
    await _from_new_replica(context, record)


async def _from_replica(context: SyncContext, record: Replica) -> None:
    """ "Synchronize replica" with ``syncDirection=snapshot``."""
    form = sync_form(
        replica_id=record.replica_id,
        schema=context.schema,
        sync_model=record.sync_model,
        generation=None,
        layer_generations={
            layer.layer_id: layer.generation or 0
            for layer in record.layers
            if context.direction(layer.layer_id).downloads
        },
        direction="snapshot",
        with_attachments=record.attachment_direction is AttachmentSyncDirection.BIDIRECTIONAL,
    )
    definition = definition_of(record, context.schema, context.spatial_reference)
    before = await _count(context, definition)
    target = _target(context)
    sent = await context.database.read(journal.newest_id)
    with using(target):
        fetched = await context.service.download_changes(
            form, target, context.narrator.service_says, sent=sent
        )
        await _merge(context, target, fetched.envelope, definition, before, None)
    if fetched.is_resumed:
        await pull(context)  # it was made by an earlier run


async def _from_new_replica(context: SyncContext, record: Replica) -> None:
    """``createReplica`` as the present one was made; the record changes with the last rows."""
    schema = context.schema
    definition = definition_of(record, schema, context.spatial_reference)
    layers = [layer for layer in context.layers.values() if layer.id in schema.layer_ids]
    asked = LeftReplica(context.service.url, replica_name(), machine_id())
    form = create_form(definition, schema, layers, asked.name)
    before = await _count(context, definition)
    await context.write(replica_record.note_left, asked)
    target = _target(context)
    try:
        envelope = await context.service.create_replica(form, target, context.narrator.service_says)
        header = await asyncio.to_thread(read_header, target)
        answer = {**envelope, **header.members}
        fresh = replace(
            record,
            replica_id=await replica_id_of(context.service, answer, asked.name),
            name=str(answer.get("replicaName") or asked.name),
            sync_model=definition.sync_model,
            machine_id=machine_id(),
            created_at=timestamp(context.clock.now()),
        )
        faults.point("snapshot.registered")
        context.replica = fresh
        replaced = LeftReplica(record.service_url, record.name, record.machine_id)

        def put(connection: sqlite3.Connection) -> None:
            replica_record.set_replica(connection, fresh)
            replica_record.forget_generations(connection)
            replica_record.forget_left(connection, asked)
            replica_record.note_left(connection, replaced)

        await _merge(context, target, envelope, definition, before, put)
    finally:
        await asyncio.to_thread(target.unlink, missing_ok=True)
        context.replica = await context.database.read(replica_record.get_replica)


def _target(context: SyncContext) -> Path:
    context.folder.mkdir(exist_ok=True)
    return context.folder / "download-all.json"


async def _count(
    context: SyncContext, definition: GenerateGeodatabaseParameters
) -> Mapping[int, int]:
    known = {option.layer_id for option in definition.layer_options}
    layers = [layer for layer in context.layers.values() if layer.id in known]
    return await count_rows(context.service, layers, definition)


async def _merge(
    context: SyncContext,
    target: Path,
    envelope: JsonObject,
    definition: GenerateGeodatabaseParameters,
    before: Mapping[int, int],
    put: Callable[[sqlite3.Connection], None] | None,
) -> None:
    faults.point("snapshot.fetched")
    header = await asyncio.to_thread(read_header, target)
    if header.members.get("exceededTransferLimit") is True:
        raise ProtocolError("the service left rows out of a snapshot")

    async def check(rows: Mapping[int, int]) -> None:
        after = await _count(context, definition)
        for layer_id, count in rows.items():
            least = min(before.get(layer_id, 0), after.get(layer_id, 0))
            if count < least:
                raise ProtocolError(
                    f"the snapshot of {context.layers[layer_id].name} has {count} rows, a query "
                    f"counts {least}",
                    remedy="Nothing was changed; sync again",
                )

    downloading = {t.layer_id for t in context.tables if context.direction(t.layer_id).downloads}
    # A layer without rows may be left out of the file.
    header = replace(header, replaced=frozenset(downloading))
    await merge_file(context, target, header, envelope, whole=Whole(check=check, put=put))
    context.needs_snapshot = False
    context.replica = await context.database.read(replica_record.get_replica)
    faults.point("snapshot.merged")
