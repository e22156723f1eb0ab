"""From the path below `FeatureServer` to the operation it names."""

import hashlib
from collections.abc import Callable
from typing import Any

from . import apply_edits, attachment_operations, jobs, uploads
from .answer import Answer, document
from .call import Call
from .create_replica import check_sync, create_replica
from .definition import Layer
from .exchange import Asked, Delivery
from .extract_changes import extract_changes
from .hosted import Actor, Hosted
from .problem import ServiceError, invalid_parameter, invalid_url, not_supported
from .query import query
from .related import query_related
from .replica import Replicas
from .resource import (
    layer_document,
    relationships_document,
    replica_document,
    service_document,
)
from .result_file import fetch
from .synchronize import find_replica, synchronize_replica
from .tracking import clean_up

_FORMATS = ("json", "pjson", "html")
_UPLOADING = frozenset(("Uploads", "Create", "Update", "Editing"))

ServiceOperation = Callable[[Hosted, Actor, Asked], Delivery]
LayerOperation = Callable[[Hosted, Actor, Layer, Asked], Delivery]

_SERVICE: dict[str, ServiceOperation] = {
    "createreplica": create_replica,
    "synchronizereplica": synchronize_replica,
    "applyedits": apply_edits.apply_to_service,
    "extractchanges": extract_changes,
}
_LAYER: dict[str, LayerOperation] = {
    "applyedits": apply_edits.apply_to_layer,
    "addfeatures": apply_edits.add_features,
    "updatefeatures": apply_edits.update_features,
    "deletefeatures": apply_edits.delete_features,
    "query": lambda hosted, actor, layer, asked: Delivery(
        document=query(hosted, actor, layer, asked.parameters)
    ),
    "queryrelatedrecords": lambda hosted, _, layer, asked: Delivery(
        document=query_related(hosted, layer, asked.parameters)
    ),
    "queryattachments": lambda hosted, actor, layer, asked: Delivery(
        document=attachment_operations.query_attachments(
            hosted, actor, layer, asked.parameters, asked.service_url
        )
    ),
}


def perform(hosted: Hosted, actor: Actor, call: Call, path: tuple[str, ...]) -> Answer:
    """Answer a call to one service; `path` is what follows `FeatureServer`."""
    base = f"{call.origin}/arcgis/rest/services/{hosted.service.name}"
    asked = Asked(
        parameters=call.parameters,
        service_url=f"{base}/FeatureServer",
        files_url=f"{base}/replicafiles",
    )
    if len(path) == 4 and path[2].lower() == "attachments":
        layer = hosted.layer(path[0])
        oid, aid = _number(path[1]), _number(path[3])
        known, data = attachment_operations.content(hosted, layer, oid, aid)
        disposition = f'inline; filename="{_header_safe(known.name)}"'
        return Answer(
            content=data,
            content_type=known.content_type,
            etag=hashlib.sha256(data).hexdigest()[:16],
            headers={"Content-Disposition": disposition},
        )
    is_geojson = call.format == "geojson" and path[-1:] == ("query",)
    if call.format not in _FORMATS and not is_geojson:
        raise invalid_parameter("f", f"Output format '{call.format}' is not supported")
    delivery = _deliver(hosted, actor, asked, path)
    if delivery.file is not None:
        return Answer(
            content=delivery.file,
            content_type="application/json; charset=utf-8",
            is_passing=True,
        )
    return document(delivery.document, call.format, title=hosted.service.name)


def _deliver(hosted: Hosted, actor: Actor, asked: Asked, path: tuple[str, ...]) -> Delivery:
    if not path:
        return Delivery(document=service_document(hosted))
    if path[0].isdigit():
        return _layer(hosted, actor, asked, hosted.layer(path[0]), path[1:])
    head = path[0].lower()
    if head in _SERVICE and len(path) == 1:
        return _SERVICE[head](hosted, actor, asked)
    return Delivery(document=_resource(hosted, actor, asked, head, path[1:]))


def _resource(hosted: Hosted, actor: Actor, asked: Asked, head: str, rest: tuple[str, ...]) -> Any:
    match (head, len(rest)):
        case ("layers", 0):
            every = hosted.service.layers.values()
            return {
                "layers": [layer_document(hosted, one) for one in every if not one.is_table],
                "tables": [layer_document(hosted, one) for one in every if one.is_table],
            }
        case ("relationships", 0):
            return relationships_document(hosted)
        case ("query", 0):
            return _query_layers(hosted, actor, asked)
        case ("replicas", 0):
            check_sync(hosted)
            return _replicas(hosted, actor, asked)
        case ("replicas", 1):
            check_sync(hosted)
            return replica_document(hosted, find_replica(hosted, actor, rest[0]))
        case ("cleanupchangetracking", 0):
            return clean_up(hosted, actor, asked.parameters)
        case ("unregisterreplica", 0):
            return _unregister(hosted, actor, asked.parameters.text("replicaID"))
        case ("jobs", 1 | 2):
            return jobs.poll(hosted, rest[0], asked.files_url)
        case ("uploads", _):
            return _uploads(hosted, asked, rest)
    raise invalid_url()


