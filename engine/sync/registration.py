"""The tie between a geodatabase and its service: register, unregister, follow it to a new URL.

Each of them holds the lock of a sync, so none of them ever runs beside one. A replica that this
device did not make is never unregistered.
"""

import asyncio
import copy
from contextlib import suppress
from dataclasses import replace
from sqlite3 import Connection

from engine import faults
from engine.clock import Clock
from engine.errors import (
    AuthenticationError,
    BadParameterError,
    LinkError,
    PermissionDeniedError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceError,
    ServiceRefusedError,
)
from engine.geodatabase import replica as replica_record
from engine.geodatabase.geodatabase import Geodatabase
from engine.geodatabase.replica import LeftReplica, Replica
from engine.layer_schema import JsonObject, LayerSchema, ServiceSchema
from engine.model import PreplannedUpdateMode, normalise_guid
from engine.service.feature_service import FeatureService
from engine.service.replica_file import read_header
from engine.sync import recovery
from engine.sync.exclusive import exclusive
from engine.sync.job import Narrator
from engine.sync.machine import is_another_machine
from engine.sync.opening import open_context
from engine.sync.parameters import SyncGeodatabaseParameters
from engine.sync.replica_request import (
    create_form,
    is_of_this_device,
    replica_id_of,
    require_sync,
)
from engine.sync.row_source import FirstRows, Wanted


def require_synced(geodatabase: Geodatabase) -> None:
    """:exc:`BadParameterError` if the geodatabase is not to be synced with its service at all."""
    modes = PreplannedUpdateMode
    reasons = {
        modes.NO_UPDATES: "was taken without updates",
        modes.DOWNLOAD_SCHEDULED_UPDATES: "is kept current by packages, and takes no edits",
    }
    reason = reasons.get(geodatabase.replica.update_mode)
    if reason is not None:
        raise BadParameterError(
            f"{geodatabase.path} {reason}: it is not synced with its feature service",
            remedy="To edit it, take the map again in another update mode",
        )


def require_upload(geodatabase: Geodatabase, parameters: SyncGeodatabaseParameters) -> None:
    """:exc:`BadParameterError` if rows would come from the service into a geodatabase whose rows
    come from packages: a later package may be older than they are."""
    mode = PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES_AND_UPLOAD_NEW_FEATURES
    asked = [option.sync_direction for option in parameters.layer_options]
    asked = asked or [parameters.geodatabase_sync_direction]
    if geodatabase.replica.update_mode is mode and any(one.downloads for one in asked):
        raise BadParameterError(
            f"{geodatabase.path} is kept current by packages, and only sends new features",
            remedy="Sync it with the direction upload, or the map as a whole",
        )


async def register(geodatabase: Geodatabase, service: FeatureService, *, clock: Clock) -> None:
    """Give the geodatabase a replica of its own, whatever it had; its edits stay pending.

    :exc:`BadParameterError` if the map's update mode is one that sends nothing.
    """
    require_synced(geodatabase)
    with exclusive(geodatabase):
        context = await open_context(
            geodatabase,
            service,
            SyncGeodatabaseParameters(),
            clock=clock,
            narrator=Narrator.silent(),
        )
        require_sync(context.schema)
        try:
            await recovery.register(context, is_gone=False)
        finally:
            await geodatabase.refresh()


async def register_like(wanted: Wanted, first: FirstRows, like: str) -> FirstRows:
    """``first`` with a replica of its own, which is like the one that its file was made for.

    If the service does not register that, it is one without rows: then nobody knows what has
    changed since the file was made, and the first sync fetches all rows once.
    """
    service, known = wanted.service, normalise_guid(like)
    if wanted.schema.supports_registering and known is not None:
        try:
            answer = await service.register_replica(wanted.form(), like)
            replica_id = await replica_id_of(service, answer, wanted.replica_name)
            if normalise_guid(replica_id) == known:
                raise ProtocolError(f"{service.url} gave out the replica of others as a new one")
            return _with_replica(first, wanted, answer, replica_id)
        except (AuthenticationError, PermissionDeniedError):
            raise
        except ServiceRefusedError as error:
            wanted.narrator.warn(f"the first sync will fetch all rows once: {error.message}")
    definition = copy.deepcopy(wanted.parameters)
    recovery.leave_out_rows(definition, [layer.id for layer in wanted.layers], wanted.schema)
    form = create_form(definition, wanted.schema, wanted.layers, wanted.replica_name)
    target = wanted.target.with_name("registration.json")
    try:
        envelope = await service.create_replica(form, target)
        header = await asyncio.to_thread(read_header, target)
    finally:
        await asyncio.to_thread(target.unlink, missing_ok=True)
    answer = {**envelope, **header.members}
    replica_id = await replica_id_of(service, answer, wanted.replica_name)
    unknown = replace(first, server_generation=None, layer_generations={}, needs_snapshot=True)
    return _with_replica(unknown, wanted, answer, replica_id)


