"""createReplica: register what a client keeps and give it the rows.

Source: ArcGIS REST API, "Create Replica" and "Sync and attachments".
"""

from typing import Any

from . import result_file
from .exchange import (
    EMBEDDED,
    Asked,
    Delivery,
    Outcome,
    check_async,
    check_json,
    deliver,
    deliver_failure,
)
from .export import Exporter
from .hosted import Actor, Hosted
from .parameters import Parameters
from .problem import ServiceError, invalid_parameter, not_supported
from .projection import mover, wkid_of
from .replica import (
    Replica,
    Replicas,
    read_attachments_direction,
    read_layer_ids,
    read_queries,
)
from .scope import Scope

_EDITING = frozenset(("Create", "Update", "Delete", "Editing"))


def create_replica(hosted: Hosted, actor: Actor, asked: Asked) -> Delivery:
    """Answer one createReplica request."""
    is_extract = asked.parameters.text("syncModel").lower() == "none"
    if not (is_extract and "Extract" in hosted.service.capabilities):
        check_sync(hosted)
    check_async(hosted, asked)
    check_json(asked)
    replica = _read(hosted, actor, asked.parameters)
    try:
        with hosted.store.transaction():
            outcome = _create(hosted, replica, asked)
            hosted.fail_if_told()
    except ServiceError as error:
        return deliver_failure(hosted, asked, "createReplica", error)
    return deliver(hosted, asked, "createReplica", outcome)


def check_sync(hosted: Hosted) -> None:
    """Refuse sync where the service does not offer it; it takes Query as well as Sync."""
    if not {"Query", "Sync"} <= hosted.service.capabilities:
        raise not_supported()


def _read(hosted: Hosted, actor: Actor, parameters: Parameters) -> Replica:
    service = hosted.service
    ids = read_layer_ids(service, parameters)
    for layer_id in ids:
        if not service.layers[layer_id].global_id_field:
            raise invalid_parameter("layers", f"layer {layer_id} has no GlobalID and cannot sync")
    model = parameters.word("syncModel", ("perReplica", "perLayer", "none"), "perReplica")
    if hosted.profile.sync_models not in ("both", model) and model != "none":
        raise ServiceError(400, "Sync model is not supported.", f"syncModel {model}")
    target = parameters.word("targetType", ("client", "server"), "client")
    if target == "server":
        raise not_supported("targetType=server: supportsBiDirectionalSyncForServer is false")
    direction = parameters.word(
        "syncDirection", ("bidirectional", "upload", "download"), "bidirectional"
    )
    geometry = parameters.text("geometry")
    if not geometry and model != "none":
        raise invalid_parameter("geometry", "a replica needs a geometry")
    returned, attachments_direction = read_attachments_direction(parameters)
    _check_unknown_time(hosted, ids, parameters)
    now_ms = hosted.clock.now_ms()
    replica_sr = wkid_of(parameters.json_or_text("replicaSR")) or hosted.wkid
    mover(hosted.wkid, replica_sr)
    replica = Replica(
        id=hosted.mint(),
        name=parameters.text("replicaName") or f"replica_{now_ms}",
        owner=actor.name,
        model=model,
        target=target,
        direction=direction,
        returns_attachments=returned,
        attachments_direction=attachments_direction,
        wkid=replica_sr,
        geometry=geometry,
        geometry_type=parameters.text("geometryType", "esriGeometryEnvelope"),
        in_sr=parameters.text("inSR"),
        queries=read_queries(service, ids, parameters),
        created_ms=now_ms,
        last_sync_ms=now_ms,
        sees_everything=actor.is_owner,
        is_download_only=not (service.capabilities & _EDITING) and not actor.is_owner,
    )
    Scope(hosted, replica)
    return replica


def _check_unknown_time(hosted: Hosted, ids: list[int], parameters: Parameters) -> None:
    if parameters.flag("timeReferenceUnknownClient"):
        return
    for layer_id in ids:
        if hosted.service.layers[layer_id].document.get("datesInUnknownTimezone"):
            raise ServiceError(
                400,
                "Unable to create replica.",
                f"layer {layer_id} has dates in an unknown time zone:"
                " timeReferenceUnknownClient=true is needed",
            )


def _create(hosted: Hosted, replica: Replica, asked: Asked) -> Outcome:
    parameters = asked.parameters
    replicas = Replicas(hosted.store)
    options = parameters.json("replicaOptions")
    registers = isinstance(options, dict) and options.get("refReplicaId")
    if registers:
        known = replicas.find(str(options["refReplicaId"]))
        if known is None:
            raise ServiceError(400, "Unable to create replica.", "refReplicaId is no replica")
        replica.queries, replica.geometry = known.queries, known.geometry
        replica.geometry_type, replica.in_sr = known.geometry_type, known.in_sr
    replica.name = replicas.free_name(replica.name)
    generation = hosted.store.generation
    replica.generations = {str(layer_id): generation for layer_id in replica.layer_ids}
    if replica.model != "none":
        replicas.save(replica)
    generations = generations_of(replica)
    head = {
        "replicaName": replica.name,
        "replicaID": hosted.spelled(replica.id) if replica.model != "none" else "",
    }
    if registers:
        return Outcome(
            response_type="esriReplicaResponseTypeInfo",
            head=head,
            generations=generations,
            file=None,
        )
    name = result_file.new_name(hosted)
    _write(hosted, replica, asked, head, generations, name)
    result_file.publish(hosted, name)
    return Outcome(
        response_type="esriReplicaResponseTypeData",
        head=head,
        generations=generations,
        file=name,
    )


def _write(
    hosted: Hosted,
    replica: Replica,
    asked: Asked,
    head: dict[str, Any],
    generations: dict[str, Any],
    name: str,
) -> None:
    exporter = Exporter(
        hosted,
        replica,
        base_url=asked.service_url,
        attachments_by_url=asked.attachments_by_url,
    )
    with result_file.path_of(hosted, name).open("w", encoding="utf-8") as text:
        out = result_file.JsonFile(text)
        out.open("{")
        write_head(hosted, out, asked, "esriReplicaResponseTypeData", head, generations)
        out.write(replica.model, "syncModel")
        out.write(replica.target, "targetType")
        out.open("[", "layers")
        for layer_id in replica.layer_ids:
            layer = hosted.layer(layer_id)
            exporter.snapshot(out, layer, with_attachments=replica.returns_attachments)
        out.close("]")
        out.close("}")


def write_head(
    hosted: Hosted,
    out: result_file.JsonFile,
    asked: Asked,
    response_type: str,
    head: dict[str, Any],
    generations: dict[str, Any],
) -> None:
    """The first members of a replica or delta file."""
    is_embedded = asked.transport == EMBEDDED
    shown = {
        **head,
        "transportType": EMBEDDED if is_embedded else "esriTransportTypeURL",
        "responseType": response_type,
    }
    if is_embedded or hosted.profile.generations_in != "envelope":
        shown |= generations
    for member, value in shown.items():
        out.write(value, member)


def generations_of(replica: Replica, layer_ids: list[int] | None = None) -> dict[str, Any]:
    """The generation members for a replica of either model."""
    ids = replica.layer_ids if layer_ids is None else layer_ids
    if replica.model == "none":
        return {}
    if replica.model == "perReplica":
        return {"replicaServerGen": max(replica.generations.values())}
    listed = [{"id": layer_id, "serverGen": replica.generations[str(layer_id)]} for layer_id in ids]
    return {"layerServerGens": listed}
