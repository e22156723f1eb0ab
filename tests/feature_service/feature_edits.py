"""Adding, updating and deleting one feature, with every rule the layer sets for it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from .definition import Layer, Relationship
from .field import Field, Value
from .geometry import intake, vertices
from .guid import canonical
from .hosted import Actor, Hosted, key_of
from .problem import EditError
from .projection import mover, wkid_of
from .rows import Row, Stamp

_GENERAL = 1000
_NO_GEOMETRY_UPDATES = 1004
_UNTRUSTED = 1006
_NOT_OWNER = 1007
_MISSING = 1011
_UNUSABLE_GEOMETRY = 1015
_GID_MISSING = 1020
_GID_EMPTY = 1021
_TAKEN = 1022
_NOT_EDITABLE = 1023

_TAG = re.compile(r"<\s*/?\s*[a-zA-Z!]")

Result = dict[str, Any]


class FeatureEdits:
    """The feature edits of one session."""

    def __init__(
        self,
        hosted: Hosted,
        actor: Actor,
        stamp: Stamp,
        *,
        by_global_id: bool,
        is_sync: bool,
        wkid: int | None,
    ) -> None:
        self._hosted = hosted
        self._profile = hosted.profile
        self._actor = actor
        self._stamp = stamp
        self._by_global_id = by_global_id
        self._is_sync = is_sync
        self._wkid = wkid
        self.reminted: dict[str, str] = {}

    def add(self, layer: Layer, feature: Any) -> Result:
        """Add one feature."""
        attributes = _attributes(feature)
        rows = self._hosted.rows(layer)
        gid = self._gid_for_add(layer, attributes)
        known = rows.by_gid(gid)
        if known is not None:
            if self._profile.repeated_add == "ignore" and self._is_sync:
                return self._done(layer, known.oid, gid)
            if self._profile.repeated_add == "upsert" and self._is_sync:
                return self._change(layer, known, attributes, feature)
            raise EditError(_TAKEN, f"A feature with GlobalID {gid} exists already.")
        values: dict[str, Value] = {}
        for field in layer.stored_fields:
            values[field.name.lower()] = self._added_value(layer, field, attributes)
        self._track(layer, values, is_new=True)
        shape = self._shape(layer, feature.get("geometry"))
        oid = rows.take_oid()
        rows.insert(oid, gid, values, shape, self._stamp)
        return self._done(layer, oid, gid)

    def _gid_for_add(self, layer: Layer, attributes: Mapping[str, Any]) -> str:
        if not self._by_global_id or not layer.global_id_field:
            return self._hosted.mint()
        name = layer.global_id_field.lower()
        if name not in attributes:
            raise EditError(_GID_MISSING, "GlobalID is missing.")
        gid = canonical(attributes[name])
        if gid is None:
            raise EditError(_GID_EMPTY, "GlobalID is empty or is not a GUID.")
        if self._is_sync and self._profile.remints_global_ids:
            self.reminted[gid] = self._hosted.mint()
            return self.reminted[gid]
        return gid

    def _added_value(self, layer: Layer, field: Field, attributes: Mapping[str, Any]) -> Value:
        name = field.name.lower()
        if name in layer.tracking_fields:
            return None
        value = attributes.get(name, field.default)
        if value is not None and not field.is_editable and name in attributes:
            if self._profile.read_only_fields == "error":
                raise EditError(_NOT_EDITABLE, f"Field {field.name} is not editable.")
            value = field.default
        if value is None and not field.is_editable:
            return None
        self._check_html(field, value)
        kept = field.stored(value, checks_domain=self._profile.validates_domains)
        return self._renamed(field, kept)

    def _check_html(self, field: Field, value: Any) -> None:
        prevention = self._hosted.service.document.get("xssPreventionInfo") or {}
        if not prevention.get("xssPreventionEnabled") or not isinstance(value, str):
            return
        if _TAG.search(value):
            raise EditError(_UNTRUSTED, f"Field {field.name} has invalid html content.")

    def _renamed(self, field: Field, kept: Value) -> Value:
        if field.kind == "guid" and isinstance(kept, str):
            return self.reminted.get(kept, kept)
        return kept

    def update(self, layer: Layer, feature: Any) -> Result:
        """Update one feature with the attributes and the geometry that are given."""
        attributes = _attributes(feature)
        row = self._row(layer, self._key(layer, attributes))
        if row is None:
            missing = self._profile.update_of_missing if self._is_sync else "fail"
            gid = canonical(attributes.get(layer.global_id_field.lower()))
            if missing == "ignore" and gid is not None:
                return self._done(layer, -1, gid)
            if missing == "insert":
                return self.add(layer, feature)
            raise EditError(_MISSING, "The feature to update does not exist.")
        return self._change(layer, row, attributes, feature)

    def _change(
        self, layer: Layer, row: Row, attributes: Mapping[str, Any], feature: Any
    ) -> Result:
        self._check_owner(layer, row, "allowOthersToUpdate")
        values = dict(row.values)
        for field in layer.stored_fields:
            name = field.name.lower()
            if name in layer.tracking_fields:
                continue
            if name in attributes:
                values[name] = self._changed_value(field, attributes[name], row.values[name])
            elif self._profile.nulls_omitted_attributes and field.is_nullable and field.is_editable:
                values[name] = None
        self._track(layer, values, is_new=False)
        shape = json.loads(row.shape) if row.shape is not None else None
        moves = feature.get("geometry") is not None
        if moves:
            if not layer.allows_geometry_updates:
                raise EditError(_NO_GEOMETRY_UPDATES, "Geometry updates are not allowed.")
            given = self._shape(layer, feature["geometry"])
            moves = self._profile.empty_geometry == "clears" or bool(given and vertices(given))
            shape = given if moves else shape
        self._hosted.rows(layer).update(row, values, shape, self._stamp, moved=moves)
        return self._done(layer, row.oid, row.gid)

    def _changed_value(self, field: Field, sent: Any, known: Value) -> Value:
        self._check_html(field, sent)
        kept = field.stored(sent, checks_domain=self._profile.validates_domains)
        kept = self._renamed(field, kept)
        if field.is_editable or kept == known:
            return kept
        if self._profile.read_only_fields == "error":
            raise EditError(_NOT_EDITABLE, f"Field {field.name} is not editable.")
        return known

    def delete(self, layer: Layer, key: Any) -> Result:
        """Delete one feature with its attachments, and what a relationship drags along."""
        if self._by_global_id:
            gid = canonical(key)
            row = None if gid is None else self._row(layer, gid)
        else:
            row = self._row(layer, _object_id(key))
        if row is None:
            raise EditError(_MISSING, "The feature to delete does not exist.")
        self._check_owner(layer, row, "allowOthersToDelete")
        self._remove(layer, row)
        return self._done(layer, row.oid, row.gid)

    def _remove(self, layer: Layer, row: Row) -> None:
        self._hosted.rows(layer).delete(row, self._stamp)
        attachments = self._hosted.attachments(layer)
        for known in attachments.of_parent(row.gid):
            attachments.delete(known, self._stamp)
        for relationship in layer.relationships:
            key = key_of(layer, relationship.key_field, row.gid, row.oid, row.values)
            if relationship.junction_layer is not None:
                self._unlink(self._hosted.layer(relationship.junction_layer), relationship, key)
                continue
            if not relationship.is_origin or relationship.is_dangling:
                continue
            related = self._hosted.layer(relationship.related_layer)
            other = self._hosted.service.other_side(relationship)
            if other is None or key is None:
                continue
            children = self._hosted.rows(related)
            for child in children.by_value(other.key_field, key):
                if relationship.is_composite:
                    self._remove(related, child)
                elif related.by_name[other.key_field.lower()].is_nullable:
                    shape = json.loads(child.shape) if child.shape is not None else None
                    values = {**child.values, other.key_field.lower(): None}
                    children.update(child, values, shape, self._stamp, moved=False)

    def _unlink(self, between: Layer, relationship: Relationship, key: Value) -> None:
        """Take away the links of a many-to-many relationship that lead to a row that goes."""
        rows = self._hosted.rows(between)
        for link in rows.by_value(relationship.junction_field, key) if key is not None else ():
            rows.delete(link, self._stamp)

    def _key(self, layer: Layer, attributes: Mapping[str, Any]) -> str | int | None:
        if self._by_global_id:
            if layer.global_id_field.lower() not in attributes:
                raise EditError(_GID_MISSING, "GlobalID is missing.")
            return canonical(attributes[layer.global_id_field.lower()])
        return _object_id(attributes.get(layer.object_id_field.lower()))

    def _row(self, layer: Layer, key: str | int | None) -> Row | None:
        rows = self._hosted.rows(layer)
        if isinstance(key, str):
            return rows.by_gid(self.reminted.get(key, key))
        return None if key is None else rows.by_oid(key)

    def _shape(self, layer: Layer, geometry: Any) -> dict[str, Any] | None:
        if geometry is None:
            return None
        if layer.is_table:
            raise EditError(_UNUSABLE_GEOMETRY, "A table keeps no geometry.")
        reference = geometry.get("spatialReference") if isinstance(geometry, dict) else None
        move = mover(wkid_of(reference) or self._wkid, self._hosted.wkid)
        return intake(layer, move, self._hosted.decimals).keep(geometry)

    def _track(self, layer: Layer, values: dict[str, Value], *, is_new: bool) -> None:
        now = {"creationDateField": True, "editDateField": True}
        for name, member in layer.tracking_fields.items():
            if member.startswith("creat") and not is_new:
                continue
            values[name] = self._hosted.clock.now_ms() if member in now else self._actor.editor

    def _check_owner(self, layer: Layer, row: Row, member: str) -> None:
        control = layer.document.get("ownershipBasedAccessControlForFeatures")
        if not control or control.get(member, True) or self._actor.is_owner:
            return
        creator = row.values.get(layer.creator_field.lower())
        if creator != self._actor.editor:
            raise EditError(_NOT_OWNER, "The feature belongs to another user.")

    def _done(self, layer: Layer, oid: int, gid: str) -> Result:
        shown = self._hosted.spelled(gid) if layer.global_id_field else None
        return {"objectId": oid, "globalId": shown, "success": True}


def _attributes(feature: Any) -> dict[str, Any]:
    if not isinstance(feature, dict) or not isinstance(feature.get("attributes", {}), dict):
        raise EditError(_GENERAL, "The edit is not a feature.")
    return {str(name).lower(): value for name, value in feature.get("attributes", {}).items()}


def _object_id(key: Any) -> int | None:
    try:
        return None if isinstance(key, bool) else int(key)
    except (TypeError, ValueError):
        return None
