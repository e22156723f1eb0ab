"""Editing: one session of adds, updates and deletes, all in one generation.

Source: ArcGIS REST API, "Apply Edits (Feature Service/Layer)" and "Feature service error
codes". The caller holds the transaction; every edit is a savepoint of its own.
"""

from collections.abc import Callable, Iterable
from typing import Any

from .attachment_edits import AttachmentEdits
from .definition import Layer
from .feature_edits import FeatureEdits
from .guid import canonical
from .hosted import Actor, Hosted
from .problem import ROLLED_BACK, EditError, ServiceError
from .rows import Stamp

Result = dict[str, Any]

_HRESULTS = {1016: -2147217395}
_E_FAIL = -2147467259


class EditSession:
    """The edits of one request.

    Geometries that name no spatial reference are in `wkid`, the service's own by default.
    """

    def __init__(
        self,
        hosted: Hosted,
        actor: Actor,
        *,
        origin: str,
        by_global_id: bool,
        is_sync: bool,
        wkid: int | None = None,
    ) -> None:
        self._hosted = hosted
        self._may_everything = is_sync and actor.is_owner
        self.generation = hosted.store.generation + 1
        stamp = Stamp(generation=self.generation, origin=origin)
        self._features = FeatureEdits(
            hosted, actor, stamp, by_global_id=by_global_id, is_sync=is_sync, wkid=wkid
        )
        self._attachments = AttachmentEdits(hosted, stamp, self._features.reminted)
        self.has_changed = False
        self.first_error: EditError | None = None

    def adds(self, layer: Layer, features: Iterable[Any]) -> list[Result]:
        """Add features; one result each."""
        return self._each(layer, "Create", features, self._features.add)

    def updates(self, layer: Layer, features: Iterable[Any]) -> list[Result]:
        """Update features; one result each."""
        return self._each(layer, "Update", features, self._features.update)

    def deletes(self, layer: Layer, keys: Iterable[Any]) -> list[Result]:
        """Delete features by GlobalID or ObjectID; one result each."""
        return self._each(layer, "Delete", keys, self._features.delete)

    def attachment_adds(self, layer: Layer, sent: Iterable[Any]) -> list[Result]:
        """Add attachments; one result each."""
        return self._each(layer, "", sent, self._attachments.add)

    def attachment_updates(self, layer: Layer, sent: Iterable[Any]) -> list[Result]:
        """Replace attachments; one result each."""
        return self._each(layer, "", sent, self._attachments.update)

    def attachment_deletes(self, layer: Layer, keys: Iterable[Any]) -> list[Result]:
        """Delete attachments by GlobalID; one result each."""
        return self._each(layer, "", keys, self._attachments.delete)

    def _each(
        self,
        layer: Layer,
        capability: str,
        items: Iterable[Any],
        edit: Callable[[Layer, Any], Result],
    ) -> list[Result]:
        allowed = self._hosted.service.layer_capabilities(layer)
        results = []
        for item in items:
            try:
                if not (self._may_everything or _allows(allowed, capability)):
                    raise EditError(1000, "Requested operation is not supported by this layer.")
                with self._hosted.store.transaction():
                    results.append(edit(layer, item))
                self.has_changed = True
            except EditError as error:
                self.first_error = self.first_error or error
                results.append(self._failure(layer, item, error))
        return self._told(results)

    def _told(self, results: list[Result]) -> list[Result]:
        match self._hosted.tells:
            case "few":
                return results[:-1]
            case "reversed":
                return results[::-1]
        return results

    def _failure(self, layer: Layer, item: Any, error: EditError) -> Result:
        result: Result = {}
        attributes = item.get("attributes") if isinstance(item, dict) else None
        if isinstance(attributes, dict):
            named = {str(name).lower(): value for name, value in attributes.items()}
            oid = named.get(layer.object_id_field.lower())
            gid = canonical(named.get(layer.global_id_field.lower()))
        elif isinstance(item, dict):
            oid, gid = None, canonical(item.get("globalId"))
        else:
            oid, gid = _object_id(item), canonical(item)
        result["objectId"] = oid if isinstance(oid, int) else -1
        result["globalId"] = self._hosted.spelled(gid) if gid else None
        result["success"] = False
        code = error.code
        if self._hosted.profile.edit_codes == "hresult":
            code = _HRESULTS.get(code, _E_FAIL)
        result["error"] = {"code": code, "description": error.description}
        return result

    def finish(self, *, rollback_on_failure: bool) -> None:
        """Keep the edits; ServiceError, for the caller to roll back with, if one failed."""
        error = self.first_error
        if error is not None and rollback_on_failure:
            raise ServiceError(
                400,
                "Unable to complete operation.",
                error.description,
                "Operation rolled back.",
                extended_code=ROLLED_BACK,
            )
        if self.has_changed:
            self._hosted.store.next_generation(self._hosted.clock.now_ms())


def _object_id(key: Any) -> int | None:
    text = str(key)
    return int(text) if text.isdigit() else None


def _allows(allowed: frozenset[str], capability: str) -> bool:
    if not capability:
        return bool(allowed & {"Create", "Update", "Delete", "Editing"})
    return capability in allowed
