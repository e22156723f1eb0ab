"""Layer and service resources for the tests of the geodatabase, as a feature service gives them."""

from collections.abc import Sequence

from engine.layer_schema import LayerSchema, ServiceSchema

URL = "https://example.com/arcgis/rest/services/Trees/FeatureServer"
WEB_MERCATOR = {"wkid": 102100, "latestWkid": 3857}
SPECIES: dict[str, object] = {
    "type": "codedValue",
    "name": "Species",
    "description": "what grows",
    "codedValues": [{"name": "Oak", "code": "OAK"}, {"name": "Élm's", "code": "ELM"}],
}
HEIGHT: dict[str, object] = {"type": "range", "name": "Height", "range": [0, 120]}

ALL_TYPES: tuple[tuple[str, str], ...] = (
    ("small", "esriFieldTypeSmallInteger"),
    ("whole", "esriFieldTypeInteger"),
    ("big", "esriFieldTypeBigInteger"),
    ("single", "esriFieldTypeSingle"),
    ("real", "esriFieldTypeDouble"),
    ("words", "esriFieldTypeString"),
    ("moment", "esriFieldTypeDate"),
    ("day", "esriFieldTypeDateOnly"),
    ("clock", "esriFieldTypeTimeOnly"),
    ("offset", "esriFieldTypeTimestampOffset"),
    ("other", "esriFieldTypeGUID"),
)
"""Every field type that has a wire form, beside object id and GlobalID."""


def field(name: str, kind: str, **more: object) -> dict[str, object]:
    """A field as a layer resource lists it."""
    return {"name": name, "type": kind, "alias": name, "nullable": True, "editable": True, **more}


def service(**more: object) -> ServiceSchema:
    """An editable service with sync."""
    value = {
        "capabilities": "Create,Delete,Query,Sync,Update,Editing,Extract",
        "syncEnabled": True,
        "serviceItemId": "0123456789abcdef0123456789abcdef",
        "spatialReference": WEB_MERCATOR,
        **more,
    }
    return ServiceSchema.from_json(value, URL)


def layer(
    id_: int = 0,
    name: str = "Trees",
    geometry: str | None = "esriGeometryPoint",
    fields: Sequence[dict[str, object]] = (),
    **more: object,
) -> LayerSchema:
    """A layer (or with ``geometry=None`` a table) with ``fields`` beside its two ids."""
    value: dict[str, object] = {
        "id": id_,
        "name": name,
        "type": "Feature Layer" if geometry else "Table",
        "geometryType": geometry,
        "objectIdField": "OBJECTID",
        "globalIdField": "GlobalID",
        "capabilities": "Create,Delete,Query,Sync,Update,Editing",
        "allowGeometryUpdates": True,
        "fields": [
            field("OBJECTID", "esriFieldTypeOID", nullable=False, editable=False),
            field("GlobalID", "esriFieldTypeGlobalID", nullable=False, editable=False),
            *fields,
        ],
        **more,
    }
    if geometry:
        value["extent"] = {
            "xmin": -100,
            "ymin": -100,
            "xmax": 100,
            "ymax": 100,
            "spatialReference": WEB_MERCATOR,
        }
    return LayerSchema.from_json(value, service().resource)


def trees(capabilities: str = "Create,Delete,Query,Sync,Update,Editing") -> LayerSchema:
    """Points with a domain of each kind, attachments and inspections."""
    return layer(
        fields=[
            field("species", "esriFieldTypeString", length=10, domain=SPECIES),
            field("height", "esriFieldTypeDouble", domain=HEIGHT),
            field("planted", "esriFieldTypeDate"),
            field("edited_by", "esriFieldTypeString", length=50, editable=False),
        ],
        hasAttachments=True,
        relationships=[
            {
                "id": 3,
                "name": "inspections",
                "relatedTableId": 1,
                "cardinality": "esriRelCardinalityOneToMany",
                "role": "esriRelRoleOrigin",
                "keyField": "GlobalID",
                "composite": True,
            }
        ],
        capabilities=capabilities,
    )


def inspections() -> LayerSchema:
    """The table of inspections that hang on trees by their GlobalID."""
    return layer(
        1,
        "Inspections",
        None,
        [
            field("tree_guid", "esriFieldTypeGUID"),
            field("note", "esriFieldTypeString", length=200),
        ],
        relationships=[
            {
                "id": 3,
                "name": "tree",
                "relatedTableId": 0,
                "cardinality": "esriRelCardinalityOneToMany",
                "role": "esriRelRoleDestination",
                "keyField": "tree_guid",
            }
        ],
    )


def many_to_many() -> list[LayerSchema]:
    """Two layers and the table between them, related many to many."""

    def end(role: str, other: int, key: str, through: str) -> dict[str, object]:
        return {
            "id": 7,
            "name": "crews",
            "relatedTableId": other,
            "cardinality": "esriRelCardinalityManyToMany",
            "role": role,
            "keyField": key,
            "relationshipTableId": 12,
            "keyFieldInRelationshipTable": through,
        }

    return [
        layer(
            10,
            "Sites",
            fields=[field("code", "esriFieldTypeInteger")],
            relationships=[end("esriRelRoleOrigin", 11, "CODE", "site")],
        ),
        layer(
            11,
            "Crews",
            None,
            relationships=[end("esriRelRoleDestination", 10, "GlobalID", "crew")],
        ),
        layer(
            12,
            "SitesCrews",
            None,
            [field("site", "esriFieldTypeInteger"), field("crew", "esriFieldTypeGUID")],
        ),
    ]
