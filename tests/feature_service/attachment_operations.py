"""The attachment operations of a layer, keyed by ObjectID.

Source: ArcGIS REST API, "Attachment Infos (Feature Service)", "Add Attachment", "Update
Attachment", "Delete Attachments", "Query Attachments (Feature Service/Layer)".
"""

import mimetypes
from typing import Any

from .apply_edits import check_editing
from .attachment_edits import file_name
from .attachments import Attachment
from .definition import Layer
from .guid import canonical
from .hosted import Actor, Hosted
from .parameters import Parameters
from .problem import ServiceError, invalid_parameter
from .query import select
from .rows import Row, Stamp
from .store import table
from .uploads import refusal_of, uploaded_bytes

_KIND = "application/octet-stream"


def row_of(hosted: Hosted, layer: Layer, oid: int) -> Row:
    """The row of that ObjectID in a layer with attachments."""
    if not layer.has_attachments:
        raise ServiceError(400, "Requested operation is not supported by this layer.")
    row = hosted.rows(layer).by_oid(oid)
    if row is None:
        raise ServiceError(404, "Feature not found.", f"there is no feature {oid}")
    return row


def infos(hosted: Hosted, layer: Layer, oid: int) -> dict[str, Any]:
    """The attachment infos of one row."""
    row = row_of(hosted, layer, oid)
    known = hosted.attachments(layer).of_parent(row.gid)
    return {"attachmentInfos": [_info(hosted, one) for one in known]}


def content(hosted: Hosted, layer: Layer, oid: int, aid: int) -> tuple[Attachment, bytes]:
    """One attachment and its bytes."""
    row = row_of(hosted, layer, oid)
    attachments = hosted.attachments(layer)
    known = attachments.by_aid(aid, row.gid)
    if known is None:
        raise ServiceError(404, "Attachment not found.", f"feature {oid} has no attachment {aid}")
    return known, attachments.content(known.content_id)


def _info(hosted: Hosted, known: Attachment) -> dict[str, Any]:
    return {
        "id": known.aid,
        "globalId": hosted.spelled(known.gid),
        "parentGlobalId": hosted.spelled(known.parent_gid),
        "name": known.name,
        "contentType": known.content_type,
        "size": known.size,
        "keywords": known.keywords,
        "exifInfo": None,
    }


def query_attachments(
    hosted: Hosted, actor: Actor, layer: Layer, parameters: Parameters, service_url: str
) -> dict[str, Any]:
    """The attachments of many rows, grouped by row."""
    fields = parameters
    if parameters.has("definitionExpression"):
        renamed = [("where", parameters.text("definitionExpression"))]
        for name in ("objectIds", "globalIds"):
            renamed += [(name, ",".join(parameters.items(name)))]
        fields = Parameters(renamed)
    selection = select(hosted, actor, layer, fields)
    kinds = {kind.lower() for kind in parameters.items("attachmentTypes")}
    words = {word.lower() for word in parameters.items("keywords")}
    found = hosted.store.run(
        f"SELECT v.oid, v.gid FROM {table(layer)} v WHERE {selection.sql} ORDER BY v.oid",
        *selection.values,
    ).fetchall()
    groups = []
    for oid, gid in found:
        shown = []
        for known in hosted.attachments(layer).of_parent(gid):
            if kinds and known.content_type.lower() not in kinds:
                continue
            if words and not words & set(known.keywords.lower().split(",")):
                continue
            info = _info(hosted, known)
            if parameters.flag("returnUrl"):
                info["url"] = f"{service_url}/{layer.id}/{oid}/attachments/{known.aid}"
            shown.append(info)
        if shown:
            groups.append(
                {
                    "parentObjectId": oid,
                    "parentGlobalId": hosted.spelled(gid),
                    "attachmentInfos": shown,
                }
            )
    return {"fields": [], "attachmentGroups": groups}


