"""The two ways edits go up, behind one interface.

``applyEdits`` at service level (its answers, partial updates and repeated adds are documented), and
the upload of ``synchronizeReplica`` where the first is not offered or not wanted (ArcGIS REST API,
"Apply edits (feature service)", "Synchronize replica"). A channel sends the wire form of a batch,
and reads what the service says of each edit; what that means is decided elsewhere.
"""

import asyncio
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.layer_schema import LayerSchema, ServiceSchema
from engine.model import EditOperation, SyncModel, normalise_guid
from engine.service.feature_service import FeatureService
from engine.service.operation import follow
from engine.service.replica_file import read_results
from engine.sync.parameters import PushChannel
from native.encoder import Form

Submitted = Callable[[str], Awaitable[None]]


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


ASYNC_BYTES = 64 * 1024
"""From this size on a call is made a job of where the service offers that: an answer that is lost
meanwhile can be had again. A smaller call is one request instead of four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What is sent: the wire form of a batch, or the id of the upload that holds it.

    ``target`` is scratch; ``submitted`` is told the status URL of a job before it is asked.
    """

    spool: Path
    target: Path
    submitted: Submitted
    upload: str = ""
    rollback: bool = False

    @property
    def is_large(self) -> bool:
        return bool(self.upload) or self.spool.stat().st_size >= ASYNC_BYTES

    @property
    def inline(self) -> Path | None:
        return None if self.upload else self.spool

    @property
    def upload_form(self) -> dict[str, str]:
        if not self.upload:
            return {}
        return {"editsUploadId": self.upload, "editsUploadFormat": "json"}


class Channel(ABC):
    """One way up. ``name`` goes into the journal; ``form`` is how its list of edits looks."""

    name: str
    form: Form

    def __init__(self, service: FeatureService, schema: ServiceSchema) -> None:
        self._service = service
        self._schema = schema

    @property
    @abstractmethod
    def takes_uploads(self) -> bool:
        """Whether edits may be uploaded first and named by the upload's id."""

    def takes_attachments_by_upload(self, layer: LayerSchema) -> bool:
        """Whether an attachment may name an upload with its data."""
        return False

    @abstractmethod
    async def send(self, sending: Sending) -> list[EditAnswer]:
        """Send a written batch once and give the service's answers."""

    @abstractmethod
    async def resume(self, status_url: str, target: Path) -> list[EditAnswer]:
        """The answers to a call that the service made a job of. ``target`` is scratch.

        :exc:`ServiceRefusedError` if the job failed, :exc:`ProtocolError` if it is forgotten.
        """


class ApplyEditsChannel(Channel):
    """Service-level ``applyEdits`` with ``useGlobalIds=true``."""

    name = PushChannel.APPLY_EDITS.value
    form = Form.APPLY

    @property
    def takes_uploads(self) -> bool:
        return self._schema.supports_uploads and self._schema.supports_edits_upload

    def takes_attachments_by_upload(self, layer: LayerSchema) -> bool:
        return layer.resource.get("supportsAttachmentsByUploadId") is True

    async def send(self, sending: Sending) -> list[EditAnswer]:
        form = {
            "useGlobalIds": "true",
            "rollbackOnFailure": "true" if sending.rollback else "false",
            **sending.upload_form,
        }
        if self._schema.supports_async_edits and sending.is_large:
            form["async"] = "true"
        results = await self._service.apply_edits(
            form, sending.inline, on_submitted=sending.submitted
        )
        return list(_of_layers(results))

    async def resume(self, status_url: str, target: Path) -> list[EditAnswer]:
        return list(_of_layers(await self._service.job_results(status_url)))


class SynchronizeReplicaChannel(Channel):
    """The upload direction of ``synchronizeReplica``."""

    name = PushChannel.SYNCHRONIZE_REPLICA.value
    form = Form.SYNC

    def __init__(
        self,
        service: FeatureService,
        schema: ServiceSchema,
        *,
        replica_id: str,
        sync_model: SyncModel,
        generations: Mapping[int, int],
        reconcile_branch_version: bool = False,
    ) -> None:
        super().__init__(service, schema)
        self._reconcile = reconcile_branch_version
        self._replica_id = replica_id
        self._sync_model = sync_model
        self._generations = dict(generations)

    @property
    def takes_uploads(self) -> bool:
        return self._schema.supports_uploads

    async def send(self, sending: Sending) -> list[EditAnswer]:
        is_job = self._schema.supports_async and sending.is_large
        form = {
            "replicaID": self._replica_id,
            "syncDirection": "upload",
            "transportType": f"esriTransportType{'Url' if is_job else 'Embedded'}",
            "dataFormat": "json",
            "returnIdsForAdds": "true",
            "async": "true" if is_job else "false",
            **sending.upload_form,
        }
        if self._reconcile:
            form["reconcileBranchVersion"] = "true"
        if self._schema.supports_rollback:
            form["rollbackOnFailure"] = "true" if sending.rollback else "false"
        if self._sync_model is SyncModel.PER_LAYER:
            form["syncLayers"] = json.dumps(
                [
                    {"id": layer_id, "serverGen": generation, "syncDirection": "upload"}
                    for layer_id, generation in self._generations.items()
                ],
                separators=(",", ":"),
            )
        await self._service.upload_edits(
            form, sending.inline, sending.target, on_submitted=sending.submitted
        )
        return await asyncio.to_thread(_answers_in_file, sending.target)

    async def resume(self, status_url: str, target: Path) -> list[EditAnswer]:
        answer = {"statusUrl": status_url}
        session = self._service.session
        await follow(session, answer, status_url, target, None, needs_data=False)
        return await asyncio.to_thread(_answers_in_file, target)


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
