"""Web maps as authors make them: what of them is of a feature service, and which rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import MapError
from engine.maps.web_map import (
    EditableDownload,
    EditableSync,
    OfflineSettings,
    WebMap,
    WebMapLayer,
    clauses,
)

TREES = "https://gis.example.org/arcgis/rest/services/Trees/FeatureServer"
PORTAL = "https://gis.example.org/portal"

Json = dict[str, Any]


def web_map(*layers: Json, portal: str = "", **members: Any) -> WebMap:
    return WebMap.from_json({"operationalLayers": list(layers), **members}, portal=portal)


def layer(number: int = 0, where: str = "", **members: Any) -> Json:
    value: Json = {"id": f"l{number}", "title": f"Layer {number}", "url": f"{TREES}/{number}"}
    if where:
        value["layerDefinition"] = {"definitionExpression": where}
    return {"layerType": "ArcGISFeatureLayer", **value, **members}


def only(found: WebMap) -> WebMapLayer:
    (one,) = found.every
    return one


def test_layer_of_a_feature_service_is_taken_with_its_clause() -> None:
    one = only(web_map(layer(3, "STATE='UT'")))

    assert (one.service_url, one.layer_id, one.where) == (TREES, 3, "STATE='UT'")
    assert one.can_be_taken
    assert not one.is_table


def test_groups_are_resolved_in_the_order_of_the_map() -> None:
    inner = {"layerType": "GroupLayer", "id": "g2", "layers": [layer(1), layer(2)]}
    outer = {"layerType": "GroupLayer", "id": "g1", "layers": [inner, layer(3)]}
    found = web_map(layer(0), outer, tables=[layer(4)])

    assert [one.layer_id for one in found.layers] == [0, 1, 2, 3]
    assert [(one.layer_id, one.is_table) for one in found.tables] == [(4, True)]


def test_subtype_group_layer_is_one_layer_of_the_service() -> None:
    sublayers = [{"id": "s1", "subtypeCode": 1}, {"id": "s2", "subtypeCode": 2}]
    one = only(web_map(layer(5, "A=1", layerType="SubtypeGroupLayer", layers=sublayers)))

    assert (one.layer_id, one.where, one.can_be_taken) == (5, "A=1", True)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"layerType": "WMS", "url": "https://x.org/wms"}, "WMS cannot be taken offline"),
        ({"layerType": "VectorTileLayer"}, "VectorTileLayer cannot"),
        (layer(url="https://x.org/rest/services/A/MapServer/0"), "a layer of a map service"),
        (layer(url=TREES), "no layer of it"),
        (layer(url="https://x.org/page"), "not a layer of a feature service"),
        (layer(url=f"{TREES}/one"), "not a layer of a feature service"),
        (layer(url="/FeatureServer/1"), "not a layer of a feature service"),
        (layer(url=""), "at which URL"),
        (layer(url="", type="Feature Collection", itemId="a"), "another portal item"),
    ],
)
def test_other_layers_are_kept_with_the_reason(value: Json, reason: str) -> None:
    one = only(web_map(value))

    assert reason in one.problem
    assert not one.can_be_taken


def test_features_that_stand_in_the_map_are_there_and_taken_from_nowhere() -> None:
    one = only(web_map(layer(featureCollection={"layers": []})))

    assert one.is_embedded
    assert not one.can_be_taken
    assert not one.problem


def test_group_that_its_author_keeps_online_stays_with_all_its_layers() -> None:
    online = {"offline": {"connectedOnlineLayers": [{"id": "g"}, {"id": "l4"}]}}
    group = {"layerType": "GroupLayer", "id": "g", "layers": [layer(1)]}
    found = web_map(group, layer(2), tables=[layer(4)], applicationProperties=online)

    assert {one.layer_id for one in found.every if one.can_be_taken} == {2}
    assert [one.id for one in found.every if one.stays_online] == ["l1", "l4"]


@pytest.mark.parametrize(
    ("wheres", "expected"),
    [
        (["A=1"], "A=1"),
        (["A=1", "A=1"], "A=1"),
        (["A=1", "B=2 OR C=3"], "(A=1) OR (B=2 OR C=3)"),
        (["A=1", ""], ""),
        (["", ""], ""),
    ],
)
def test_layer_that_is_there_twice_is_taken_with_the_rows_of_both(
    wheres: list[str], expected: str
) -> None:
    found = web_map(*(layer(0, where) for where in wheres))

    assert clauses(found.services()[TREES]) == {0: expected}


def test_layers_without_ids_of_their_own_can_be_told_apart() -> None:
    found = web_map(layer(0, id="a"), layer(1, id="a"), layer(2, id=None), layer(3, id=""))

    assert len({one.id for one in found.every}) == 4


def test_service_that_is_spelled_in_two_ways_is_one() -> None:
    http = TREES.replace("https", "http").upper().replace("HTTP", "http")
    found = web_map(layer(0), layer(1, url=f"{http}/1?token=abc"), portal=PORTAL)

    assert list(found.services()) == [TREES]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{TREES.replace('https', 'http')}/0", TREES),
        ("http://services.arcgis.com/X/FeatureServer/0", None),
        ("http://other.example.org/X/FeatureServer/0", "http://other.example.org/X/FeatureServer"),
        ("http://gis.example.org:6080/X/FeatureServer/0", None),
    ],
)
def test_http_becomes_https_where_that_is_known_to_be_there(url: str, expected: str | None) -> None:
    one = only(web_map(layer(url=url), portal=PORTAL))

    told = {
        "http://services.arcgis.com/X/FeatureServer/0": "https://services.arcgis.com/X/FeatureServer"
    }
    assert one.service_url == (expected or told.get(url, url.removesuffix("/0")))


@pytest.mark.parametrize("value", [{}, {"operationalLayers": "x"}, {"operationalLayers": ["x"]}])
def test_what_is_no_web_map_is_refused(value: Json) -> None:
    with pytest.raises(MapError):
        WebMap.from_json(value)


def test_groups_without_end_are_refused() -> None:
    value = layer(0)
    for _ in range(100):
        value = {"layerType": "GroupLayer", "layers": [value]}

    with pytest.raises(MapError, match="deep"):
        web_map(value)


# --- offline settings -----------------------------------------------------------------------------


def test_without_settings_all_is_downloaded_and_synced() -> None:
    assert web_map().offline == OfflineSettings()
    assert OfflineSettings().download is EditableDownload.FEATURES_AND_ATTACHMENTS
    assert OfflineSettings().sync is EditableSync.FEATURES_AND_ATTACHMENTS
    assert OfflineSettings().downloads_attachments_of_readonly


def test_settings_of_the_author_are_read() -> None:
    value = {
        "editableLayers": {"download": "none", "sync": "syncFeaturesUploadAttachments"},
        "readonlyLayers": {"downloadAttachments": False},
        "tables": {"includeRows": False},
        "offlinebasemap": {"referenceBasemapName": "base.tpkx"},
        "connectedOnlineLayers": [{"id": "a"}, {"id": 3}, "b"],
    }

    assert OfflineSettings.from_json(value) == OfflineSettings(
        download=EditableDownload.NONE,
        sync=EditableSync.FEATURES_UPLOAD_ATTACHMENTS,
        downloads_attachments_of_readonly=False,
        includes_rows_of_tables=False,
        reference_basemap="base.tpkx",
        online_layers=frozenset({"a"}),
    )


@pytest.mark.parametrize("word", ["everything", 3, [], {}])
def test_setting_that_is_not_known_is_told_and_has_its_default(word: object) -> None:
    found = OfflineSettings.from_json({"editableLayers": {"download": word}})

    assert found.download is EditableDownload.FEATURES_AND_ATTACHMENTS
    assert len(found.notes) == 1


def test_definition_is_kept_as_it_was(tmp_path: Path) -> None:
    value = {"operationalLayers": [layer(0)], "bookmarks": [{"name": "x"}], "unknown": 1}

    assert WebMap.from_json(value).definition == json.loads(json.dumps(value))
