"""What a feature service says its layers are: fields, domains, relationships, abilities.

Parsed from the JSON of the service and layer resources (ArcGIS REST API, "Feature service" and
"Layer (feature service)"). The parsed values keep the original JSON beside them, so that nothing a
later version needs is lost on the device.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Self
from urllib.parse import unquote

from engine.errors import ProtocolError
from engine.json_members import objects_of, text_of
from engine.model import Envelope, SpatialReference, SyncModel

JsonObject = Mapping[str, object]


class FieldType(Enum):
    """The field types of the ArcGIS REST API."""

    OID = "esriFieldTypeOID"
    GLOBAL_ID = "esriFieldTypeGlobalID"
    GUID = "esriFieldTypeGUID"
    SMALL_INTEGER = "esriFieldTypeSmallInteger"
    INTEGER = "esriFieldTypeInteger"
    BIG_INTEGER = "esriFieldTypeBigInteger"
    SINGLE = "esriFieldTypeSingle"
    DOUBLE = "esriFieldTypeDouble"
    STRING = "esriFieldTypeString"
    DATE = "esriFieldTypeDate"
    DATE_ONLY = "esriFieldTypeDateOnly"
    TIME_ONLY = "esriFieldTypeTimeOnly"
    TIMESTAMP_OFFSET = "esriFieldTypeTimestampOffset"
    BLOB = "esriFieldTypeBlob"
    XML = "esriFieldTypeXML"
    RASTER = "esriFieldTypeRaster"
    GEOMETRY = "esriFieldTypeGeometry"

    @property
    def is_integer(self) -> bool:
        return self in (FieldType.SMALL_INTEGER, FieldType.INTEGER, FieldType.BIG_INTEGER)

    @property
    def is_real(self) -> bool:
        return self in (FieldType.SINGLE, FieldType.DOUBLE)


GEOMETRY_TYPES = {
    "esriGeometryPoint": "POINT",
    "esriGeometryMultipoint": "MULTIPOINT",
    "esriGeometryPolyline": "MULTILINESTRING",
    "esriGeometryPolygon": "MULTIPOLYGON",
}
"""Esri geometry type → GeoPackage geometry type (OGC 12-128r18, annex G)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """The values a field may have: either ``codes`` (code, name) or a ``range``."""

    name: str
    description: str = ""
    codes: tuple[tuple[object, str], ...] = ()
    range: tuple[float, float] | None = None

    @classmethod
    def from_json(cls, value: JsonObject) -> Self | None:
        """None for inherited domains and shapes that say nothing about values."""
        coded, limits = value.get("codedValues"), value.get("range")
        name = str(value.get("name") or "")
        if isinstance(coded, list):
            pairs = [(c.get("code"), str(c.get("name"))) for c in coded if isinstance(c, dict)]
            return cls(name=name, description=text_of(value, "description"), codes=tuple(pairs))
        if isinstance(limits, list) and len(limits) == 2:
            low, high = (v if isinstance(v, int | float) else None for v in limits)
            if low is not None and high is not None:
                return cls(name=name, description=text_of(value, "description"), range=(low, high))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a layer. ``length`` in characters, 0 = no limit."""

    name: str
    type: FieldType
    alias: str = ""
    length: int = 0
    nullable: bool = True
    editable: bool = True
    domain: Domain | None = None
    default: object = None

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        name, kind = value.get("name"), value.get("type")
        if not isinstance(name, str) or not name:
            raise ProtocolError("a field without a name in the layer resource")
        try:
            field_type = FieldType(kind)
        except ValueError:
            raise ProtocolError(f"the field {name!r} is of the unknown type {kind!r}") from None
        domain, length = value.get("domain"), value.get("length")
        return cls(
            name=name,
            type=field_type,
            alias=text_of(value, "alias") or name,
            length=length if isinstance(length, int) and field_type is FieldType.STRING else 0,
            nullable=value.get("nullable") is not False,
            editable=value.get("editable") is not False,
            domain=Domain.from_json(domain) if isinstance(domain, dict) else None,
            default=value.get("defaultValue"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Relationship:
    """One end of a relationship as a layer lists it; ``key_field`` is this layer's own field."""

    id: int
    name: str
    related_table_id: int
    cardinality: str
    is_origin: bool
    key_field: str
    is_composite: bool = False

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(
            id=_number(value, "id"),
            name=text_of(value, "name"),
            related_table_id=_number(value, "relatedTableId"),
            cardinality=text_of(value, "cardinality"),
            is_origin=text_of(value, "role") == "esriRelRoleOrigin",
            key_field=text_of(value, "keyField"),
            is_composite=value.get("composite") is True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSchema:
    """One layer or table of a feature service.

    ``geometry_type`` is the Esri name, None for a table. ``global_id_field`` is empty if the layer
    cannot sync. ``resource`` is the layer resource as it was received.
    """

    id: int
    name: str
    geometry_type: str | None
    object_id_field: str
    global_id_field: str
    fields: tuple[Field, ...]
    has_z: bool
    has_m: bool
    has_attachments: bool
    can_create: bool
    can_update: bool
    can_delete: bool
    allows_geometry_updates: bool
    relationships: tuple[Relationship, ...]
    spatial_reference: SpatialReference
    extent: Envelope | None
    supports_global_ids: bool
    max_record_count: int
    resource: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, value: JsonObject, service: JsonObject) -> Self:
        """From the layer resource, with the service resource for what the layer leaves out."""
        name = text_of(value, "name")
        fields = tuple(Field.from_json(f) for f in objects_of(value, "fields"))
        if not fields:
            raise ProtocolError(f"the layer {name!r} lists no fields")
        geometry_type = text_of(value, "geometryType") or None
        if geometry_type is not None and geometry_type not in GEOMETRY_TYPES:
            raise ProtocolError(f"the layer {name!r} has the unsupported type {geometry_type!r}")
        abilities = capabilities(value if value.get("capabilities") else service)
        envelope = _envelope(value, "extent")
        reference = envelope.spatial_reference if envelope else None
        if reference is None:
            source = value.get("sourceSpatialReference") or service.get("spatialReference")
            reference = SpatialReference.from_json(source if isinstance(source, dict) else None)
        return cls(
            id=_number(value, "id"),
            name=name,
            geometry_type=geometry_type,
            object_id_field=text_of(value, "objectIdField") or _of_type(fields, FieldType.OID),
            global_id_field=text_of(value, "globalIdField")
            or _of_type(fields, FieldType.GLOBAL_ID),
            fields=fields,
            has_z=value.get("hasZ") is True,
            has_m=value.get("hasM") is True,
            has_attachments=value.get("hasAttachments") is True,
            can_create="create" in abilities or "editing" in abilities,
            can_update="update" in abilities or "editing" in abilities,
            can_delete="delete" in abilities or "editing" in abilities,
            allows_geometry_updates=value.get("allowGeometryUpdates") is not False,
            relationships=tuple(
                Relationship.from_json(r) for r in objects_of(value, "relationships")
            ),
            spatial_reference=reference,
            extent=envelope,
            supports_global_ids=value.get("supportsApplyEditsWithGlobalIds") is True,
            max_record_count=_number(value, "maxRecordCount") or 1000,
            resource=value,
        )

    @property
    def is_editable(self) -> bool:
        return self.can_create or self.can_update or self.can_delete

    def field(self, name: str) -> Field | None:
        """The field of that name; services match names without regard to case."""
        folded = name.casefold()
        return next((f for f in self.fields if f.name.casefold() == folded), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSchema:
    """A feature service: what it can do, and which layers and tables it has (by id and name)."""

    url: str
    name: str
    item_id: str
    capabilities: frozenset[str]
    sync_models: tuple[SyncModel, ...]
    supports_async: bool
    supports_direction_control: bool
    supports_attachments_direction: bool
    supports_registering: bool
    supports_rollback: bool
    supports_branch_reconcile: bool
    supports_global_ids: bool
    supports_change_tracking: bool
    supports_uploads: bool
    supports_edits_upload: bool
    supports_async_edits: bool
    has_versioned_data: bool
    spatial_reference: SpatialReference
    full_extent: Envelope | None
    layer_ids: tuple[int, ...]
    max_record_count: int
    resource: JsonObject = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, value: JsonObject, url: str) -> Self:
        """From the service resource at ``url`` (ending in ``/FeatureServer``)."""
        sync = value.get("syncCapabilities")
        sync = sync if isinstance(sync, dict) else {}
        editing = value.get("advancedEditingCapabilities")
        editing = editing if isinstance(editing, dict) else {}
        models = []
        if sync.get("supportsPerReplicaSync") is not False:  # absent means true
            models.append(SyncModel.PER_REPLICA)
        if sync.get("supportsPerLayerSync") is True:  # absent means false
            models.append(SyncModel.PER_LAYER)
        reference = value.get("spatialReference")
        ids = [_number(x, "id") for kind in ("layers", "tables") for x in objects_of(value, kind)]
        return cls(
            url=url,
            name=service_name(url),
            item_id=text_of(value, "serviceItemId"),
            capabilities=capabilities(value),
            sync_models=tuple(models),
            supports_async=_any_true(sync, "supportsAsync", "supportsASync"),
            supports_direction_control=sync.get("supportsSyncDirectionControl") is True,
            supports_attachments_direction=sync.get("supportsAttachmentsSyncDirection") is True,
            supports_registering=sync.get("supportsRegisteringExistingData") is True,
            supports_rollback=sync.get("supportsRollbackOnFailure") is True,
            supports_branch_reconcile=sync.get("supportsBranchVersionReconcile") is True,
            supports_global_ids=value.get("supportsApplyEditsWithGlobalIds") is True,
            supports_change_tracking="changetracking" in capabilities(value),
            # Editing brings it along ("Feature service", capabilities).
            supports_uploads=bool(capabilities(value) & {"uploads", "create", "update", "editing"}),
            supports_edits_upload=editing.get("supportsApplyEditsbyUploadID") is True,
            supports_async_edits=editing.get("supportsAsyncApplyEdits") is True,
            has_versioned_data=value.get("hasVersionedData") is True,
            spatial_reference=SpatialReference.from_json(
                reference if isinstance(reference, dict) else None
            ),
            full_extent=_envelope(value, "fullExtent"),
            layer_ids=tuple(ids),
            max_record_count=_number(value, "maxRecordCount") or 1000,
            resource=value,
        )

    @property
    def can_sync(self) -> bool:
        return "sync" in self.capabilities or self.resource.get("syncEnabled") is True

    @property
    def is_editable(self) -> bool:
        return bool(self.capabilities & {"create", "update", "delete", "editing"})


