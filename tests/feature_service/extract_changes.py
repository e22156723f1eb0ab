"""extractChanges: what has changed in some layers, for anybody, without a replica.

Source: ArcGIS REST API, "Extract Changes (Feature Service)". The answer is a job, as hosted
services give it, unless `async=false` is asked for in so many words.
"""

from collections.abc import Iterator
from typing import Any

from . import result_file
from .changes import Changes, Window
from .definition import Layer
from .exchange import EMBEDDED, Asked, Delivery, Outcome, check_json, deliver, deliver_job
from .export import Exporter, deleted_keys
from .hosted import Actor, Hosted
from .problem import ServiceError, invalid_parameter, not_supported
from .projection import document_of, mover, wkid_of
from .replica import Replica, read_layer_ids, read_queries
from .result_file import JsonFile
from .scope import Scope

_RESPONSE = "esriDataChangesResponseTypeEdits"


def extract_changes(hosted: Hosted, actor: Actor, asked: Asked) -> Delivery:
    """Answer one extractChanges request."""
    tracks = "ChangeTracking" in hosted.service.capabilities
    if not tracks or not hosted.profile.supports_change_tracking:
        raise not_supported()
    check_json(asked)
    name = result_file.new_name(hosted)
    with hosted.store.transaction():
        generations = _Extraction(hosted, actor, asked).write(name)
        result_file.publish(hosted, name)
    outcome = Outcome(response_type=_RESPONSE, head={}, generations=generations, file=name)
    if asked.parameters.has("async") and not asked.is_async:
        return deliver(hosted, asked, "extractChanges", outcome)
    return deliver_job(hosted, asked, "extractChanges", outcome)


