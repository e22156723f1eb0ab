"""Adding, replacing and deleting one attachment by GlobalID.

Source: ArcGIS REST API, "Sync and attachments" and the `attachments` parameter of "Apply
Edits": the bytes come as base64 `data`, or as the `uploadId` or the `url` of an earlier upload.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from .definition import Layer
from .guid import canonical
from .hosted import Hosted
from .problem import EditError
from .rows import Stamp
from .uploads import refusal_of, uploaded_bytes

_ADD_FAILED = 1008
_UPDATE_FAILED = 1009
_DELETE_FAILED = 1010

_NAME_LENGTH = 250


class AttachmentEdits:
    """The attachment edits of one session."""

    def __init__(self, hosted: Hosted, stamp: Stamp, reminted: Mapping[str, str]) -> None:
        self._hosted = hosted
        self._stamp = stamp
        self._reminted = reminted

    def add(self, layer: Layer, sent: Any) -> dict[str, Any]:
        """Add one attachment to a living row."""
        if not layer.has_attachments:
            raise EditError(_ADD_FAILED, f"{layer.name} has no attachments.")
        sent = _object(sent, _ADD_FAILED)
        gid = canonical(sent.get("globalId"))
        if gid is None:
            raise EditError(_ADD_FAILED, "The attachment has no globalId.")
        attachments = self._hosted.attachments(layer)
        known = attachments.by_gid(gid)
        if known is not None:
            if self._hosted.profile.repeated_add == "fail" or not self._stamp.origin:
                raise EditError(_ADD_FAILED, f"An attachment with GlobalID {gid} exists already.")
            return self._done(known.aid, gid)
        parent = canonical(sent.get("parentGlobalId"))
        parent = self._reminted.get(parent, parent) if parent else None
        if parent is None or self._hosted.rows(layer).by_gid(parent) is None:
            raise EditError(_ADD_FAILED, "The feature of the attachment does not exist.")
        data = self._data(sent, _ADD_FAILED)
        if data is None:
            raise EditError(_ADD_FAILED, "The attachment has neither data nor uploadId.")
        name = file_name(sent.get("name"))
        self._check(name, data, _ADD_FAILED)
        aid = attachments.add(
            gid=gid,
            parent_gid=parent,
            name=name,
            content_type=str(sent.get("contentType") or "application/octet-stream"),
            keywords=str(sent.get("keywords") or ""),
            data=data,
            stamp=self._stamp,
        )
        return self._done(aid, gid)

    def update(self, layer: Layer, sent: Any) -> dict[str, Any]:
        """Replace the bytes or the name of one attachment."""
        sent = _object(sent, _UPDATE_FAILED)
        gid = canonical(sent.get("globalId"))
        attachments = self._hosted.attachments(layer)
        known = None if gid is None else attachments.by_gid(gid)
        if known is None:
            raise EditError(_UPDATE_FAILED, "The attachment to update does not exist.")
        name = file_name(sent["name"]) if sent.get("name") else known.name
        data = self._data(sent, _UPDATE_FAILED)
        self._check(name, data or b"", _UPDATE_FAILED)
        attachments.update(
            known,
            name=name,
            content_type=str(sent.get("contentType") or known.content_type),
            keywords=str(sent.get("keywords", known.keywords)),
            data=data,
            stamp=self._stamp,
        )
        return self._done(known.aid, known.gid)

    def delete(self, layer: Layer, key: Any) -> dict[str, Any]:
        """Delete one attachment."""
        gid = canonical(key)
        attachments = self._hosted.attachments(layer)
        known = None if gid is None else attachments.by_gid(gid)
        if known is None:
            raise EditError(_DELETE_FAILED, "The attachment to delete does not exist.")
        attachments.delete(known, self._stamp)
        return self._done(known.aid, known.gid)

    def _check(self, name: str, data: bytes, code: int) -> None:
        why = refusal_of(self._hosted, name, len(data))
        if why:
            raise EditError(code, why)

    def _data(self, sent: Mapping[str, Any], code: int) -> bytes | None:
        upload = sent.get("uploadId")
        if not upload and "/uploads/" in str(sent.get("url")):
            upload = str(sent["url"]).rstrip("/").rsplit("/", 1)[-1]
        if upload:
            data = uploaded_bytes(self._hosted, str(upload))
            if data is None:
                raise EditError(code, f"There is no committed upload {upload}.")
            return data
        text = sent.get("data")
        if text is None:
            return None
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise EditError(code, "The data of the attachment is not base64.") from None

    def _done(self, aid: int, gid: str) -> dict[str, Any]:
        return {"objectId": aid, "globalId": self._hosted.spelled(gid), "success": True}


def _object(sent: Any, code: int) -> Mapping[str, Any]:
    if not isinstance(sent, dict):
        raise EditError(code, "The edit is not an attachment object.")
    return sent


def file_name(name: Any) -> str:
    """A file name without path characters, as long as the name column."""
    text = str(name or "attachment").replace("\\", "/").rsplit("/", 1)[-1]
    return text[:_NAME_LENGTH] or "attachment"
