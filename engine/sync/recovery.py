"""A replica that cannot be synced any more: what is wrong with it, and one of our own instead.

A replica may be unregistered by its owner or an administrator at any time, the service may forget
changes older than some generation, and a card may be copied into another device. Neither error
codes nor texts of these cases are documented, so the service is asked what is there (ArcGIS REST
API, "Replicas", "Replica info", "Create replica").
"""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from sqlite3 import Connection

from engine import faults
from engine.errors import (
    AuthenticationError,
    PermissionDeniedError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceError,
    ServiceRefusedError,
)
from engine.geodatabase import acknowledge, journal, replica as replica_record
from engine.geodatabase.journal import BatchState
from engine.geodatabase.remembered import recall, remember
from engine.geodatabase.replica import LeftReplica, Replica
from engine.layer_schema import JsonObject, ServiceSchema
from engine.model import AttachmentSyncDirection, QueryOption, SyncModel, normalise_guid
from engine.service.feature_service import FeatureService
from engine.service.replica_file import oldest_generations, read_header
from engine.service.session import Session
from engine.sync.context import SyncContext
from engine.sync.machine import is_another_machine, machine_id
from engine.sync.parameters import GenerateGeodatabaseParameters, GenerateLayerOption
from engine.sync.replica_request import create_form, definition_of, replica_id_of, replica_name

MAX_REFUSED_DOWNLOADS = 3  # in as many syncs; then all rows are fetched, whatever the reason is

_REFUSED = "refused-downloads"
_SPEAKS_OF_GENERATIONS = re.compile(r"server\s*gen|generation", re.IGNORECASE)
_URL = re.compile(r"https?://\S+")  # its service may be called so


class Trouble(Enum):
    """Why a sync cannot go on as usual."""

    GONE = "gone"
    """The service does not know the replica any more."""
    GENERATION = "generation"
    """The service cannot tell what has changed since our generation."""


async def diagnose(
    context: SyncContext, error: ServiceError, *, is_download: bool
) -> Trouble | None:
    """What is behind ``error``; None if it is what it says.

    Credentials, busy services and broken links are never taken for a lost replica.
    """
    if not isinstance(error, ServiceRefusedError):
        return None
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return None
    try:
        is_there = await _is_registered(context)
        resource = (await context.service.load()).resource
    except ServiceError:
        return None
    if is_there is False:
        context.narrator.warn(f"the service has no replica {context.replica.name} any more")
        return Trouble.GONE
    is_overtaken = _is_overtaken(context, resource)
    if not is_overtaken and is_download:
        is_overtaken = speaks_of_generations(error.message)
        # Whatever keeps on refusing what has changed, the rows themselves may still be had.
        is_enough = await note_download(context, refused=True) >= MAX_REFUSED_DOWNLOADS
        if is_enough and is_there is None:
            context.narrator.warn("the service does not say whether it has the replica")
            return Trouble.GONE
        is_overtaken |= is_enough
    if not is_overtaken:
        return None
    context.narrator.warn("the service no longer tells what has changed since the last sync")
    return Trouble.GENERATION


def speaks_of_generations(message: str) -> bool:
    """Whether an error's text, which is not documented, is about a generation."""
    return bool(_SPEAKS_OF_GENERATIONS.search(_URL.sub("", message)))


async def _is_registered(context: SyncContext) -> bool | None:
    """Whether the service has the replica; None if it does not let us know."""
    try:
        return await context.service.knows_replica(context.replica.replica_id)
    except AuthenticationError:
        raise
    except (ServiceRefusedError, ProtocolError):
        return None


def _is_overtaken(context: SyncContext, resource: JsonObject) -> bool:
    """True if the service says that it has forgotten changes which we do not have."""
    tracking = resource.get("changeTrackingInfo")
    oldest = oldest_generations(tracking if isinstance(tracking, dict) else {})
    record = context.replica
    for table in context.tables:
        ours = record.layer(table.layer_id).generation or record.server_generation
        if ours is not None and ours < oldest.get(table.layer_id, 0):
            return True
    return False


async def note_download(context: SyncContext, *, refused: bool) -> int:
    """Count the refused downloads in a row; one that was had ends the row."""
    count = int(await context.database.read(recall, _REFUSED) or 0)
    if refused or count:
        count = count + 1 if refused else 0
        await context.write(remember, _REFUSED, str(count))
    return count


# --- a replica of our own -------------------------------------------------------------------------


