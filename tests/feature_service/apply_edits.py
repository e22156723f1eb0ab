"""applyEdits and its three single-purpose siblings.

Source: ArcGIS REST API, "Apply Edits (Feature Service/Layer)", "Apply Edits (Feature
Service)", "Add Features", "Update Features", "Delete Features".
"""

import json
from typing import Any

from . import jobs, result_file
from .definition import Layer
from .edits import EditSession
from .exchange import Asked, Delivery, check_async, check_json
from .hosted import Actor, Hosted
from .parameters import Parameters
from .problem import ServiceError, invalid_parameter, not_supported
from .query import select
from .store import table
from .uploads import uploaded_bytes

_EDITING = frozenset(("Create", "Update", "Delete", "Editing"))


def apply_to_layer(hosted: Hosted, actor: Actor, layer: Layer, asked: Asked) -> Delivery:
    """Answer applyEdits of a layer."""
    parameters = asked.parameters
    entry: dict[str, Any] = {name: parameters.json(name) for name in ("adds", "updates")}
    entry["deletes"] = _delete_keys(parameters)
    entry["attachments"] = parameters.json("attachments")
    entries = _uploaded(hosted, asked)
    if entries is not None:
        entry = entries[0] if entries else {}
    return _run(hosted, actor, asked, [(layer, entry)], is_list=False)


def apply_to_service(hosted: Hosted, actor: Actor, asked: Asked) -> Delivery:
    """Answer applyEdits of the service: edits of several layers in one call."""
    entries = _uploaded(hosted, asked)
    if entries is None:
        entries = asked.parameters.json_list("edits")
    listed = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise invalid_parameter("edits", "an entry is not an object")
        listed.append((hosted.layer(entry.get("id")), entry))
    return _run(hosted, actor, asked, listed, is_list=True)


def _delete_keys(parameters: Parameters) -> list[Any]:
    return list(parameters.items("deletes"))


def _uploaded(hosted: Hosted, asked: Asked) -> list[dict[str, Any]] | None:
    upload = asked.parameters.text("editsUploadId")
    if not upload:
        return None
    check_json(asked, "editsUploadFormat")
    data = uploaded_bytes(hosted, upload)
    try:
        edits = json.loads(data) if data is not None else None
    except ValueError:
        edits = None
    if isinstance(edits, dict):
        edits = edits.get("edits", [edits])
    if not isinstance(edits, list):
        raise invalid_parameter("editsUploadId", f"upload {upload} holds no edits")
    return edits


def _run(
    hosted: Hosted,
    actor: Actor,
    asked: Asked,
    entries: list[tuple[Layer, dict[str, Any]]],
    *,
    is_list: bool,
) -> Delivery:
    check_async(hosted, asked)
    check_editing(hosted)
    parameters = asked.parameters
    by_global_id = parameters.flag("useGlobalIds")
    rolls_back = parameters.flag("rollbackOnFailure", True)
    try:
        with hosted.store.transaction():
            session = EditSession(
                hosted, actor, origin="", by_global_id=by_global_id, is_sync=False
            )
            answers = [_apply(session, layer, entry, by_global_id) for layer, entry in entries]
            session.finish(rollback_on_failure=rolls_back)
    except ServiceError as error:
        if not asked.is_async:
            raise
        return _submitted(hosted, asked, {"status": "FAILED", **error.document()}, None)
    answer = _answer(hosted, parameters, entries, answers, is_list=is_list)
    if asked.is_async:
        return _submitted(hosted, asked, {"status": "COMPLETED"}, answer)
    return Delivery(document=answer)


def _answer(
    hosted: Hosted,
    parameters: Parameters,
    entries: list[tuple[Layer, dict[str, Any]]],
    answers: list[dict[str, Any]],
    *,
    is_list: bool,
) -> Any:
    rolls_back = parameters.flag("rollbackOnFailure", True)
    if not parameters.flag("returnEditResults", True) and rolls_back:
        return {"success": True}
    if is_list:
        answers = [
            {"id": layer.id, **answer} for (layer, _), answer in zip(entries, answers, strict=True)
        ]
        if parameters.flag("returnEditMoment"):
            moment = hosted.clock.now_ms()
            return {"editMoment": moment, "editResults": answers}
        return answers
    if parameters.flag("returnEditMoment"):
        answers[0]["editMoment"] = hosted.clock.now_ms()
    return answers[0]