class _Extraction:
    def __init__(self, hosted: Hosted, actor: Actor, asked: Asked) -> None:
        parameters = asked.parameters
        self._hosted = hosted
        self._asked = asked
        self._parameters = parameters
        self._ids = read_layer_ids(hosted.service, parameters)
        self._windows = self._read_windows()
        self._wants = {
            kind: parameters.flag(f"return{kind}") for kind in ("Inserts", "Updates", "Deletes")
        }
        if not any(self._wants.values()):
            raise invalid_parameter(
                "returnInserts", "one of returnInserts, returnUpdates, returnDeletes is needed"
            )
        self._replica = Replica(
            id="",
            name="",
            owner=actor.name,
            model="none",
            target="client",
            direction="download",
            returns_attachments=parameters.flag("returnAttachments"),
            attachments_direction="bidirectional",
            wkid=wkid_of(parameters.json_or_text("outSR")) or hosted.wkid,
            geometry=parameters.text("geometry"),
            geometry_type=parameters.text("geometryType", "esriGeometryEnvelope"),
            in_sr=parameters.text("inSR"),
            queries=read_queries(hosted.service, self._ids, parameters),
            sees_everything=actor.is_owner,
            created_ms=0,
            last_sync_ms=0,
        )
        mover(hosted.wkid, self._replica.wkid)
        self._scope = Scope(hosted, self._replica)
        self._compared = self._read_compared()

    def _read_compared(self) -> list[str]:
        """The fields of `fieldsToCompare`, in lower case; each is one of some layer asked for."""
        given = self._parameters.json("fieldsToCompare")
        names = given.get("fields") if isinstance(given, dict) else given
        if given is None:
            return []
        if not isinstance(names, list) or not names:
            raise invalid_parameter("fieldsToCompare", 'an object {"fields": […]} is needed')
        known = {name for one in self._ids for name in self._hosted.layer(one).by_name}
        for name in names:
            if str(name).lower() not in known:
                raise invalid_parameter("fieldsToCompare", f"no layer has a field {name}")
        return [str(name).lower() for name in names]

    def _read_windows(self) -> dict[int, Window]:
        by_layer = self._parameters.json_list("layerServerGens")
        if by_layer:
            windows = {}
            for entry in by_layer:
                since = entry.get("serverGen") if isinstance(entry, dict) else None
                if not isinstance(since, int):
                    raise invalid_parameter("layerServerGens", f"{entry!r} has no serverGen")
                first = entry.get("minServerGen")
                bounds = [first, since] if isinstance(first, int) else [since]
                windows[int(entry.get("id", -1))] = self._window(bounds)
            if set(windows) != set(self._ids):
                raise ServiceError(400, "Invalid sync model", "layers and layerServerGens differ")
            return windows
        generations = self._parameters.integers("serverGens")
        if not 1 <= len(generations) <= 2:
            raise invalid_parameter("serverGens", "one or two generations are needed")
        return {layer_id: self._window(generations) for layer_id in self._ids}

    def _window(self, generations: list[int]) -> Window:
        newest = self._hosted.store.generation
        upto = min(generations[1], newest) if len(generations) == 2 else newest
        return Window(since=generations[0], upto=upto)

    def write(self, name: str) -> dict[str, Any]:
        """Write the result file; the generations it goes up to."""
        generations = {
            "layerServerGens": [
                {"id": layer_id, "serverGen": window.upto}
                for layer_id, window in self._windows.items()
            ]
        }
        for layer_id, window in self._windows.items():
            if window.since < self._hosted.store.min_generation(layer_id):
                raise ServiceError(
                    400,
                    "Unable to extract changes.",
                    f"generation {window.since} of layer {layer_id} is older than minServerGen",
                )
        with result_file.path_of(self._hosted, name).open("w", encoding="utf-8") as text:
            out = JsonFile(text)
            out.open("{")
            for member, value in generations.items():
                out.write(value, member)
            is_embedded = self._asked.transport == EMBEDDED and not self._asked.is_async
            out.write(EMBEDDED if is_embedded else "esriTransportTypeURL", "transportType")
            if self._parameters.flag("returnExtentOnly"):
                out.write(self._extent(), "extent")
            else:
                out.write(_RESPONSE, "responseType")
                out.open("[", "edits")
                for layer_id in self._ids:
                    self._write_layer(out, self._hosted.layer(layer_id))
                out.close("]")
            out.close("}")
        return generations

    def _write_layer(self, out: JsonFile, layer: Layer) -> None:
        changes = Changes(self._hosted, self._scope, layer, self._windows[layer.id])
        out.open("{")
        out.write(layer.id, "id")
        if self._parameters.flag("returnIdsOnly"):
            self._write_ids(out, layer, changes)
        else:
            self._write_features(out, layer, changes)
        if self._parameters.flag("returnHasGeometryUpdates") and not layer.is_table:
            out.write(changes.has_moved(), "hasGeometryUpdates")
        out.close("}")

    def _write_ids(self, out: JsonFile, layer: Layer, changes: Changes) -> None:
        view = self._exporter().view(layer)
        name = layer.object_id_field
        if self._hosted.profile.ids_only == "empty":
            return
        out.open("{", "objectIds")
        if self._wants["Inserts"]:
            out.write_list("adds", (one["attributes"][name] for one in changes.adds(view)))
        if self._wants["Updates"]:
            out.write_list("updates", (one["attributes"][name] for one in changes.updates(view)))
            if self._compared:
                found = changes.field_updates(view, self._compared)
                out.write_list("fieldUpdates", (one["attributes"][name] for one in found))
        if self._wants["Deletes"]:
            out.write_list("deletes", (oid for _, oid in changes.deletes()))
        out.close("}")

    def _write_features(self, out: JsonFile, layer: Layer, changes: Changes) -> None:
        exporter = self._exporter()
        view = exporter.view(layer)
        nothing: Iterator[Any] = iter(())
        lists = (changes.adds(view), changes.updates(view), changes.deletes())
        if self._hosted.profile.no_changes == "null" and not any(map(_has_any, lists)):
            out.write(None, "features")
        else:
            self._write_lists(out, layer, changes, nothing)
        if self._replica.returns_attachments and layer.has_attachments:
            out.open("{", "attachments")
            exporter.attachment_changes(out, layer, changes)
            out.close("}")

    def _write_lists(
        self, out: JsonFile, layer: Layer, changes: Changes, nothing: Iterator[Any]
    ) -> None:
        view = self._exporter().view(layer)
        out.open("{", "features")
        out.write_list("adds", changes.adds(view) if self._wants["Inserts"] else nothing)
        out.write_list("updates", changes.updates(view) if self._wants["Updates"] else nothing)
        if self._compared:
            found = changes.field_updates(view, self._compared)
            out.write_list("fieldUpdates", found if self._wants["Updates"] else nothing)
        gone = deleted_keys(self._hosted, changes)
        member = self._hosted.profile.deletes_member
        out.write_list(member, gone if self._wants["Deletes"] else nothing)
        if self._parameters.flag("returnDeletedFeatures") and self._wants["Deletes"]:
            out.write_list("deletedFeatures", changes.deleted_features(view))
        out.close("}")

    def _exporter(self) -> Exporter:
        return Exporter(
            self._hosted,
            self._replica,
            base_url=self._asked.service_url,
            attachments_by_url=self._asked.attachments_by_url,
        )

    def _extent(self) -> dict[str, Any] | None:
        boxes = []
        for layer_id in self._ids:
            layer = self._hosted.layer(layer_id)
            if not layer.is_table:
                changes = Changes(self._hosted, self._scope, layer, self._windows[layer_id])
                boxes += [box for box in (changes.extent(),) if box is not None]
        if not boxes:
            return None
        move = mover(self._hosted.wkid, self._replica.wkid)
        low = min(box[0] for box in boxes), min(box[1] for box in boxes)
        high = max(box[2] for box in boxes), max(box[3] for box in boxes)
        if move is not None:
            low, high = move(*low), move(*high)
        return {
            "xmin": low[0],
            "ymin": low[1],
            "xmax": high[0],
            "ymax": high[1],
            "spatialReference": document_of(self._replica.wkid),
        }


def _has_any(values: Iterator[Any]) -> bool:
    return next(values, None) is not None