async def register(context: SyncContext, *, is_gone: bool) -> None:
    """Give the geodatabase a replica of its own; the one in its record is left alone.

    It is made without rows. If the service can copy the definition of the present one, the
    generation stays and the next download tells what has changed. Otherwise it is only good for
    sending edits, and the generation is unknown until everything was fetched.
    """
    record = await context.database.read(replica_record.get_replica)
    keeps_generations = (
        not is_gone
        and bool(record.replica_id)
        and context.schema.supports_registering
        and not lacks_generations(record, context.layers)
        and await context.service.knows_replica(record.replica_id)
    )
    schema = context.schema
    layers = [layer for layer in context.layers.values() if layer.id in schema.layer_ids]
    definition = definition_of(record, schema, context.spatial_reference)
    left = LeftReplica(context.service.url, replica_name(), machine_id())
    await context.write(replica_record.note_left, left)
    if keeps_generations:
        form = create_form(definition, schema, layers, left.name)
        answer = await context.service.register_replica(form, record.replica_id)
    else:
        leave_out_rows(definition, [layer.id for layer in layers], schema)
        form = create_form(definition, schema, layers, left.name)
        answer = await _created(context, form)
    replica_id = await replica_id_of(context.service, answer, left.name)
    faults.point("replica.registered")
    fresh = replace(
        record,
        replica_id=replica_id,
        name=str(answer.get("replicaName") or left.name),
        sync_model=definition.sync_model,
        machine_id=machine_id(),
        created_at=context.now(),
    )
    # It may be there nevertheless, if the service did not let us know.
    replaced = LeftReplica(record.service_url, record.name, record.machine_id) if is_gone else None
    await context.write(_set_registered, fresh, left, replaced, keeps_generations)
    faults.point("replica.recorded")
    context.replica = await context.database.read(replica_record.get_replica)
    context.needs_snapshot = needs_snapshot(context)
    context.narrator.info(f"registered with the service as {fresh.name}")


async def give_up_replica(context: SyncContext) -> None:
    """The present replica does not tell all: another one takes its place, and all rows are
    compared."""
    await context.write(replica_record.forget_generations)
    context.replica = await context.database.read(replica_record.get_replica)
    context.needs_snapshot = True


def lacks_generations(record: Replica, layer_ids: Iterable[int]) -> bool:
    """True if nobody knows up to which generation the rows of these layers have come."""
    if record.sync_model is SyncModel.PER_LAYER:
        return any(record.layer(layer_id).generation is None for layer_id in layer_ids)
    return record.server_generation is None


def needs_snapshot(context: SyncContext) -> bool:
    """True if rows are wanted of layers whose generation is not known."""
    wanted = {t.layer_id for t in context.tables if context.direction(t.layer_id).downloads}
    return bool(wanted) and lacks_generations(context.replica, wanted)


def was_made_without_rows(record: Replica) -> bool:
    """True if the replica is only good for sending edits."""
    return all(lacks_generations(record, [layer.layer_id]) for layer in record.layers)


def leave_out_rows(
    definition: GenerateGeodatabaseParameters, layer_ids: Sequence[int], schema: ServiceSchema
) -> None:
    """A replica that has no rows can take edits nevertheless, attachments among them."""
    definition.layer_options = [
        GenerateLayerOption(layer_id=layer_id, query_option=QueryOption.NONE, include_related=False)
        for layer_id in layer_ids
    ]
    takes_attachments = definition.attachment_sync_direction is not AttachmentSyncDirection.NONE
    if not takes_attachments or schema.supports_attachments_direction:
        definition.return_attachments = False
        if takes_attachments:
            definition.attachment_sync_direction = AttachmentSyncDirection.UPLOAD
    else:  # then only a replica that returns attachments takes them
        definition.return_attachments = True
        definition.attachment_sync_direction = AttachmentSyncDirection.BIDIRECTIONAL


async def _created(context: SyncContext, form: Mapping[str, str]) -> JsonObject:
    """What ``createReplica`` says of a replica whose rows are of no interest."""
    context.folder.mkdir(exist_ok=True)
    target = context.folder / "download-replica.json"
    try:
        envelope = await context.service.create_replica(form, target)
        header = await asyncio.to_thread(read_header, target)
    finally:
        await asyncio.to_thread(target.unlink, missing_ok=True)
    return {**envelope, **header.members}


def _set_registered(
    connection: Connection,
    record: Replica,
    asked: LeftReplica,
    replaced: LeftReplica | None,
    keeps_generations: bool,
) -> None:
    replica_record.set_replica(connection, record)
    if replaced is None:  # of a copy: the original may be going on with the same uploads
        for batch in journal.unfinished(connection):
            if batch.state is BatchState.PREPARED:
                acknowledge.release(connection, batch.id)
                journal.discard(connection, batch.id)
    if not keeps_generations:
        replica_record.forget_generations(connection)
    replica_record.forget_left(connection, asked)
    if replaced is not None:
        replica_record.note_left(connection, replaced)


async def clear_left(context: SyncContext) -> None:
    """Unregister what earlier runs left on the service; what fails is tried by the next sync."""
    record = await context.database.read(replica_record.get_replica)
    for left in await context.database.read(replica_record.left_replicas):
        try:
            await unregister_left(context.service.session, left, record)
        except ServiceError as error:
            context.narrator.warn(f"the replica {left.name} is still on the service: {error}")
            continue
        await context.write(replica_record.forget_left, left)


async def unregister_left(session: Session, left: LeftReplica, record: Replica) -> None:
    """Unregister the replica of that name, but never the one in the record, or the original's.

    A service that was asked twice has made ``name_0`` beside ``name`` ("Create replica").
    """
    if is_another_machine(left.machine_id):
        return
    service = FeatureService(left.url, session)
    for name, replica_id in await service.replicas():
        is_its = name == left.name or name.startswith(f"{left.name}_")
        if is_its and normalise_guid(replica_id) != normalise_guid(record.replica_id):
            with suppress(ReplicaNotFoundError):
                await service.unregister_replica(replica_id)
            faults.point("replica.unregistered")
