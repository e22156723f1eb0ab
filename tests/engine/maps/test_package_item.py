"""What a package item tells, in whatever shape a portal tells it."""

import json
import sqlite3

import pytest

from engine.errors import MapError
from engine.geodatabase.package_record import (
    PackageGenerations,
    PackageRecord,
    get_package,
    set_package,
)
from engine.layer_schema import JsonObject
from engine.maps.package_item import PackageItem
from engine.model import AttachmentSyncDirection, Envelope, SpatialReference, SyncModel
from engine.service.portal import ItemInfo

URL = "https://example.org/arcgis/rest/services/water/FeatureServer"
SQUARE = {"xmin": 0, "ymin": 0, "xmax": 5, "ymax": 4}


def package(properties: JsonObject, kind: str = "SQLite Geodatabase") -> PackageItem:
    item = {"id": "p1", "type": kind, "title": "Water", "size": 77, "modified": 5}
    return PackageItem.from_item(ItemInfo.from_json({**item, "properties": properties}))


def test_package_when_everything_is_told_then_known() -> None:
    found = package(
        {
            "url": f"{URL}/?f=json",
            "layers": [0, 3],
            "layerQueries": {"0": {"where": "serial < 8"}, "3": {"queryOption": "none"}},
            "extent": {**SQUARE, "spatialReference": {"wkid": 25832}},
            "syncModel": "perLayer",
            "replicaID": "{ABC}",
            "layerServerGens": [{"id": 3, "serverGen": 12}, {"id": 0, "serverGen": 11}],
            "returnAttachments": True,
            "attachmentsSyncDirection": "upload",
            "createPkgDeltas": {"maxDeltaAge": 5},
            "lastPurgedGen": 9,
        }
    )

    assert (found.item_id, found.title, found.size_bytes, found.modified) == ("p1", "Water", 77, 5)
    assert (found.service_url, found.layer_ids, found.replica_id) == (URL, (0, 3), "{ABC}")
    assert found.layer_queries == {0: {"where": "serial < 8"}, 3: {"queryOption": "none"}}
    assert found.extent == Envelope(
        xmin=0, ymin=0, xmax=5, ymax=4, spatial_reference=SpatialReference.of(25832)
    )
    assert found.sync_model is SyncModel.PER_LAYER
    assert found.generations == PackageGenerations(layers={3: 12, 0: 11})
    assert found.generations.number == 12  # that of the layer that is told first
    assert found.return_attachments
    assert found.attachment_sync_direction is AttachmentSyncDirection.UPLOAD
    assert (found.keeps_updates, found.max_delta_age_days) == (True, 5)
    assert found.last_purged_generation == 9
    found.require_definition()


@pytest.mark.parametrize(
    "layers", [[0, 3], ["0", "3"], "0,3", "[0, 3]", [{"id": 0}, {"id": 3}], [0, 3, 0]]
)
def test_layers_when_listed_in_any_way_then_the_same(layers: object) -> None:
    assert package({"url": URL, "layers": layers}).layer_ids == (0, 3)


@pytest.mark.parametrize(
    "properties",
    [
        {"extent": SQUARE},
        {"extent": json.dumps(SQUARE)},
        {"extent": {**SQUARE, "spatialReference": {}}},
        {"area": {"rings": [[[0, 0], [0, 4], [5, 2], [0, 0]]]}},
        {"area": {"name": "Centre", "extent": SQUARE}},
        {"extent": "everything", "area": SQUARE},
    ],
)
def test_area_when_told_in_any_way_then_its_rectangle(properties: JsonObject) -> None:
    assert package({"url": URL, **properties}).extent == Envelope(xmin=0, ymin=0, xmax=5, ymax=4)


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"url": 7},
        {"extent": {"resource": "area.json"}, "layers": "all", "createPkgDeltas": None},
        {"area": {"rings": [[["a"]]]}, "layerServerGens": "none", "layers": [True, None]},
        {"area": {"rings": []}, "syncModel": "perPerson", "lastPurgedGen": "much"},
    ],
)
def test_properties_when_not_understood_then_nothing_is_told(properties: JsonObject) -> None:
    found = package(properties)

    assert (found.extent, found.layer_ids, found.sync_model) == (None, (), None)
    assert found.generations.number is None
    assert not found.keeps_updates
    assert found.last_purged_generation is None
    with pytest.raises(MapError, match="of which service"):
        found.require_definition()


@pytest.mark.parametrize("queries", [{"0": {"queryOption": "some"}}, {"x": {}}, {"0": "all"}])
def test_query_when_unknown_then_the_package_is_not_taken(queries: JsonObject) -> None:
    found = package({"url": URL, "layerQueries": queries})

    with pytest.raises(MapError, match="query of layer"):
        found.require_definition()


@pytest.mark.parametrize(
    ("kind", "is_tiles"),
    [("Vector Tile Package", True), ("Tile Package", True), ("Code Sample", False), ("", False)],
)
def test_package_when_of_another_type_then_it_has_no_features(kind: str, is_tiles: bool) -> None:
    found = package({"url": URL}, kind)

    assert (found.has_features, found.is_tiles) == (False, is_tiles)
    with pytest.raises(MapError, match=kind or "unknown"):
        found.require_definition()


def test_record_when_written_then_read_again() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE fieldsync_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    assert get_package(connection) is None
    for generations in (
        PackageGenerations(server=7),
        PackageGenerations(layers={3: 12, 0: 11}),
    ):
        record = PackageRecord(
            portal="https://example.org/portal",
            area_item_id="a1",
            item_id="p1",
            generations=generations,
            size_bytes=77,
            modified=5,
        )
        set_package(connection, record)

        found = get_package(connection)
        assert found == record
        assert list(found.generations.layers) == list(generations.layers)
