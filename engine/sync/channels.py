"""The two ways edits go up, behind one interface.

``applyEdits`` at service level (its answers, partial updates and repeated adds are documented), and
the upload of ``synchronizeReplica`` where the first is not offered or not wanted (ArcGIS REST API,
"Apply edits (feature service)", "Synchronize replica"). A channel writes the wire form of a batch,
sends it, and reads what the service says of each edit; what that means is decided elsewhere.
"""

import asyncio
import base64
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from engine.layer_schema import ServiceSchema
from engine.model import EditOperation, SyncModel, normalise_guid
from engine.service.feature_service import FeatureService
from engine.service.operation import follow
from engine.service.replica_file import read_results
from engine.sync.parameters import PushChannel

Submitted = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentData:
    """An attachment's metadata as it goes up, and where its bytes come from.

    ``chunks`` is called when the wire file is written; chunks may be of any length.
    """

    metadata: Mapping[str, object]
    chunks: Callable[[], Iterator[bytes]]


@dataclass(slots=True, kw_only=True)
class LayerEdits:
    """The edits of one layer in one batch, in wire form; deletes are GlobalIDs."""

    layer_id: int
    adds: list[Mapping[str, object]] = field(default_factory=list)
    updates: list[Mapping[str, object]] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    attachment_adds: list[AttachmentData] = field(default_factory=list)
    attachment_updates: list[AttachmentData] = field(default_factory=list)
    attachment_deletes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditAnswer:
    """What the service said of one edit. ``global_id`` None: it named the edit by its place only.

    ``position`` counts from 0 within (layer, kind, operation), in the order answered.
    """

    layer_id: int
    is_attachment: bool
    operation: EditOperation
    position: int
    global_id: str | None
    object_id: int | None
    success: bool
    code: int | None
    description: str


_RESULTS = re.compile(r"(add|update|delete)(features?|attachments?|)results?", re.IGNORECASE)
_OPERATIONS = {
    "add": EditOperation.ADD,
    "update": EditOperation.UPDATE,
    "delete": EditOperation.DELETE,
}


class Channel(ABC):
    """One way up. ``name`` goes into the journal."""

    name: str

    def __init__(self, service: FeatureService) -> None:
        self._service = service

    @abstractmethod
    def write(self, stream: BinaryIO, edits: Sequence[LayerEdits]) -> None:
        """Write the wire form of a batch; attachments are encoded as they are read."""

    @abstractmethod
    async def send(
        self, spool: Path, target: Path, *, rollback: bool, submitted: Submitted
    ) -> list[EditAnswer]:
        """Send a written batch once and give the service's answers. ``target`` is scratch."""

    async def resume(self, status_url: str, target: Path) -> list[EditAnswer]:
        """The answers to a call that the service made a job of. ``target`` is scratch.

        :exc:`ServiceRefusedError` if the job failed, :exc:`ProtocolError` if it is forgotten.
        """
        answer = {"statusUrl": status_url}
        session = self._service.session
        await follow(session, answer, status_url, target, None, needs_data=False)
        return await asyncio.to_thread(_answers_in_file, target)


class ApplyEditsChannel(Channel):
    """Service-level ``applyEdits`` with ``useGlobalIds=true``."""

    name = PushChannel.APPLY_EDITS.value

    def write(self, stream: BinaryIO, edits: Sequence[LayerEdits]) -> None:
        def features(layer: LayerEdits) -> Iterator[bytes]:
            yield from _member("adds", map(_json, layer.adds), first=True)
            yield from _member("updates", map(_json, layer.updates))
            yield from _member("deletes", map(_json, layer.deletes))

        _write(stream, edits, features)

    async def send(
        self, spool: Path, target: Path, *, rollback: bool, submitted: Submitted
    ) -> list[EditAnswer]:
        form = {
            "useGlobalIds": "true",
            "rollbackOnFailure": "true" if rollback else "false",
            "returnEditResults": "true",
        }
        return list(_of_layers(await self._service.apply_edits(form, spool)))


class SynchronizeReplicaChannel(Channel):
    """The upload direction of ``synchronizeReplica``."""

    name = PushChannel.SYNCHRONIZE_REPLICA.value

    def __init__(
        self,
        service: FeatureService,
        schema: ServiceSchema,
        *,
        replica_id: str,
        sync_model: SyncModel,
        generations: Mapping[int, int],
    ) -> None:
        super().__init__(service)
        self._schema = schema
        self._replica_id = replica_id
        self._sync_model = sync_model
        self._generations = dict(generations)

    def write(self, stream: BinaryIO, edits: Sequence[LayerEdits]) -> None:
        def features(layer: LayerEdits) -> Iterator[bytes]:
            yield b'"features":{'
            yield from _member("adds", map(_json, layer.adds), first=True)
            yield from _member("updates", map(_json, layer.updates))
            yield from _member("deletes", map(_json, layer.deletes))
            yield b"}"

        _write(stream, edits, features)

    async def send(
        self, spool: Path, target: Path, *, rollback: bool, submitted: Submitted
    ) -> list[EditAnswer]:
        form = {
            "replicaID": self._replica_id,
            "syncDirection": "upload",
            "transportType": "esriTransportTypeUrl",
            "dataFormat": "json",
            "returnIdsForAdds": "true",
            "async": "true" if self._schema.supports_async else "false",
        }
        if self._schema.supports_rollback:
            form["rollbackOnFailure"] = "true" if rollback else "false"
        if self._sync_model is SyncModel.PER_LAYER:
            form["syncLayers"] = json.dumps(
                [
                    {"id": layer_id, "serverGen": generation, "syncDirection": "upload"}
                    for layer_id, generation in self._generations.items()
                ]
            )
        await self._service.upload_edits(form, spool, target, on_submitted=submitted)
        return await asyncio.to_thread(_answers_in_file, target)


