"""synchronizeReplica: take a client's edits, give it what has changed.

Source: ArcGIS REST API, "Synchronize Replica", "Response type for sync operations",
"RollbackOnFailure and sync models".
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from . import result_file
from .changes import Window
from .create_replica import check_sync, generations_of, write_head
from .edits import EditSession
from .exchange import (
    Asked,
    Delivery,
    Outcome,
    check_async,
    check_json,
    deliver,
    deliver_failure,
)
from .export import Exporter, LayerResults
from .hosted import Actor, Hosted
from .parameters import Parameters
from .problem import ServiceError, invalid_parameter
from .replica import Replica, Replicas
from .uploads import uploaded_bytes

_DIRECTIONS = ("bidirectional", "upload", "download", "snapshot")
_FAILED = "Unable to synchronize replica."


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSync:
    """What is to happen to one layer; `since` is None when nothing is downloaded."""

    layer_id: int
    direction: str
    since: int | None

    @property
    def uploads(self) -> bool:
        return self.direction in ("bidirectional", "upload")

    @property
    def downloads(self) -> bool:
        return self.direction in ("bidirectional", "download")


def synchronize_replica(hosted: Hosted, actor: Actor, asked: Asked) -> Delivery:
    """Answer one synchronizeReplica request."""
    check_sync(hosted)
    check_async(hosted, asked)
    check_json(asked)
    try:
        with hosted.store.transaction():
            outcome = _Synchronization(hosted, actor, asked).run()
            hosted.fail_if_told()
    except ServiceError as error:
        return deliver_failure(hosted, asked, "synchronizeReplica", error)
    return deliver(hosted, asked, "synchronizeReplica", outcome)


def find_replica(hosted: Hosted, actor: Actor, replica_id: str) -> Replica:
    """The replica of that id; ServiceError when it is not registered, or another user's."""
    replica = Replicas(hosted.store).find(replica_id) if replica_id else None
    if replica is None:
        raise ServiceError(
            hosted.profile.unknown_replica_code,
            "Invalid or missing input parameters.",
            f"replica {replica_id} does not exist",
        )
    if not actor.may_see(replica.owner):
        raise ServiceError(403, "You do not have permissions to access this replica.")
    return replica


