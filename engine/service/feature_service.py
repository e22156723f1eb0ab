"""The client of one feature service: each operation a sync needs, as the specification has it.

Sources: ArcGIS REST API, "Feature service", "Create replica", "Synchronize replica",
"Unregister replica", "Asynchronous operations", "Apply edits (feature service)", "Query (feature
service/layer)". Parameter names are sent as documented; answers are read tolerantly, because
versions of the server differ in spelling.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from engine.errors import (
    BadParameterError,
    NotAFeatureServiceError,
    ProtocolError,
    ReplicaNotFoundError,
    ServiceRefusedError,
)
from engine.layer_schema import JsonObject, LayerSchema, ServiceSchema
from engine.model import normalise_guid
from engine.service.session import Session, place, raise_error_in

POLL_FIRST_S = 0.2
POLL_LIMIT_S = 5.0
SMALL_ANSWER_BYTES = 256 * 1024  # an envelope is far smaller, so a larger answer is data

_DONE = frozenset({"completed", "completedwitherrors"})
_FAILED = frozenset({"failed", "esrijobfailed", "cancelled", "timedout"})
_REPLICA_MEMBERS = frozenset(
    {"replicaID", "responseType", "replicaServerGen", "layerServerGens", "layers", "edits"}
)

Listener = Callable[[str], None]


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
        except (ProtocolError, ServiceRefusedError) as error:
            if isinstance(error, ServiceRefusedError) and error.service_code in (403, 498, 499):
                raise
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
        self, form: Mapping[str, str], target: Path, on_status: Listener | None = None
    ) -> JsonObject:
        """Register a replica; returns the envelope, and the data is in ``target``.

        Not retried: after a lost answer the service may hold a replica nobody knows.
        """
        url = f"{self.url}/createReplica"
        await self._session.post_to_file(url, form, target)
        return await self._collect(_small_answer(target, url), url, target, on_status)

    async def download_changes(
        self, form: Mapping[str, str], target: Path, on_status: Listener | None = None
    ) -> JsonObject:
        """``synchronizeReplica`` without edits; returns the envelope, changes are in ``target``.

        Repeated on passing failures: asking again from the same generation loses nothing.
        """
        url = f"{self.url}/synchronizeReplica"
        await self._session.post_to_file(url, form, target, repeatable=True)
        return await self._collect(_small_answer(target, url), url, target, on_status)

    async def upload_edits(
        self,
        form: Mapping[str, str],
        edits: Path,
        target: Path,
        *,
        on_submitted: Callable[[str], Awaitable[None]] | None = None,
        on_status: Listener | None = None,
    ) -> JsonObject:
        """``synchronizeReplica`` with the edits in a file; the results are in ``target``.

        Never retried here: whether a lost call was carried out must be found out first.
        ``on_submitted`` is told the status URL before it is asked.
        """
        url = f"{self.url}/synchronizeReplica"
        answer = await self._session.post_file(url, form, "edits", edits)
        target.write_text(json.dumps(answer))
        status_url = _find(answer, "statusUrl")
        if status_url and on_submitted is not None:
            await on_submitted(status_url)
        return await self._collect(answer, url, target, on_status)

    async def _collect(
        self, answer: JsonObject | None, url: str, target: Path, on_status: Listener | None
    ) -> JsonObject:
        """Follow an answer to its data: wait for the job, fetch the result file.

        ``answer`` None means that the body was data already.
        """
        if answer is None:
            return {}
        status_url = _find(answer, "statusUrl")
        if status_url and not _find(answer, "resultUrl"):
            answer = await self.wait_for_job(status_url, on_status)
            target.write_text(json.dumps(answer))
        result_url = _find(answer, "resultUrl", "responseUrl", "URL")
        if result_url:
            await self._session.download(result_url, target)
            _small_answer(target, result_url)  # an expired file answers with an error object
        elif not _REPLICA_MEMBERS & answer.keys():
            raise ProtocolError(f"{place(url)} did not do what was asked")
        return answer

    async def wait_for_job(self, status_url: str, on_status: Listener | None = None) -> JsonObject:
        """Ask for a job's status until it has ended; returns its last answer.

        "Completed" without a result URL is still writing its file and is asked again, except when
        the job's response type says that there is no file.
        """
        pause, last = POLL_FIRST_S, ""
        empty_answers = 0
        while True:
            answer = await self._session.get(status_url)
            status = str(answer.get("status", ""))
            if status != last and on_status is not None:
                on_status(status)
            last = status
            folded = status.replace(" ", "").casefold()
            if folded in _FAILED:
                raise ServiceRefusedError(f"the job {place(status_url)} failed: {_reason(answer)}")
            if folded in _DONE:
                no_file = "noedits" in str(answer.get("responseType", "")).casefold()
                if _find(answer, "resultUrl") or no_file or empty_answers >= 10:
                    return answer
                empty_answers += 1
            await self._session.clock.sleep(pause)
            pause = min(POLL_LIMIT_S, pause * 1.5)

    async def unregister_replica(self, replica_id: str) -> None:
        """Unregister one replica. :exc:`ReplicaNotFoundError` if the service does not know it."""
        if normalise_guid(replica_id) is None:
            raise BadParameterError(f"{replica_id!r} is no replica id")  # "*" means all of them
        try:
            await self._session.post(
                f"{self.url}/unRegisterReplica", {"replicaID": replica_id}, repeatable=True
            )
        except ServiceRefusedError as error:
            if await self.has_replica(replica_id):
                raise
            raise ReplicaNotFoundError(
                f"{place(self.url)} has no replica {replica_id}",
                service_code=error.service_code,
                details=error.details,
                remedy="Nothing needs to be done: it is gone from the service",
            ) from error

    async def replicas(self) -> list[tuple[str, str]]:
        """(name, id) of the replicas this user may see."""
        answer = await self._session.get(f"{self.url}/replicas")
        found = answer.get("")
        if not isinstance(found, list):
            raise ProtocolError(f"{place(self.url)}/replicas is no list")
        return [
            (str(entry.get("replicaName", "")), str(entry.get("replicaID", "")))
            for entry in found
            if isinstance(entry, dict)
        ]

    async def has_replica(self, replica_id: str) -> bool:
        """Whether the service still lists the replica."""
        wanted = normalise_guid(replica_id)
        return any(normalise_guid(found) == wanted for _, found in await self.replicas())

    # --- rows -----------------------------------------------------------------------------------

    async def apply_edits(self, form: Mapping[str, str], edits: Path) -> list[JsonObject]:
        """Service-level ``applyEdits``; one object of results per layer. Never retried."""
        url = f"{self.url}/applyEdits"
        answer = await self._session.post_file(url, form, "edits", edits)
        results = answer.get("")
        if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
            raise ProtocolError(f"{place(url)} did not answer with results per layer")
        for result in results:
            raise_error_in(result, place(url))
        return results

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

    async def query_by_global_ids(
        self, layer: LayerSchema, global_ids: Sequence[str], out_sr: int
    ) -> list[JsonObject]:
        """The rows of those GlobalIDs as the service holds them now, all fields and geometry."""
        url = f"{self.url}/{layer.id}/query"
        quoted = ",".join(f"'{guid}'" for guid in global_ids)
        answer = await self._session.post(
            url,
            {
                "where": f"{layer.global_id_field} IN ({quoted})",
                "outFields": "*",
                "returnGeometry": "true",
                "returnZ": "true" if layer.has_z else "false",
                "returnM": "true" if layer.has_m else "false",
                "outSR": str(out_sr),
            },
            repeatable=True,
        )
        features = answer.get("features")
        if not isinstance(features, list):
            raise ProtocolError(f"{place(url)} did not answer with features")
        if answer.get("exceededTransferLimit") is True:
            raise ProtocolError(f"{place(url)} cut its answer to {len(features)} rows")
        return [f for f in features if isinstance(f, dict)]

    async def attachment_ids(self, layer_id: int, object_id: int) -> set[str]:
        """GlobalIDs of the attachments that one row has on the service."""
        answer = await self._session.get(f"{self.url}/{layer_id}/{object_id}/attachments")
        infos = answer.get("attachmentInfos")
        found = [i.get("globalId") for i in _list(infos) if isinstance(i, dict)]
        return {gid for gid in map(normalise_guid, found) if gid is not None}

    async def download_attachment(self, url: str, target: Path) -> int:
        """The bytes of an attachment; returns their number."""
        return await self._session.download(url, target)


def _service_url(url: str) -> str:
    url = url.strip().split("?")[0].rstrip("/")
    scheme = url.split("://")[0].casefold()
    if scheme not in ("http", "https") or "://" not in url:
        raise NotAFeatureServiceError(f"{url!r} is not an http or https URL")
    return url


def _find(answer: JsonObject, *names: str) -> str:
    """The first non-empty text among the members of those names, in any letter case."""
    folded = {key.casefold(): value for key, value in answer.items()}
    for name in names:
        value = folded.get(name.casefold())
        if isinstance(value, str) and value:
            return value
    return ""


def _small_answer(path: Path, url: str) -> JsonObject | None:
    """The answer in a file if it may be an envelope, None if it is data; raises its error."""
    if path.stat().st_size > SMALL_ANSWER_BYTES:
        return None
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        raise ProtocolError(f"{place(url)} answered with something that is not JSON") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"{place(url)} answered with a bare {type(value).__name__}")
    raise_error_in(value, place(url))
    return value


def _reason(answer: JsonObject) -> str:
    error = answer.get("error")
    if isinstance(error, dict):
        details = error.get("details")
        texts = [error.get("message") or error.get("description"), *_list(details)]
        return " ".join(str(t) for t in texts if t) or "no reason given"
    texts = [m.get("description") for m in _list(answer.get("messages")) if isinstance(m, dict)]
    return " ".join(str(t) for t in texts if t) or "no reason given"


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value] if value else []
