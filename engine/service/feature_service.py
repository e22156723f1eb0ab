"""The client of one feature service: each operation a sync needs, as the specification has it.

Sources: ArcGIS REST API, "Feature service", "Create replica", "Synchronize replica",
"Unregister replica", "Asynchronous operations", "Apply edits (feature service)", "Query (feature
service/layer)". Parameter names are sent as documented; answers are read tolerantly, because
versions of the server differ in spelling.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from engine.errors import (
    AuthenticationError,
    BadParameterError,
    NotAFeatureServiceError,
    PermissionDeniedError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceError,
    ServiceRefusedError,
    TransientError,
)
from engine.layer_schema import JsonObject, LayerSchema, ServiceSchema
from engine.model import Envelope, SpatialReference, normalise_guid
from engine.service import operation
from engine.service.answer import place, raise_error_in
from engine.service.download import download
from engine.service.operation import Listener
from engine.service.session import Session

NO_SUCH_LAYER = (400, 404)
"""The codes of the error that a call of a layer ends in which the service does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a service said of the changes that it sent. ``is_resumed``: it said so in an earlier
    run, and may have more by now."""

    envelope: JsonObject
    is_resumed: bool = False


class FeatureService:
    """One feature service at ``url``, spoken to through ``session``."""

    def __init__(self, url: str, session: Session) -> None:
        self.url = _service_url(url)
        self._session = session

    @property
    def session(self) -> Session:
        return self._session

    async def load(self) -> ServiceSchema:
        """The service resource. :exc:`NotAFeatureServiceError` if the URL is something else."""
        try:
            resource = await self._session.get(self.url)
        except (AuthenticationError, PermissionDeniedError):
            raise
        except (ProtocolError, ServiceRefusedError) as error:
            raise NotAFeatureServiceError(
                f"{place(self.url)} is no feature service: {error.message}"
            ) from error
        if not isinstance(resource.get("layers"), list) or "capabilities" not in resource:
            raise NotAFeatureServiceError(f"{place(self.url)} is no feature service")
        return ServiceSchema.from_json(resource, self.url)

    async def layer(self, layer_id: int, service: ServiceSchema) -> LayerSchema:
        """The resource of one layer or table."""
        if layer_id not in service.layer_ids:
            known = ", ".join(map(str, service.layer_ids))
            raise BadParameterError(
                f"{place(self.url)} has no layer {layer_id}", remedy=f"Its layers are {known}"
            )
        resource = await self._session.get(f"{self.url}/{layer_id}")
        if resource.get("id") != layer_id:
            raise ProtocolError(f"{place(self.url)}/{layer_id} is not the layer resource")
        return LayerSchema.from_json(resource, service.resource)

    async def layers(self, layer_ids: Sequence[int], service: ServiceSchema) -> list[LayerSchema]:
        """The resources of those layers and tables, in the order asked for."""
        return [await self.layer(layer_id, service) for layer_id in layer_ids]

    # --- replicas -------------------------------------------------------------------------------

    async def create_replica(
        self,
        form: Mapping[str, str],
        target: Path,
        on_status: Listener | None = None,
        *,
        request: str = "",
        on_answer: Callable[[JsonObject], Awaitable[None]] | None = None,
    ) -> JsonObject:
        """Register a replica; returns the envelope, and the data is in ``target``.

        Not retried: after a lost answer the service may hold a replica nobody knows. ``on_answer``
        is told the answer before it is followed to the data; with it and the ``request``, which
        names what was asked for, :meth:`created_replica` goes on in another process.
        """
        url = f"{self.url}/createReplica"
        await self._session.post_to_file(url, form, target)
        answer = operation.small_answer(target, url)
        if answer is not None and on_answer is not None:
            await on_answer(answer)
        return await operation.follow(
            self._session, answer, url, target, on_status, needs_data=True, request=request
        )

    async def created_replica(
        self, answer: JsonObject, target: Path, request: str, on_status: Listener | None = None
    ) -> JsonObject | None:
        """The envelope of a replica that was asked for by an earlier run, its data in ``target``.

        None if the service does not have the data any more.
        """
        kept = await operation.kept_answer(self._session, target, request)
        if kept is not None:
            return kept
        url = f"{self.url}/createReplica"
        try:
            return await operation.follow(
                self._session, answer, url, target, on_status, needs_data=True, request=request
            )
        except (TransientError, AuthenticationError):
            raise
        except ServiceError:
            return None

    async def download_changes(
        self,
        form: Mapping[str, str],
        target: Path,
        on_status: Listener | None = None,
        *,
        sent: int = 0,
    ) -> Fetched:
        """``synchronizeReplica`` without edits; the changes are in ``target``.

        Repeated on passing failures: asking again from the same generation loses nothing. What an
        earlier run has fetched of the same changes is gone on with, until the caller discards it;
        but not if the device has ``sent`` more since, as a replica is not told of its own edits.
        """
        return await self._fetch(f"{self.url}/synchronizeReplica", form, target, on_status, sent)

    async def extract_changes(
        self,
        form: Mapping[str, str],
        target: Path,
        on_status: Listener | None = None,
        *,
        sent: int = 0,
    ) -> Fetched:
        """``extractChanges``: what has changed, without a replica. As :meth:`download_changes`."""
        return await self._fetch(f"{self.url}/extractChanges", form, target, on_status, sent)

    async def _fetch(
        self,
        url: str,
        form: Mapping[str, str],
        target: Path,
        on_status: Listener | None,
        sent: int,
    ) -> Fetched:
        words = json.dumps([url, sorted(form.items()), sent])
        request = hashlib.sha256(words.encode()).hexdigest()
        kept = await operation.kept_answer(self._session, target, request)
        if kept is not None:
            return Fetched(envelope=kept, is_resumed=True)
        await self._session.post_to_file(url, form, target, repeatable=True)
        answer = await asyncio.to_thread(operation.small_answer, target, url)
        envelope = await operation.follow(
            self._session, answer, url, target, on_status, needs_data=True, request=request
        )
        return Fetched(envelope=envelope)

    async def upload_edits(
        self,
        form: Mapping[str, str],
        edits: Path | None,
        target: Path,
        *,
        on_submitted: Callable[[str], Awaitable[None]] | None = None,
        on_status: Listener | None = None,
    ) -> JsonObject:
        """``synchronizeReplica`` with the edits in a file; the results are in ``target``.

        Without a file the form names an upload (``editsUploadId``).
        Never retried here: whether a lost call was carried out must be found out first. A refusal
        (:exc:`ServiceRefusedError`) means that the service did not take the call; results that
        cannot be had of a call that it took are a :exc:`ProtocolError`. ``on_submitted`` is told
        the status URL before it is asked.
        """
        url = f"{self.url}/synchronizeReplica"
        answer = await self._post_edits(url, form, edits)
        await asyncio.to_thread(target.write_text, json.dumps(answer))
        status_url = operation.link(answer, url, "statusUrl")
        if status_url and on_submitted is not None:
            await on_submitted(status_url)
        return await self._follow(answer, url, target, on_status, needs_data=False)

    async def _post_edits(
        self, url: str, form: Mapping[str, str], edits: Path | None
    ) -> JsonObject:
        if edits is None:
            return await self._session.post(url, form, is_long=True)
        return await self._session.post_file(url, form, "edits", edits)

    async def _follow(
        self,
        answer: JsonObject | None,
        url: str,
        target: Path,
        on_status: Listener | None,
        *,
        needs_data: bool,
    ) -> JsonObject:
        return await operation.follow(
            self._session, answer, url, target, on_status, needs_data=needs_data
        )

    async def wait_for_job(
        self, status_url: str, on_status: Listener | None = None, *, needs_result: bool = True
    ) -> JsonObject:
        """Ask for a job's status until it has ended; see :func:`operation.wait_for_job`."""
        return await operation.wait_for_job(
            self._session, status_url, on_status, needs_result=needs_result
        )

    async def unregister_replica(self, replica_id: str) -> None:
        """Unregister one replica. :exc:`ReplicaNotFoundError` if the service does not know it."""
        if normalise_guid(replica_id) is None:
            raise BadParameterError(f"{replica_id!r} is no replica id")  # "*" means all of them
        url = f"{self.url}/unRegisterReplica"
        try:
            answer = await self._session.post(url, {"replicaID": replica_id}, repeatable=True)
            if answer.get("success") is not True and await self.has_replica(replica_id):
                raise ProtocolError(f"{place(url)} did not do what was asked")
        except ServiceRefusedError as error:
            if await self.has_replica(replica_id):
                raise
            raise ReplicaNotFoundError(
                f"{place(self.url)} has no replica {replica_id}",
                service_code=error.service_code,
                details=error.details,
                remedy="Nothing needs to be done: it is gone from the service",
            ) from error

    async def register_replica(self, form: Mapping[str, str], like: str) -> JsonObject:
        """Register a replica with the definition of the replica ``like``, for data that is here.

        Returns its envelope; there is no data ("Create replica", ``replicaOptions``). Not retried.
        """
        url = f"{self.url}/createReplica"
        options = json.dumps({"refReplicaId": like})
        return await self._session.post(url, {**form, "replicaOptions": options, "async": "false"})

    async def knows_replica(self, replica_id: str) -> bool:
        """Whether the replica is registered: by its own resource, or else by the list."""
        try:
            info = await self._session.get(f"{self.url}/replicas/{replica_id.strip('{}')}")
        except (AuthenticationError, PermissionDeniedError):
            raise
        except (ProtocolError, ServiceRefusedError):
            info = {}
        wanted = normalise_guid(replica_id)
        if wanted is not None and normalise_guid(info.get("replicaID")) == wanted:
            return True
        return await self.has_replica(replica_id)

    async def replicas(self) -> list[tuple[str, str]]:
        """(name, id) of the replicas this user may see."""
        answer = await self._session.get(f"{self.url}/replicas")
        entries = answer.get("")
        found: list[tuple[str, str]] = []
        for entry in entries if isinstance(entries, list) else [None]:
            # What is not understood must not look like a replica that is gone.
            if not isinstance(entry, dict) or not isinstance(entry.get("replicaID"), str):
                raise ProtocolError(f"{place(self.url)}/replicas is no list of replicas")
            found.append((str(entry.get("replicaName", "")), entry["replicaID"]))
        return found

    async def has_replica(self, replica_id: str) -> bool:
        """Whether the service still lists the replica."""
        wanted = normalise_guid(replica_id)
        return any(normalise_guid(found) == wanted for _, found in await self.replicas())

    # --- rows -----------------------------------------------------------------------------------

    async def apply_edits(
        self,
        form: Mapping[str, str],
        edits: Path | None,
        *,
        on_submitted: Callable[[str], Awaitable[None]] | None = None,
    ) -> list[JsonObject]:
        """Service-level ``applyEdits``; one object of results per layer. Never retried.

        Without a file the form names an upload (``editsUploadId``). An error of a layer is the
        call's error unless another layer's edits were carried out. Empty: it was taken, and nothing
        is told of its edits. ``on_submitted`` is told the status URL of an asynchronous call.
        """
        url = f"{self.url}/applyEdits"
        answer = await self._post_edits(url, form, edits)
        status_url = operation.link(answer, url, "statusUrl")
        if not status_url:
            return _results_per_layer(answer, url)
        if on_submitted is not None:
            await on_submitted(status_url)
        return await self.job_results(status_url)

    async def job_results(self, status_url: str) -> list[JsonObject]:
        """The results of an asynchronous ``applyEdits``.

        :exc:`ServiceRefusedError` if the job failed, :exc:`ProtocolError` if its results cannot be
        had.
        """
        answer = await self.wait_for_job(status_url, needs_result=False)
        body = await operation.result_of_job(self._session, answer, status_url)
        return _results_per_layer(body, status_url)

    async def count(self, layer_id: int, form: Mapping[str, str]) -> int:
        """How many rows a query would give."""
        url = f"{self.url}/{layer_id}/query"
        answer = await self._session.post(
            url, {"where": "1=1", **form, "returnCountOnly": "true"}, repeatable=True
        )
        count = answer.get("count")
        if not isinstance(count, int):
            raise ProtocolError(f"{place(url)} did not answer with a count")
        return count

    async def extent(self, layer_id: int, out_sr: SpatialReference) -> Envelope | None:
        """Where a layer's rows lie, in ``out_sr``; None if there are none, or it cannot tell."""
        url = f"{self.url}/{layer_id}/query"
        form = {"where": "1=1", "returnExtentOnly": "true", "outSR": wkid_text(out_sr)}
        try:
            answer = await self._session.post(url, form, repeatable=True)
        except (AuthenticationError, PermissionDeniedError):
            raise
        except (ProtocolError, ServiceRefusedError):
            return None  # an older service: it knows no such query
        extent = answer.get("extent")
        try:
            found = Envelope.from_json(extent if isinstance(extent, dict) else {})
        except ProtocolError:
            return None
        reference = found.spatial_reference
        return found if reference is None or reference.same_as(out_sr) else None

    async def download_attachment(self, url: str, target: Path) -> int:
        """The bytes of an attachment; returns their number.

        What an earlier run has fetched of them is gone on with, until the caller discards it.
        """
        whole_url = urljoin(f"{self.url}/", url)
        return await download(self._session, whole_url, target, memo={}, is_packable=False)


def wkid_text(reference: SpatialReference) -> str:
    """A spatial reference as a parameter: its number, or JSON when it has none."""
    return str(reference.wkid) if reference.wkid else json.dumps(reference.to_json())


def _service_url(url: str) -> str:
    url = url.strip().split("?")[0].rstrip("/")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.casefold() not in ("http", "https"):
        raise NotAFeatureServiceError(f"{place(url)!r} is not an http or https URL")
    if "@" in rest.split("/")[0]:
        raise NotAFeatureServiceError(
            f"the URL {place(url)} was given with credentials in it",
            remedy="Leave user and password out of the URL",
        )
    return url


def _results_per_layer(answer: JsonObject, url: str) -> list[JsonObject]:
    """The results in an answer of ``applyEdits``: a bare list, or one beside their moment."""
    results = answer.get("", answer.get("editResults"))
    if answer.get("success") is True and results is None:
        return []
    if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
        raise ProtocolError(f"{place(url)} did not answer with results per layer")
    if not any(_has_results(result) for result in results):
        for result in results:
            raise_error_in(result, place(url))
    return results


def _has_results(result: JsonObject) -> bool:
    return any(name.casefold().endswith("results") for name in result)
