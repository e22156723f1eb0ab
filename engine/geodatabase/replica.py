"""The replica: what the service knows this geodatabase as, and up to which generation.

Synchronous functions over a connection; those that write need an open transaction, so that a
generation moves together with the rows it stands for.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine import faults
from engine.geodatabase.remembered import recall, remember
from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import AttachmentSyncDirection, PreplannedUpdateMode, SyncDirection, SyncModel

JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaLayer:
    """A layer of the replica. ``options`` is the layer's query as the caller gave it, in JSON.

    ``generation`` is known only where the sync model keeps one per layer.
    """

    layer_id: int
    generation: int | None = None
    sync_direction: SyncDirection = SyncDirection.BIDIRECTIONAL
    options: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """The replica's record. ``replica_id`` is empty while the service has not given one.

    ``name`` is ours, chosen before the service is asked; ``extent`` an Esri JSON geometry; times
    are ISO 8601 text in UTC; ``machine_id`` tells a cloned card from its original. How the map is
    kept current, its ``update_mode``, says which edits are permitted in it.
    """

    replica_id: str = ""
    name: str = ""
    service_url: str = ""
    item_id: str = ""
    sync_model: SyncModel = SyncModel.PER_REPLICA
    server_generation: int | None = None
    attachment_direction: AttachmentSyncDirection = AttachmentSyncDirection.BIDIRECTIONAL
    sync_direction: SyncDirection = SyncDirection.BIDIRECTIONAL
    extent: JsonObject | None = None
    created_at: str = ""
    last_sync_at: str | None = None
    machine_id: str = ""
    update_mode: PreplannedUpdateMode = PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
    layers: tuple[ReplicaLayer, ...] = ()

    def layer(self, layer_id: int) -> ReplicaLayer:
        """The layer's part of the record; one with the defaults if it has none."""
        found = (layer for layer in self.layers if layer.layer_id == layer_id)
        return next(found, ReplicaLayer(layer_id=layer_id, sync_direction=self.sync_direction))


def with_direction(replica: Replica, layer_id: int, direction: SyncDirection) -> Replica:
    """The record with another direction of one layer."""
    layers = [
        replace(layer, sync_direction=direction) if layer.layer_id == layer_id else layer
        for layer in replica.layers
    ]
    return replace(replica, layers=tuple(layers))


def create_replica(
    connection: sqlite3.Connection,
    replica: Replica,
    service: ServiceSchema,
    layers: Mapping[int, LayerSchema],
) -> None:
    """Write the record for the first time, with the resources that the tables are made from."""
    connection.execute(
        "INSERT INTO fieldsync_replica (id, replica_id, name, service_url, item_id, sync_model, "
        "attachment_direction, sync_direction, created_at, machine_id, service) "
        "VALUES (1, '', '', '', '', '', '', 0, '', '', ?)",
        (_json(service.resource),),
    )
    connection.executemany(
        "INSERT INTO fieldsync_layer (layer_id, sync_direction, options, resource) "
        "VALUES (?, 0, '{}', ?)",
        [(id_, _json(layer.resource)) for id_, layer in layers.items()],
    )
    set_replica(connection, replica)


def get_replica(connection: sqlite3.Connection) -> Replica:
    """The record as it is in the file."""
    rows = connection.cursor()
    rows.row_factory = sqlite3.Row
    record = rows.execute("SELECT * FROM fieldsync_replica WHERE id = 1").fetchone()
    return Replica(
        replica_id=record["replica_id"],
        name=record["name"],
        service_url=record["service_url"],
        item_id=record["item_id"],
        sync_model=SyncModel(record["sync_model"]),
        server_generation=record["server_generation"],
        attachment_direction=AttachmentSyncDirection(record["attachment_direction"]),
        sync_direction=SyncDirection(record["sync_direction"]),
        extent=None if record["extent"] is None else json.loads(record["extent"]),
        created_at=record["created_at"],
        last_sync_at=record["last_sync_at"],
        machine_id=record["machine_id"],
        update_mode=_update_mode(connection),
        layers=tuple(
            ReplicaLayer(
                layer_id=layer["layer_id"],
                generation=layer["generation"],
                sync_direction=SyncDirection(layer["sync_direction"]),
                options=json.loads(layer["options"]),
            )
            for layer in rows.execute("SELECT * FROM fieldsync_layer ORDER BY layer_id")
        ),
    )