def _write(
    stream: BinaryIO,
    edits: Sequence[LayerEdits],
    features: Callable[[LayerEdits], Iterator[bytes]],
) -> None:
    stream.write(b"[")
    for number, layer in enumerate(edits):
        stream.write(b'%s{"id":%d' % (b"," if number else b"", layer.layer_id))
        if layer.adds or layer.updates or layer.deletes:
            stream.write(b",")
            for piece in features(layer):
                stream.write(piece)
        if layer.attachment_adds or layer.attachment_updates or layer.attachment_deletes:
            stream.write(b',"attachments":{')
            for piece in _member("adds", map(_attachment, layer.attachment_adds), first=True):
                stream.write(piece)
            for piece in _member("updates", map(_attachment, layer.attachment_updates)):
                stream.write(piece)
            for piece in _member("deletes", map(_json, layer.attachment_deletes)):
                stream.write(piece)
            stream.write(b"}")
        stream.write(b"}")
    stream.write(b"]")


def _json(value: object) -> Iterator[bytes]:
    yield json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _attachment(attachment: AttachmentData) -> Iterator[bytes]:
    metadata = next(_json(attachment.metadata))
    yield metadata[:-1] + (b',"data":"' if attachment.metadata else b'"data":"')
    rest = b""
    for chunk in attachment.chunks():
        # Base64 of three bytes each can be joined; what is left over goes with the next chunk.
        chunk = rest + chunk
        whole = len(chunk) - len(chunk) % 3
        rest = chunk[whole:]
        yield base64.b64encode(chunk[:whole])
    yield base64.b64encode(rest) + b'"}'


def _member(name: str, items: Iterator[Iterator[bytes]], *, first: bool = False) -> Iterator[bytes]:
    """``"name":[item,item]`` with a comma before it unless it is the object's first member."""
    yield b'%s"%s":[' % (b"" if first else b",", name.encode())
    for number, item in enumerate(items):
        if number:
            yield b","
        yield from item
    yield b"]"


def _answers_in_file(target: Path) -> list[EditAnswer]:
    """Edit results wherever in a result file a server may have put them."""
    groups: dict[tuple[int, bool, str], list[object]] = {}
    for result in read_results(target):
        match = _RESULTS.fullmatch(result.list_name)
        if match is not None and result.layer_id is not None:
            is_attachment = result.of_attachments or match[2].casefold().startswith("attachment")
            group = (result.layer_id, is_attachment, match[1].casefold())
            groups.setdefault(group, []).append(result.value)
    answers: list[EditAnswer] = []
    for (layer_id, is_attachment, operation), entries in groups.items():
        answers += _of_entries(layer_id, _OPERATIONS[operation], entries, is_attachment)
    return answers


def _of_layers(results: Iterable[Mapping[str, object]]) -> Iterator[EditAnswer]:
    """The answers in objects of results, one for each layer; attachments have theirs inside."""
    for result in results:
        layer_id = result.get("id")
        if isinstance(layer_id, int):
            folded = {name.casefold(): value for name, value in result.items()}
            attachments = folded.get("attachments") or folded.get("attachmentresults")
            for members, is_attachment in ((result, False), (attachments, True)):
                if isinstance(members, dict):
                    yield from _of_members(layer_id, members, is_attachment)


def _of_members(
    layer_id: int, results: Mapping[str, object], is_attachment: bool
) -> Iterator[EditAnswer]:
    for name, operation in _OPERATIONS.items():
        entries = next((v for k, v in results.items() if k.casefold() == f"{name}results"), None)
        if isinstance(entries, list):
            yield from _of_entries(layer_id, operation, entries, is_attachment)


def _of_entries(
    layer_id: int, operation: EditOperation, entries: Sequence[object], is_attachment: bool
) -> Iterator[EditAnswer]:
    for position, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield _answer(layer_id, operation, position, entry, is_attachment)


def _answer(
    layer_id: int,
    operation: EditOperation,
    position: int,
    entry: Mapping[str, object],
    is_attachment: bool,
) -> EditAnswer:
    error = entry.get("error")
    members = error if isinstance(error, dict) else {"description": error}
    code = members.get("code", members.get("extendedCode"))
    object_id = entry.get("objectId")
    return EditAnswer(
        layer_id=layer_id,
        is_attachment=is_attachment,
        operation=operation,
        position=position,
        global_id=normalise_guid(entry.get("globalId")),
        object_id=object_id if isinstance(object_id, int) and object_id >= 0 else None,
        success=entry.get("success") is True and not error,
        code=code if isinstance(code, int) else None,
        description=str(members.get("description") or members.get("message") or ""),
    )