def _replicas(hosted: Hosted, actor: Actor, asked: Asked) -> list[dict[str, Any]]:
    with_date = asked.parameters.flag("returnLastSyncDate")
    return [
        {
            "replicaName": one.name,
            "replicaID": hosted.spelled(one.id),
            **({"lastSyncDate": one.last_sync_ms} if with_date else {}),
        }
        for one in Replicas(hosted.store).every()
        if actor.may_see(one.owner)
    ]


def _query_layers(hosted: Hosted, actor: Actor, asked: Asked) -> dict[str, Any]:
    definitions = asked.parameters.json("layerDefs")
    if isinstance(definitions, list):
        definitions = {str(entry["layerId"]): entry.get("where", "1=1") for entry in definitions}
    if not isinstance(definitions, dict):
        raise invalid_parameter("layerDefs", "a JSON object of layer id -> where is needed")
    answers = []
    for layer_id, where in definitions.items():
        parameters = asked.parameters.with_fields({"where": str(where), "outFields": "*"})
        answer = query(hosted, actor, hosted.layer(layer_id), parameters)
        answers.append({"id": int(layer_id), **answer})
    return {"layers": answers}


def _unregister(hosted: Hosted, actor: Actor, replica_id: str) -> dict[str, Any]:
    check_sync(hosted)
    replicas = Replicas(hosted.store)
    if replica_id == "*":
        gone = [one for one in replicas.every() if actor.may_see(one.owner)]
    else:
        try:
            gone = [find_replica(hosted, actor, replica_id)]
        except ServiceError as error:
            return {"success": False, **error.document()}
    with hosted.store.transaction():
        for replica in gone:
            replicas.remove(replica)
    return {"success": True}


def _uploads(hosted: Hosted, asked: Asked, rest: tuple[str, ...]) -> dict[str, Any]:
    if not hosted.service.capabilities & _UPLOADING:
        raise not_supported()
    match tuple(part.lower() for part in rest):
        case ():
            return uploads.listing(hosted)
        case ("info",):
            return uploads.info(hosted)
        case ("upload",):
            return uploads.upload(hosted, asked.parameters)
        case ("register",):
            return uploads.register(hosted, asked.parameters)
        case (item,):
            return uploads.describe(hosted, item)
        case (item, "uploadpart"):
            return uploads.upload_part(hosted, item, asked.parameters)
        case (item, "parts"):
            return uploads.parts(hosted, item)
        case (item, "commit"):
            return uploads.commit(hosted, item, asked.parameters)
        case (item, "delete"):
            return uploads.delete(hosted, item)
    raise invalid_url()


def _layer(
    hosted: Hosted, actor: Actor, asked: Asked, layer: Layer, path: tuple[str, ...]
) -> Delivery:
    if not path:
        return Delivery(document=layer_document(hosted, layer))
    head = path[0].lower()
    if len(path) == 1 and head in _LAYER:
        return _LAYER[head](hosted, actor, layer, asked)
    if not path[0].isdigit():
        raise invalid_url()
    return Delivery(document=_row(hosted, actor, asked, layer, _number(path[0]), path[1:]))


def _row(
    hosted: Hosted, actor: Actor, asked: Asked, layer: Layer, oid: int, path: tuple[str, ...]
) -> dict[str, Any]:
    parameters = asked.parameters
    match tuple(part.lower() for part in path):
        case ():
            wanted = {"objectIds": str(oid), "outFields": "*", "where": "1=1"}
            found = query(hosted, actor, layer, parameters.with_fields(wanted))["features"]
            if not found:
                raise ServiceError(404, "Feature not found.", f"there is no feature {oid}")
            return {"feature": found[0]}
        case ("attachments",):
            return attachment_operations.infos(hosted, layer, oid)
        case ("addattachment",):
            return attachment_operations.add_attachment(hosted, layer, oid, parameters)
        case ("updateattachment",):
            return attachment_operations.update_attachment(hosted, layer, oid, parameters)
        case ("deleteattachments",):
            return attachment_operations.delete_attachments(hosted, layer, oid, parameters)
    raise invalid_url()


def replica_file(hosted: Hosted, name: str) -> Answer | None:
    """A result file; None when there is none of that name any more."""
    path = fetch(hosted, name)
    if path is None or not path.exists():
        return None
    return Answer(content=path, content_type="application/json; charset=utf-8", etag=path.stem)


def _number(text: str) -> int:
    if not text.isdigit():
        raise invalid_url()
    return int(text)


def _header_safe(name: str) -> str:
    return "".join(sign if sign.isascii() and sign.isprintable() else "_" for sign in name).replace(
        '"', "_"
    )