def _with_replica(
    first: FirstRows, wanted: Wanted, answer: JsonObject, replica_id: str
) -> FirstRows:
    faults.point("own-replica.registered")
    name = str(answer.get("replicaName") or wanted.replica_name)
    return replace(first, replica_id=replica_id, replica_name=name)


async def unregister(geodatabase: Geodatabase, service: FeatureService) -> None:
    """Unregister the geodatabase's replica, and what a lost answer has left beside it; a copy only
    forgets that of its original."""
    with exclusive(geodatabase):
        database = geodatabase.database
        record = await database.read(replica_record.get_replica)
        left = await database.read(replica_record.left_replicas)
        if not record.replica_id and not left:
            raise BadParameterError(f"{geodatabase.path} is not registered")
        if not is_another_machine(record.machine_id):
            try:
                if record.replica_id:
                    with suppress(ReplicaNotFoundError):
                        await service.unregister_replica(record.replica_id)
                faults.point("registration.ended")
                for one in left:
                    await _unregister_left(geodatabase, service, one, record)
            except LinkError as error:
                raise LinkError(
                    f"{geodatabase.path} is still registered: {error.message}",
                    remedy="Unregister it again when there is a link, before it is removed",
                ) from error
        await database.write(_forget_replica)
        await geodatabase.refresh()


async def _unregister_left(
    geodatabase: Geodatabase, service: FeatureService, left: LeftReplica, record: Replica
) -> None:
    """One that the service refuses to unregister stays noted."""
    try:
        await recovery.unregister_left(service.session, left, record)
    except LinkError:
        raise
    except ServiceError:
        return
    await geodatabase.database.write(replica_record.forget_left, left)


async def unregister_by_id(service: FeatureService, replica_id: str) -> None:
    """Unregister a replica that this device made, without its geodatabase."""
    wanted = normalise_guid(replica_id)
    for name, listed in await service.replicas():
        if wanted is None or normalise_guid(listed) != wanted:
            continue
        if not is_of_this_device(name):
            raise BadParameterError(
                f"the replica {name} was not made by this device",
                remedy="Unregister it where it was made, or in the service's own pages",
            )
        await service.unregister_replica(listed)
        return
    raise ReplicaNotFoundError(
        f"{service.url} has no replica {replica_id}",
        remedy="Nothing needs to be done, or another user made it",
    )


async def relocate(geodatabase: Geodatabase, service: FeatureService) -> None:
    """From now on the geodatabase's service is at the URL of ``service``.

    :exc:`BadParameterError` unless it is the same one: the same portal item, or else one that
    knows the replica; and it must have the layers.
    """
    with exclusive(geodatabase):
        database = geodatabase.database
        record = await database.read(replica_record.get_replica)
        schema = await service.load()
        known = await database.read(replica_record.get_service)
        await _require_same(service, schema, record, record.item_id or known.item_id)
        layers = {stored.schema.id: stored.schema for stored in geodatabase.layers}
        missing = [layer for layer in layers.values() if layer.id not in schema.layer_ids]
        if missing:
            raise BadParameterError(f"{schema.url} has no layer {missing[0].id}")
        for layer in await service.layers(list(layers), schema):
            _require_layer(layers[layer.id], layer)
        await database.write(_set_url, record, schema)
        faults.point("service.relocated")
        await geodatabase.refresh()


async def _require_same(
    service: FeatureService, schema: ServiceSchema, record: Replica, item_id: str
) -> None:
    if item_id and schema.item_id:
        if item_id != schema.item_id:
            raise BadParameterError(
                f"{schema.url} is another service: its item is {schema.item_id}, not {item_id}",
                remedy="Give the new URL of the service that the map was taken from",
            )
    elif not record.replica_id or not await service.knows_replica(record.replica_id):
        raise BadParameterError(
            f"nothing shows that {schema.url} is the service that the map was taken from",
            remedy="It has no item id and does not know the replica; take a new map of it",
        )


def _require_layer(known: LayerSchema, now: LayerSchema) -> None:
    if (known.global_id_field, known.geometry_type) != (now.global_id_field, now.geometry_type):
        raise BadParameterError(f"layer {now.id} ({now.name}) there is not {known.name}")


def _forget_replica(connection: Connection) -> None:
    record = replica_record.get_replica(connection)
    replica_record.set_replica(connection, replace(record, replica_id=""))


def _set_url(connection: Connection, record: Replica, schema: ServiceSchema) -> None:
    replica_record.set_replica(
        connection, replace(record, service_url=schema.url, item_id=schema.item_id)
    )
    replica_record.move_urls(connection, record.service_url, schema.url)