def check_editing(hosted: Hosted) -> None:
    """Refuse editing where the service does not offer it."""
    if not hosted.service.capabilities & _EDITING:
        raise not_supported()


def _submitted(hosted: Hosted, asked: Asked, document: dict[str, Any], answer: Any) -> Delivery:
    name = None
    if answer is not None:
        name = result_file.new_name(hosted)
        result_file.path_of(hosted, name).write_text(json.dumps(answer), encoding="utf-8")
        with hosted.store.transaction():
            result_file.publish(hosted, name)
    job = jobs.submit(hosted, "applyEdits", document, name)
    return Delivery(document={"statusUrl": f"{asked.service_url}/jobs/{job}/status"})


def _apply(
    session: EditSession, layer: Layer, entry: dict[str, Any], by_global_id: bool
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "addResults": session.adds(layer, _list(entry, "adds")),
        "updateResults": session.updates(layer, _list(entry, "updates")),
        "deleteResults": session.deletes(layer, _keys(entry)),
    }
    attachments = entry.get("attachments")
    if attachments:
        if not by_global_id or not isinstance(attachments, dict):
            raise invalid_parameter("attachments", "an object with useGlobalIds=true is needed")
        answer["attachments"] = {
            "addResults": session.attachment_adds(layer, _list(attachments, "adds")),
            "updateResults": session.attachment_updates(layer, _list(attachments, "updates")),
            "deleteResults": session.attachment_deletes(layer, _keys(attachments)),
        }
    return answer


def _list(entry: dict[str, Any], name: str) -> list[Any]:
    value = entry.get(name) or []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise invalid_parameter(name, "the value is not a list")
    return value


def _keys(entry: dict[str, Any]) -> list[Any]:
    value = entry.get("deletes") or []
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list) else [value]


def add_features(hosted: Hosted, actor: Actor, layer: Layer, asked: Asked) -> Delivery:
    """Answer addFeatures."""
    return _single(hosted, actor, layer, asked, "adds", asked.parameters.json_list("features"))


def update_features(hosted: Hosted, actor: Actor, layer: Layer, asked: Asked) -> Delivery:
    """Answer updateFeatures."""
    return _single(hosted, actor, layer, asked, "updates", asked.parameters.json_list("features"))


def delete_features(hosted: Hosted, actor: Actor, layer: Layer, asked: Asked) -> Delivery:
    """Answer deleteFeatures; a request that names no rows deletes none."""
    parameters = asked.parameters
    keys: list[Any] = list(parameters.integers("objectIds"))
    if not keys:
        selection = select(hosted, actor, layer, parameters)
        found = hosted.store.run(
            f"SELECT v.oid FROM {table(layer)} v WHERE {selection.sql}", *selection.values
        )
        keys = [oid for (oid,) in found.fetchall()]
    answer = _single(hosted, actor, layer, asked, "deletes", keys)
    if not parameters.flag("returnDeleteResults", True):
        return Delivery(document={"success": True})
    return answer


def _single(
    hosted: Hosted, actor: Actor, layer: Layer, asked: Asked, kind: str, items: list[Any]
) -> Delivery:
    check_editing(hosted)
    with hosted.store.transaction():
        by_global_id = asked.parameters.flag("useGlobalIds") and kind != "deletes"
        session = EditSession(hosted, actor, origin="", by_global_id=by_global_id, is_sync=False)
        answer = _apply(session, layer, {kind: items}, False)
        session.finish(rollback_on_failure=asked.parameters.flag("rollbackOnFailure", True))
    member = f"{kind[:-1]}Results"
    return Delivery(document={member: answer[member]})