class _Synchronization:
    def __init__(self, hosted: Hosted, actor: Actor, asked: Asked) -> None:
        self._hosted = hosted
        self._actor = actor
        self._asked = asked
        self._replica = find_replica(hosted, actor, asked.parameters.text("replicaID"))
        self._plan = _read_plan(hosted, self._replica, asked.parameters)
        self._results: dict[int, LayerResults] = {}
        self._has_errors = False

    def run(self) -> Outcome:
        replica = self._replica
        edits = self._edits()
        if edits and any(step.uploads for step in self._plan.values()):
            self._upload(edits)
        generation = self._hosted.store.generation
        for step in self._plan.values():
            if step.direction != "upload":
                replica.generations[str(step.layer_id)] = generation
        replica.last_sync_ms = self._hosted.clock.now_ms()
        outcome = self._write()
        replicas = Replicas(self._hosted.store)
        if self._asked.parameters.flag("closeReplica"):
            replicas.remove(replica)
        else:
            replicas.save(replica)
        return outcome

    def _edits(self) -> list[Any]:
        parameters = self._asked.parameters
        upload = parameters.text("editsUploadId")
        if not upload:
            return parameters.json_list("edits")
        check_json(self._asked, "editsUploadFormat")
        data = uploaded_bytes(self._hosted, upload)
        if data is None:
            raise invalid_parameter("editsUploadId", f"there is no committed upload {upload}")
        try:
            edits = json.loads(data)
        except ValueError:
            raise invalid_parameter("editsUploadId", "the uploaded file is not JSON") from None
        if isinstance(edits, dict):
            edits = edits.get("edits", [edits])
        if not isinstance(edits, list):
            raise invalid_parameter("editsUploadId", "the uploaded file is not a list of edits")
        return edits

    def _upload(self, edits: list[Any]) -> None:
        if self._replica.is_download_only:
            raise ServiceError(403, _FAILED, "the replica may only download")
        session = EditSession(
            self._hosted,
            self._actor,
            origin=self._replica.id,
            by_global_id=True,
            is_sync=True,
            wkid=self._replica.wkid,
        )
        for entry in edits:
            if not isinstance(entry, dict):
                raise invalid_parameter("edits", "an entry is not an object")
            step = self._plan.get(_layer_id(entry))
            if step is None:
                raise invalid_parameter("edits", f"layer {entry.get('id')} is not synchronized")
            if step.uploads:
                self._upload_layer(session, step.layer_id, entry)
        self._has_errors = session.first_error is not None
        session.finish(rollback_on_failure=self._rolls_back)

    @property
    def _rolls_back(self) -> bool:
        profile = self._hosted.profile
        if profile.one_bad_edit_refuses_all:
            return True
        if not profile.supports_rollback:
            return profile.sync_models == "perReplica"
        return self._asked.parameters.flag("rollbackOnFailure")

    def _upload_layer(self, session: EditSession, layer_id: int, entry: dict[str, Any]) -> None:
        layer = self._hosted.layer(layer_id)
        results = self._results.setdefault(layer_id, LayerResults())
        features = _member(entry, "features")
        _extend(results.features, "addResults", session.adds(layer, _list(features, "adds")))
        if not self._asked.parameters.flag("returnIdsForAdds"):
            for result in results.features["addResults"]:
                if result["success"]:
                    result.pop("objectId", None)
        _extend(
            results.features, "updateResults", session.updates(layer, _list(features, "updates"))
        )
        _extend(results.features, "deleteResults", session.deletes(layer, _deletes(features)))
        attachments = _member(entry, "attachments")
        if not attachments:
            return
        if not self._replica.sends_attachments:
            raise ServiceError(400, _FAILED, "the replica does not upload attachments")
        _extend(
            results.attachments,
            "addResults",
            session.attachment_adds(layer, _list(attachments, "adds")),
        )
        _extend(
            results.attachments,
            "updateResults",
            session.attachment_updates(layer, _list(attachments, "updates")),
        )
        _extend(
            results.attachments,
            "deleteResults",
            session.attachment_deletes(layer, _deletes(attachments)),
        )

    def _write(self) -> Outcome:
        hosted, replica = self._hosted, self._replica
        steps = list(self._plan.values())
        snapshots = [step for step in steps if step.direction == "snapshot"]
        deltas = [step for step in steps if step.direction != "snapshot"]
        response_type = _response_type(bool(snapshots), bool(deltas))
        head = {"replicaName": replica.name, "replicaID": hosted.spelled(replica.id)}
        downloaded = [step.layer_id for step in steps if step.direction != "upload"]
        generations = generations_of(replica, downloaded) if downloaded else {}
        name = result_file.new_name(hosted)
        exporter = Exporter(
            hosted,
            replica,
            base_url=self._asked.service_url,
            attachments_by_url=self._asked.attachments_by_url,
        )
        count = 0
        path = result_file.path_of(hosted, name)
        with path.open("w", encoding="utf-8") as text:
            out = result_file.JsonFile(text)
            out.open("{")
            write_head(hosted, out, self._asked, response_type, head, generations)
            out.write(replica.model, "syncModel")
            if deltas:
                out.open("[", "edits")
                for step in deltas:
                    count += self._write_delta(exporter, out, step)
                out.close("]")
            if snapshots:
                out.open("[", "layers")
                for step in snapshots:
                    layer = hosted.layer(step.layer_id)
                    with_attachments = replica.receives_attachments
                    exporter.snapshot(out, layer, with_attachments=with_attachments)
                out.close("]")
            if hosted.profile.results_place == "root" and self._results:
                count += self._write_root_results(out)
            out.close("}")
        if not snapshots and not count:
            path.unlink()
            return Outcome(
                response_type="esriReplicaResponseTypeNoEdits",
                head=head,
                generations=generations,
                file=None,
                has_errors=self._has_errors,
            )
        result_file.publish(hosted, name)
        return Outcome(
            response_type=response_type,
            head=head,
            generations=generations,
            file=name,
            has_errors=self._has_errors,
        )

    def _write_delta(self, exporter: Exporter, out: result_file.JsonFile, step: LayerSync) -> int:
        window = None
        if step.since is not None:
            own = "" if self._hosted.profile.echoes_own_edits else self._replica.id
            window = Window(since=step.since, own=own)
        results = self._results.get(step.layer_id)
        return exporter.delta(out, self._hosted.layer(step.layer_id), window, results)

    def _write_root_results(self, out: result_file.JsonFile) -> int:
        out.open("[", "editsResults")
        for layer_id, results in self._results.items():
            out.write({"id": layer_id, **results.features, "attachments": results.attachments})
        out.close("]")
        return len(self._results)


