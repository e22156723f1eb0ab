"""What a service says of its layers, in the shapes and gaps in which services say it."""

import pytest

from engine.errors import ProtocolError
from engine.layer_schema import (
    Domain,
    Field,
    FieldType,
    LayerSchema,
    ServiceSchema,
    capabilities,
    service_name,
)
from engine.model import Envelope, SpatialReference, SyncModel

URL = "https://example.com/arcgis/rest/services/Trees/FeatureServer"
FIELDS: list[object] = [
    {"name": "OBJECTID", "type": "esriFieldTypeOID", "nullable": False, "editable": False},
    {"name": "GlobalID", "type": "esriFieldTypeGlobalID", "length": 38},
    {"name": "name", "type": "esriFieldTypeString", "length": 50, "alias": "Name"},
    {"name": "height", "type": "esriFieldTypeDouble"},
]
LAYER: dict[str, object] = {
    "id": 3,
    "name": "Trees",
    "type": "Feature Layer",
    "geometryType": "esriGeometryPoint",
    "objectIdField": "OBJECTID",
    "globalIdField": "GlobalID",
    "fields": FIELDS,
    "extent": {
        "xmin": 0,
        "ymin": 1,
        "xmax": 2,
        "ymax": 3,
        "spatialReference": {"wkid": 102100, "latestWkid": 3857},
    },
    "capabilities": "Create,Delete,Query,Update,Editing,Sync",
    "hasAttachments": True,
    "supportsApplyEditsWithGlobalIds": True,
    "maxRecordCount": 2000,
}
SERVICE: dict[str, object] = {
    "capabilities": "Query,Sync",
    "spatialReference": {"wkid": 4326},
    "layers": [{"id": 0}, {"id": 3}],
    "tables": [{"id": 7}],
}


def layer(**changes: object) -> LayerSchema:
    return LayerSchema.from_json(LAYER | changes, SERVICE)


def service(**changes: object) -> ServiceSchema:
    return ServiceSchema.from_json(SERVICE | changes, URL)


def test_a_layer_as_it_is_documented() -> None:
    trees = layer()

    assert (trees.id, trees.name, trees.geometry_type) == (3, "Trees", "esriGeometryPoint")
    assert (trees.object_id_field, trees.global_id_field) == ("OBJECTID", "GlobalID")
    assert [f.name for f in trees.fields] == ["OBJECTID", "GlobalID", "name", "height"]
    assert (trees.can_create, trees.can_update, trees.can_delete) == (True, True, True)
    assert trees.is_editable
    assert trees.has_attachments
    assert trees.supports_global_ids
    assert trees.spatial_reference == SpatialReference.of(102100)
    assert trees.extent == Envelope.parse("0,1,2,3,102100")
    assert trees.max_record_count == 2000
    assert trees.resource["hasAttachments"] is True


def test_a_table_has_no_geometry() -> None:
    table = layer(geometryType=None, extent=None, type="Table")

    assert table.geometry_type is None
    assert table.extent is None
    assert table.spatial_reference == SpatialReference.of(4326)


def test_key_fields_are_found_by_their_type_where_the_layer_does_not_name_them() -> None:
    trees = layer(objectIdField=None, globalIdField="")

    assert (trees.object_id_field, trees.global_id_field) == ("OBJECTID", "GlobalID")


def test_a_layer_that_cannot_sync_has_no_global_id() -> None:
    assert layer(globalIdField="", fields=FIELDS[:1]).global_id_field == ""


@pytest.mark.parametrize("name", ["name", "NAME", "Name"])
def test_fields_are_found_in_any_case(name: str) -> None:
    found = layer().field(name)

    assert found is not None
    assert found.name == "name"
    assert layer().field("missing") is None


@pytest.mark.parametrize(
    ("words", "create", "update", "delete"),
    [
        ("Query,Sync", False, False, False),
        ("create, QUERY", True, False, False),
        ("Update", False, True, False),
        ("Query,Editing", True, True, True),
    ],
)
def test_abilities_come_from_capabilities(
    words: str, create: bool, update: bool, delete: bool
) -> None:
    trees = layer(capabilities=words)

    assert (trees.can_create, trees.can_update, trees.can_delete) == (create, update, delete)
    assert trees.is_editable == (create or update or delete)


def test_a_layer_without_capabilities_has_those_of_its_service() -> None:
    assert not layer(capabilities=None).is_editable
    silent = LAYER | {"capabilities": ""}
    assert LayerSchema.from_json(silent, {"capabilities": "Create"}).can_create