def add_attachment(
    hosted: Hosted, layer: Layer, oid: int, parameters: Parameters
) -> dict[str, Any]:
    """Add the file part, or an earlier upload, to a row."""
    check_editing(hosted)
    name, kind, data = _sent(hosted, parameters)
    with hosted.store.transaction():
        row = row_of(hosted, layer, oid)
        gid = canonical(parameters.text("globalId")) or hosted.mint()
        if hosted.attachments(layer).by_gid(gid) is not None:
            raise ServiceError(400, "Unable to add attachment.", f"GlobalID {gid} is taken")
        stamp = Stamp(generation=hosted.store.next_generation(hosted.clock.now_ms()), origin="")
        aid = hosted.attachments(layer).add(
            gid=gid,
            parent_gid=row.gid,
            name=name,
            content_type=kind,
            keywords=parameters.text("keywords"),
            data=data,
            stamp=stamp,
        )
    return {"addAttachmentResult": _done(hosted, aid, gid)}


def update_attachment(
    hosted: Hosted, layer: Layer, oid: int, parameters: Parameters
) -> dict[str, Any]:
    """Replace the bytes of one attachment of a row."""
    check_editing(hosted)
    name, kind, data = _sent(hosted, parameters)
    with hosted.store.transaction():
        known = _known(hosted, layer, oid, parameters.integer("attachmentId"))
        stamp = Stamp(generation=hosted.store.next_generation(hosted.clock.now_ms()), origin="")
        hosted.attachments(layer).update(
            known,
            name=name,
            content_type=kind,
            keywords=parameters.text("keywords", known.keywords),
            data=data,
            stamp=stamp,
        )
    return {"updateAttachmentResult": _done(hosted, known.aid, known.gid)}


def delete_attachments(
    hosted: Hosted, layer: Layer, oid: int, parameters: Parameters
) -> dict[str, Any]:
    """Delete attachments of a row by number; each has its own result."""
    check_editing(hosted)
    aids = parameters.integers("attachmentIds")
    if not aids:
        raise invalid_parameter("attachmentIds", "the list of attachments is missing")
    results: list[dict[str, Any]] = []
    with hosted.store.transaction():
        row = row_of(hosted, layer, oid)
        attachments = hosted.attachments(layer)
        stamp = Stamp(generation=hosted.store.next_generation(hosted.clock.now_ms()), origin="")
        for aid in aids:
            known = attachments.by_aid(aid, row.gid)
            if known is None:
                error = {"code": 1010, "description": f"There is no attachment {aid}."}
                results.append({"objectId": aid, "success": False, "error": error})
                continue
            attachments.delete(known, stamp)
            results.append(_done(hosted, aid, known.gid))
    return {"deleteAttachmentResults": results}


def _known(hosted: Hosted, layer: Layer, oid: int, aid: int | None) -> Attachment:
    row = row_of(hosted, layer, oid)
    known = None if aid is None else hosted.attachments(layer).by_aid(aid, row.gid)
    if known is None:
        raise ServiceError(404, "Attachment not found.", f"feature {oid} has no attachment {aid}")
    return known


def _sent(hosted: Hosted, parameters: Parameters) -> tuple[str, str, bytes]:
    upload = parameters.text("uploadId")
    if upload:
        data = uploaded_bytes(hosted, upload)
        if data is None:
            raise invalid_parameter("uploadId", f"there is no committed upload {upload}")
        name = file_name(parameters.text("name") or upload)
        return name, mimetypes.guess_type(name)[0] or _KIND, data
    sent = parameters.file("attachment") or parameters.file("file")
    if sent is None:
        raise invalid_parameter("attachment", "the file part is missing")
    name, data = file_name(sent.filename), sent.path.read_bytes()
    _check(hosted, name, data)
    return name, sent.content_type or _KIND, data


def _check(hosted: Hosted, name: str, data: bytes) -> None:
    why = refusal_of(hosted, name, len(data))
    if why:
        raise ServiceError(400, "Unable to store attachment.", why)


def _done(hosted: Hosted, aid: int, gid: str) -> dict[str, Any]:
    return {"objectId": aid, "globalId": hosted.spelled(gid), "success": True}
