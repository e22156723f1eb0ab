"""What a service is made of: `service.json`, read and checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .field import Field, is_known_type
from .problem import DataError

VERSION = 11.5
"""The version a service plays unless `service.json` says otherwise."""

_GEOMETRY_TYPES = (
    "esriGeometryPoint",
    "esriGeometryMultipoint",
    "esriGeometryPolyline",
    "esriGeometryPolygon",
)


@dataclass(frozen=True, slots=True)
class Relationship:
    """One side of a relationship, as the layer resource lists it."""

    document: Mapping[str, Any]

    @property
    def id(self) -> int:
        return int(self.document["id"])

    @property
    def related_layer(self) -> int:
        return int(self.document["relatedTableId"])

    @property
    def key_field(self) -> str:
        return str(self.document["keyField"])

    @property
    def junction_layer(self) -> int | None:
        """The table between the two of a many-to-many relationship; None for every other."""
        given = self.document.get("relationshipTableId")
        return None if given is None else int(given)

    @property
    def is_dangling(self) -> bool:
        """Whether it is many-to-many without a table between, so that nobody can follow it."""
        many = str(self.document.get("cardinality")) == "esriRelCardinalityManyToMany"
        return many and self.junction_layer is None

    @property
    def junction_field(self) -> str:
        """The field of that table which holds the key of this side."""
        return str(self.document.get("keyFieldInRelationshipTable") or "")

    @property
    def is_origin(self) -> bool:
        return str(self.document.get("role", "esriRelRoleOrigin")) == "esriRelRoleOrigin"

    @property
    def is_composite(self) -> bool:
        return bool(self.document.get("composite", False))


class Layer:
    """One layer or table."""

    def __init__(self, document: Mapping[str, Any], *, is_table: bool) -> None:
        self.document = document
        self.is_table = is_table
        self.id = int(document["id"])
        self.name = str(document["name"])

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Every field but the geometry, in the order of the layer resource."""
        every = (Field(entry) for entry in self.document["fields"])
        return tuple(field for field in every if not field.is_geometry)

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by lower-case name."""
        return {field.name.lower(): field for field in self.fields}

    @cached_property
    def object_id_field(self) -> str:
        return self._field_of_type("esriFieldTypeOID", "objectIdField")

    @cached_property
    def global_id_field(self) -> str:
        """The name of the GlobalID field, empty when the layer has none."""
        return self._field_of_type("esriFieldTypeGlobalID", "globalIdField")

    def _field_of_type(self, type_name: str, member: str) -> str:
        given = self.document.get(member)
        if given is not None:
            return str(given)
        return next((field.name for field in self.fields if field.type == type_name), "")

    @cached_property
    def stored_fields(self) -> tuple[Field, ...]:
        """The fields that are columns of their own: all but ObjectID and GlobalID."""
        ids = {self.object_id_field.lower(), self.global_id_field.lower()}
        return tuple(field for field in self.fields if field.name.lower() not in ids)

    @cached_property
    def tracking_fields(self) -> dict[str, str]:
        """Editor tracking: lower-case field name -> the member of `editFieldsInfo` naming it."""
        info = self.document.get("editFieldsInfo") or {}
        members = ("creationDateField", "creatorField", "editDateField", "editorField")
        return {str(info[member]).lower(): member for member in members if info.get(member)}

    @property
    def creator_field(self) -> str:
        """The field that names who made a row, empty when nothing does."""
        return str((self.document.get("editFieldsInfo") or {}).get("creatorField") or "")

    @property
    def hides_others(self) -> bool:
        """Whether ownership control shows a user only rows of his own."""
        control = self.document.get("ownershipBasedAccessControlForFeatures") or {}
        return control.get("allowOthersToQuery", True) is False and bool(self.creator_field)

    @cached_property
    def relationships(self) -> tuple[Relationship, ...]:
        return tuple(Relationship(entry) for entry in self.document.get("relationships") or [])

    @property
    def geometry_type(self) -> str | None:
        """The Esri geometry type; None for a table."""
        return None if self.is_table else str(self.document["geometryType"])

    @property
    def has_z(self) -> bool:
        return bool(self.document.get("hasZ", False))

    @property
    def has_m(self) -> bool:
        return bool(self.document.get("hasM", False))

    @property
    def has_attachments(self) -> bool:
        return bool(self.document.get("hasAttachments", False))

    @property
    def allows_geometry_updates(self) -> bool:
        return self.document.get("allowGeometryUpdates", True) is not False


class Service:
    """One feature service."""

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        self.name = name
        self.document = document
        self.layers: dict[int, Layer] = {}
        for member, is_table in (("layers", False), ("tables", True)):
            for entry in document.get(member) or []:
                layer = Layer(entry, is_table=is_table)
                self.layers[layer.id] = layer

    @property
    def version(self) -> float:
        """The version of the server it plays."""
        return float(self.document.get("currentVersion", VERSION))

    @cached_property
    def capability_list(self) -> tuple[str, ...]:
        """The capabilities in the order of `service.json`.

        Before 11.5 a field of one of the four newer types switches sync off.
        """
        listed = str(self.document.get("capabilities", "Query")).split(",")
        words = [word.strip() for word in listed if word.strip()]
        is_new = any(field.is_new_type for one in self.layers.values() for field in one.fields)
        if is_new and self.version < 11.5 and "Sync" in words:
            words.remove("Sync")
        return tuple(words)

    @cached_property
    def capabilities(self) -> frozenset[str]:
        return frozenset(self.capability_list)

    def layer_capabilities(self, layer: Layer) -> frozenset[str]:
        """What may be done to this layer: its own list, else the service's."""
        given = layer.document.get("capabilities")
        return self.capabilities if given is None else _words(given)

    def other_side(self, relationship: Relationship) -> Relationship | None:
        """The same relationship as the layer at its other end lists it."""
        for other in self.layers[relationship.related_layer].relationships:
            if other.id == relationship.id and other.is_origin != relationship.is_origin:
                return other
        return None

    @property
    def spatial_reference(self) -> dict[str, Any]:
        return dict(self.document["spatialReference"])

    @property
    def max_upload_bytes(self) -> int:
        """The largest file it takes; `maxUploadFileSize` is in megabytes, as in ArcGIS Server."""
        return int(float(self.document.get("maxUploadFileSize", 2048)) * (1 << 20))

    @cached_property
    def upload_extensions(self) -> frozenset[str]:
        """The extensions of the files it takes, in lower case; empty for every file."""
        listed = str(self.document.get("allowedUploadFileTypes", "*"))
        words = {word.strip(" .").lower() for word in listed.split(",")} - {""}
        return frozenset() if "*" in words else frozenset(words)

    @property
    def max_record_count(self) -> int:
        return int(self.document.get("maxRecordCount", 2000))