@pytest.mark.parametrize(
    "extent",
    [
        None,
        {},
        {"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN"},
        {"xmin": float("nan"), "ymin": 0, "xmax": 1, "ymax": 1},
        {"xmin": None, "ymin": None, "xmax": None, "ymax": None},
    ],
)
def test_an_empty_layer_has_no_extent(extent: object) -> None:
    assert layer(extent=extent).extent is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fields": []}, "lists no fields"),
        ({"fields": None}, "lists no fields"),
        ({"geometryType": "esriGeometryMultiPatch"}, "esriGeometryMultiPatch"),
        ({"fields": [{"name": "", "type": "esriFieldTypeOID"}]}, "without a name"),
        ({"fields": [{"type": "esriFieldTypeOID"}]}, "without a name"),
        ({"fields": [{"name": "a", "type": "esriFieldTypeHologram"}]}, "esriFieldTypeHologram"),
        ({"fields": [{"name": "a"}]}, "unknown type None"),
    ],
)
def test_a_layer_that_cannot_be_understood_says_why(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        layer(**changes)


# --- fields and domains ---------------------------------------------------------------------------


def test_a_field_with_everything() -> None:
    found = Field.from_json(
        {
            "name": "kind",
            "type": "esriFieldTypeString",
            "alias": "Kind",
            "length": 20,
            "nullable": False,
            "editable": False,
            "defaultValue": "oak",
            "domain": {
                "type": "codedValue",
                "name": "kinds",
                "codedValues": [{"code": "oak", "name": "Oak"}, {"code": "elm", "name": "Elm"}],
            },
        }
    )

    assert found == Field(
        name="kind",
        type=FieldType.STRING,
        alias="Kind",
        length=20,
        nullable=False,
        editable=False,
        default="oak",
        domain=Domain(name="kinds", codes=(("oak", "Oak"), ("elm", "Elm"))),
    )


def test_a_field_with_next_to_nothing() -> None:
    assert Field.from_json({"name": "a", "type": "esriFieldTypeInteger"}) == Field(
        name="a", type=FieldType.INTEGER, alias="a"
    )


def test_only_text_has_a_length() -> None:
    assert Field.from_json({"name": "a", "type": "esriFieldTypeGUID", "length": 38}).length == 0
    assert Field.from_json({"name": "a", "type": "esriFieldTypeString", "length": "9"}).length == 0


@pytest.mark.parametrize("kind", FieldType)
def test_every_type_is_understood_and_sorted(kind: FieldType) -> None:
    found = Field.from_json({"name": "a", "type": kind.value}).type

    assert found is kind
    assert not (kind.is_integer and kind.is_real)


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        (
            {"type": "range", "name": "r", "range": [0, 1.5], "description": "d"},
            Domain(name="r", description="d", range=(0, 1.5)),
        ),
        (
            {"name": "c", "codedValues": [{"code": 1, "name": "one"}, "odd", {"name": "none"}]},
            Domain(name="c", codes=((1, "one"), (None, "none"))),
        ),
        ({"name": "c", "codedValues": []}, Domain(name="c")),
        ({"type": "inherited"}, None),
        ({"name": "r", "range": [0]}, None),
        ({"name": "r", "range": ["0", None]}, None),
        ({}, None),
    ],
)
def test_domains(value: dict[str, object], domain: Domain | None) -> None:
    assert Domain.from_json(value) == domain


def test_both_ends_of_a_relationship() -> None:
    trees = layer(
        relationships=[
            {
                "id": 0,
                "name": "visits",
                "relatedTableId": 7,
                "cardinality": "esriRelCardinalityOneToMany",
                "role": "esriRelRoleOrigin",
                "keyField": "GlobalID",
                "composite": True,
            },
            {"id": 1, "role": "esriRelRoleDestination"},
        ]
    )

    origin, destination = trees.relationships
    assert (origin.related_table_id, origin.key_field) == (7, "GlobalID")
    assert origin.is_origin
    assert origin.is_composite
    assert not destination.is_origin
    assert not destination.is_composite


# --- the service --------------------------------------------------------------------------------


def test_a_service_says_little_and_is_understood() -> None:
    plain = service()

    assert plain.can_sync
    assert not plain.is_editable
    assert plain.layer_ids == (0, 3, 7)
    assert plain.sync_models == (SyncModel.PER_REPLICA,)
    assert plain.name == "Trees"
    assert plain.max_record_count == 1000
    assert not plain.supports_async


def test_a_service_says_much() -> None:
    rich = service(
        capabilities="Create,Sync,ChangeTracking",
        syncCapabilities={
            "supportsPerReplicaSync": False,
            "supportsPerLayerSync": True,
            "supportsASync": True,
            "supportsSyncDirectionControl": True,
            "supportsAttachmentsSyncDirection": True,
            "supportsRollbackOnFailure": True,
        },
        supportsApplyEditsWithGlobalIds=True,
        hasVersionedData=True,
        serviceItemId="abc",
        fullExtent={"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1},
    )

    assert rich.sync_models == (SyncModel.PER_LAYER,)
    assert rich.supports_async
    assert rich.supports_direction_control
    assert rich.supports_attachments_direction
    assert rich.supports_rollback
    assert rich.supports_global_ids
    assert rich.supports_change_tracking
    assert rich.has_versioned_data
    assert rich.item_id == "abc"
    assert rich.full_extent is not None
    assert rich.is_editable


@pytest.mark.parametrize("spelling", ["supportsAsync", "supportsASync"])
def test_both_spellings_of_async(spelling: str) -> None:
    assert service(syncCapabilities={spelling: True}).supports_async


def test_sync_may_be_said_in_two_ways() -> None:
    assert not service(capabilities="Query").can_sync
    assert service(capabilities="Query", syncEnabled=True).can_sync


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Query, Sync ,,CREATE", {"query", "sync", "create"}),
        ("", set()),
        (None, set()),
        (["Query"], set()),
    ],
)
def test_capabilities_are_folded(text: object, words: set[str]) -> None:
    assert capabilities({"capabilities": text}) == words


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "Trees"),
        (URL + "/", "Trees"),
        (URL + "?token=x", "Trees"),
        ("http://h/Trees/featureserver", "Trees"),
        ("http://h/a/Öffentliche Bäume/FeatureServer", "Öffentliche_Bäume"),
        ("http://h/B%C3%A4ume/FeatureServer", "Bäume"),
        ("http://h/..%2F..%2Fetc/FeatureServer", "etc"),
        ("http://h/..%2F../FeatureServer", "service"),
        ("http://h/" + "树" * 50 + "/FeatureServer", "树" * 26),
        ("http://h/" + "x" * 200 + "/FeatureServer", "x" * 80),
        ("http://h/Trees/MapServer", "MapServer"),
        ("http://h/!!!/FeatureServer", "service"),
        ("", "service"),
        ("/", "service"),
    ],
)
def test_a_service_names_its_file(url: str, name: str) -> None:
    assert service_name(url) == name