def _read_plan(hosted: Hosted, replica: Replica, parameters: Parameters) -> dict[int, LayerSync]:
    fallback = parameters.word("syncDirection", _DIRECTIONS, "bidirectional")
    if replica.model == "perReplica":
        since = parameters.integer("replicaServerGen")
        steps = [_step(hosted, layer_id, fallback, since) for layer_id in replica.layer_ids]
        return {step.layer_id: step for step in steps}
    steps = []
    for entry in parameters.json_list("syncLayers"):
        if not isinstance(entry, dict) or _layer_id(entry) not in replica.layer_ids:
            raise invalid_parameter("syncLayers", f"{entry!r} names no layer of the replica")
        asked = str(entry.get("syncDirection") or fallback)
        direction = next((word for word in _DIRECTIONS if word.lower() == asked.lower()), None)
        if direction is None:
            raise invalid_parameter("syncLayers", f"syncDirection '{asked}' is unknown")
        steps.append(_step(hosted, _layer_id(entry), direction, _integer(entry.get("serverGen"))))
    if not steps:
        raise invalid_parameter("syncLayers", "a perLayer replica needs syncLayers")
    return {step.layer_id: step for step in steps}


def _step(hosted: Hosted, layer_id: int, direction: str, since: int | None) -> LayerSync:
    if direction not in ("bidirectional", "download"):
        return LayerSync(layer_id=layer_id, direction=direction, since=None)
    if since is None:
        raise invalid_parameter("replicaServerGen", f"layer {layer_id} has no generation to go by")
    oldest, newest = hosted.store.min_generation(layer_id), hosted.store.generation
    if not oldest <= since <= newest:
        raise ServiceError(
            400,
            _FAILED,
            f"generation {since} of layer {layer_id} is not within {oldest} and {newest}",
        )
    return LayerSync(layer_id=layer_id, direction=direction, since=since)


def _response_type(has_snapshots: bool, has_deltas: bool) -> str:
    if has_snapshots and has_deltas:
        return "esriReplicaResponseTypeEditsAndData"
    if has_snapshots:
        return "esriReplicaResponseTypeReplacementData"
    return "esriReplicaResponseTypeEdits"


def _layer_id(entry: dict[str, Any]) -> int:
    number = _integer(entry.get("id"))
    return -1 if number is None else number


def _integer(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _member(entry: dict[str, Any], name: str) -> dict[str, Any]:
    value = entry.get(name) or {}
    if not isinstance(value, dict):
        raise invalid_parameter("edits", f"{name} is not an object")
    return value


def _list(members: dict[str, Any], name: str) -> list[Any]:
    value = members.get(name) or []
    if not isinstance(value, list):
        raise invalid_parameter("edits", f"{name} is not a list")
    return value


def _deletes(members: dict[str, Any]) -> list[Any]:
    return [*_list(members, "deletes"), *_list(members, "deleteIds")]


def _extend(
    results: dict[str, list[dict[str, Any]]], name: str, more: Iterable[dict[str, Any]]
) -> None:
    results.setdefault(name, []).extend(more)