def _words(text: object) -> frozenset[str]:
    return frozenset(word.strip() for word in str(text).split(",") if word.strip())


def read_service(folder: Path) -> Service:
    """Read `service.json` of one service folder; DataError says what is wrong with it."""
    file = folder / "service.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DataError(f"{file}: is not JSON ({error})") from error
    return checked_service(folder.name, document, str(file))


def checked_service(name: str, document: Any, source: str) -> Service:
    """The service a document describes; DataError names the member that is wrong."""

    def refuse(member: str, why: str) -> DataError:
        return DataError(f"{source}: {member} {why}")

    if not isinstance(document, dict):
        raise refuse("the document", "is not a JSON object")
    reference = document.get("spatialReference")
    if not isinstance(reference, dict) or not isinstance(reference.get("wkid"), int):
        raise refuse("spatialReference", "needs an integer wkid")
    if not (document.get("layers") or document.get("tables")):
        raise refuse("layers", "lists no layer, and tables no table")
    seen: set[int] = set()
    for member in ("layers", "tables"):
        for position, entry in enumerate(document.get(member) or []):
            place = f"{member}[{position}]"
            _check_layer(entry, place, member == "tables", refuse)
            if entry["id"] in seen:
                raise refuse(f"{place}.id", f"{entry['id']} is used twice")
            seen.add(entry["id"])
    service = Service(name, document)
    _check_relationships(service, refuse)
    return service


def _check_layer(entry: Any, place: str, is_table: bool, refuse: Any) -> None:
    if not isinstance(entry, dict):
        raise refuse(place, "is not a JSON object")
    if not isinstance(entry.get("id"), int) or entry["id"] < 0:
        raise refuse(f"{place}.id", "is not a layer number")
    if not isinstance(entry.get("name"), str) or not entry["name"]:
        raise refuse(f"{place}.name", "is missing")
    if not is_table and entry.get("geometryType") not in _GEOMETRY_TYPES:
        raise refuse(f"{place}.geometryType", f"is none of {', '.join(_GEOMETRY_TYPES)}")
    if not isinstance(entry.get("fields"), list):
        raise refuse(f"{place}.fields", "is not a list")
    names: set[str] = set()
    for position, field in enumerate(entry["fields"]):
        where = f"{place}.fields[{position}]"
        if not isinstance(field, dict) or not isinstance(field.get("name"), str):
            raise refuse(f"{where}.name", "is missing")
        if not is_known_type(field.get("type")):
            raise refuse(f"{where}.type", f"{field.get('type')!r} is not served")
        if field["name"].lower() in names:
            raise refuse(f"{where}.name", f"{field['name']} is used twice")
        names.add(field["name"].lower())
    layer = Layer(entry, is_table=is_table)
    if layer.object_id_field.lower() not in names:
        raise refuse(f"{place}.objectIdField", "names no field of type esriFieldTypeOID")
    if layer.global_id_field and layer.global_id_field.lower() not in names:
        raise refuse(f"{place}.globalIdField", "names no field of the layer")
    for tracked, member in layer.tracking_fields.items():
        if tracked not in names:
            raise refuse(f"{place}.editFieldsInfo.{member}", "names no field of the layer")


def _check_relationships(service: Service, refuse: Any) -> None:
    for layer in service.layers.values():
        for position, relationship in enumerate(layer.relationships):
            place = f"layer {layer.id} relationships[{position}]"
            for member in ("id", "relatedTableId", "keyField"):
                if member not in relationship.document:
                    raise refuse(f"{place}.{member}", "is missing")
            if relationship.key_field.lower() not in layer.by_name:
                raise refuse(f"{place}.keyField", f"{relationship.key_field} is no field here")
            if relationship.related_layer not in service.layers:
                raise refuse(
                    f"{place}.relatedTableId", f"{relationship.related_layer} is no layer here"
                )
            _check_junction(service, relationship, place, refuse)


def _check_junction(service: Service, relationship: Relationship, place: str, refuse: Any) -> None:
    number = relationship.junction_layer
    if number is None:
        return
    if number not in service.layers:
        raise refuse(f"{place}.relationshipTableId", f"{number} is no layer here")
    name = relationship.junction_field
    if name.lower() not in service.layers[number].by_name:
        raise refuse(f"{place}.keyFieldInRelationshipTable", f"{name!r} is no field of {number}")