def set_replica(connection: sqlite3.Connection, replica: Replica) -> None:
    """Replace the record, generations included. Layers that the file has not are refused."""
    connection.execute(
        "UPDATE fieldsync_replica SET replica_id = ?, name = ?, service_url = ?, item_id = ?, "
        "sync_model = ?, server_generation = ?, attachment_direction = ?, sync_direction = ?, "
        "extent = ?, created_at = ?, last_sync_at = ?, machine_id = ? WHERE id = 1",
        (
            replica.replica_id,
            replica.name,
            replica.service_url,
            replica.item_id,
            replica.sync_model.value,
            replica.server_generation,
            replica.attachment_direction.value,
            replica.sync_direction.value,
            None if replica.extent is None else _json(replica.extent),
            replica.created_at,
            replica.last_sync_at,
            replica.machine_id,
        ),
    )
    if replica.update_mode is not _update_mode(connection):
        remember(connection, _UPDATE_MODE, replica.update_mode.name)
    known = {id_ for (id_,) in connection.execute("SELECT layer_id FROM fieldsync_layer")}
    for id_ in known | {layer.layer_id for layer in replica.layers}:
        layer = replica.layer(id_)
        done = connection.execute(
            "UPDATE fieldsync_layer SET generation = ?, sync_direction = ?, options = ? "
            "WHERE layer_id = ?",
            (layer.generation, layer.sync_direction.value, _json(layer.options), id_),
        )
        if not done.rowcount:
            raise ValueError(f"the geodatabase has no layer {id_}")


_UPDATE_MODE = "update-mode"


def _update_mode(connection: sqlite3.Connection) -> PreplannedUpdateMode:
    """Not written down for what is synced, as most are."""
    return PreplannedUpdateMode[
        recall(connection, _UPDATE_MODE) or PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES.name
    ]


def set_generations(
    connection: sqlite3.Connection,
    *,
    server: int | None = None,
    layers: Mapping[int, int] | None = None,
) -> None:
    """Move the replica's generation, or those of some layers; what is left out stays."""
    if server is not None:
        connection.execute("UPDATE fieldsync_replica SET server_generation = ?", (server,))
    connection.executemany(
        "UPDATE fieldsync_layer SET generation = ? WHERE layer_id = ?",
        [(generation, id_) for id_, generation in (layers or {}).items()],
    )


def forget_generations(connection: sqlite3.Connection) -> None:
    """From now on nothing is known of the generation: all rows must be compared."""
    connection.execute("UPDATE fieldsync_replica SET server_generation = NULL")
    connection.execute("UPDATE fieldsync_layer SET generation = NULL")


def set_last_sync(connection: sqlite3.Connection, at: str) -> None:
    """Note when the last sync ended well."""
    connection.execute("UPDATE fieldsync_replica SET last_sync_at = ?", (at,))


def get_service(connection: sqlite3.Connection) -> ServiceSchema:
    """The service resource that the geodatabase was made or last changed for."""
    resource, url = connection.execute(
        "SELECT service, service_url FROM fieldsync_replica"
    ).fetchone()
    return ServiceSchema.from_json(json.loads(resource), url)


def set_resources(
    connection: sqlite3.Connection,
    *,
    service: JsonObject | None = None,
    layers: Mapping[int, JsonObject] | None = None,
) -> None:
    """Keep newer service and layer resources, once the tables follow them."""
    if service is not None:
        connection.execute("UPDATE fieldsync_replica SET service = ?", (_json(service),))
    connection.executemany(
        "UPDATE fieldsync_layer SET resource = ? WHERE layer_id = ?",
        [(_json(resource), id_) for id_, resource in (layers or {}).items()],
    )


def move_urls(connection: sqlite3.Connection, old: str, new: str) -> None:
    """The service at the URL ``old`` is now at ``new``, and with it what is still to be fetched."""
    for table, column in (("fetch", "url"), ("batch", "status_url"), ("batch", "result_url")):
        connection.execute(
            f"UPDATE fieldsync_{table} SET {column} = ?2 || substr({column}, length(?1) + 1) "
            f"WHERE substr({column}, 1, length(?1) + 1) = ?1 || '/'",
            (old, new),
        )
    left = left_replicas(connection)
    _set_left(connection, [replace(one, url=new) if one.url == old else one for one in left])


# --- replicas that are asked for, or no longer needed ---------------------------------------------

_LEFT = "replicas-left"


@dataclass(frozen=True, slots=True)
class LeftReplica:
    """A replica that may be on the service at ``url`` although nothing needs it.

    ``machine_id`` says who made it: it is nobody else's to unregister.
    """

    url: str
    name: str
    machine_id: str


def note_left(connection: sqlite3.Connection, left: LeftReplica) -> None:
    """Note a replica that is about to be asked for, or that has been replaced.

    Until it is forgotten, every sync looks for its name on the service and unregisters it.
    """
    _set_left(connection, [*left_replicas(connection), left])
    faults.point("replica.noted")


def left_replicas(connection: sqlite3.Connection) -> list[LeftReplica]:
    """The replicas that are to be unregistered."""
    return [LeftReplica(*entry) for entry in json.loads(recall(connection, _LEFT) or "[]")]


def forget_left(connection: sqlite3.Connection, left: LeftReplica) -> None:
    """The replica is in the record now, or it is gone from the service."""
    _set_left(connection, [one for one in left_replicas(connection) if one != left])


def _set_left(connection: sqlite3.Connection, left: Sequence[LeftReplica]) -> None:
    entries = dict.fromkeys((one.url, one.name, one.machine_id) for one in left)
    remember(connection, _LEFT, json.dumps(list(entries)))


def _json(value: JsonObject) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