def service_name(url: str) -> str:
    """The service's name from its URL, safe as a file name: ``…/Trees/FeatureServer`` → Trees."""
    parts = [p for p in unquote(url.split("?")[0]).split("/") if p] or [""]
    name = parts[-2] if len(parts) >= 2 and parts[-1].casefold() == "featureserver" else parts[-1]
    safe = re.sub(r"[^\w-]+", "_", name).strip("_")
    return safe.encode()[:80].decode(errors="ignore") or "service"


def capabilities(value: JsonObject) -> frozenset[str]:
    """The words of a resource's ``capabilities``, folded to lower case."""
    text = value.get("capabilities")
    if not isinstance(text, str):
        return frozenset()
    return frozenset(word.strip().casefold() for word in text.split(",") if word.strip())


def _number(value: JsonObject, name: str) -> int:
    number = value.get(name)
    return number if isinstance(number, int) else 0


def _any_true(value: JsonObject, *names: str) -> bool:
    return any(value.get(name) is True for name in names)


def _of_type(fields: tuple[Field, ...], kind: FieldType) -> str:
    return next((f.name for f in fields if f.type is kind), "")


def _envelope(value: JsonObject, name: str) -> Envelope | None:
    """None for a missing extent and for the ``NaN`` extent of an empty layer."""
    extent = value.get(name)
    if not isinstance(extent, dict):
        return None
    corners = [extent.get(name) for name in ("xmin", "ymin", "xmax", "ymax")]
    if not all(isinstance(c, int | float) and math.isfinite(c) for c in corners):
        return None
    return Envelope.from_json(extent)
