"""Queries and the resources they go with."""

import json
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.feature_service import FeatureServer
from tests.feature_service.geojson import collection

from .client import Client, names
from .world import HYDRANTS, PIPES, VISITS, ZONES, gid, service_document, write_service


async def test_query_when_paged_then_says_so_until_the_end(client: Client) -> None:
    first = await client.get(
        f"{HYDRANTS}/query", where="1=1", resultRecordCount=5, outFields="name"
    )
    last = await client.get(
        f"{HYDRANTS}/query", where="1=1", resultOffset=5, resultRecordCount=5, outFields="name"
    )

    assert first["exceededTransferLimit"] is True
    assert "exceededTransferLimit" not in last
    assert names(first["features"]) + names(last["features"]) == [f"H{n}" for n in range(1, 10)]
    assert [field["name"] for field in first["fields"]] == ["name"]


async def test_query_when_only_count_ids_or_extent_wanted_then_only_these(client: Client) -> None:
    path = f"{HYDRANTS}/query"

    assert await client.get(path, where="serial<4", returnCountOnly=True) == {"count": 3}
    assert await client.get(path, where="serial<3", returnIdsOnly="True") == {
        "objectIdFieldName": "OBJECTID",
        "objectIds": [1, 2],
    }
    extent = (await client.get(path, where="serial<4", returnExtentOnly=True))["extent"]
    assert (extent["xmin"], extent["ymax"]) == (100.0, 300.0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"geometry": "150,150,350,350"}, [2, 3]),
        ({"geometry": " 150 , 150,350.5,350"}, [2, 3]),
        ({"geometry": {"xmin": 150, "ymin": 150, "xmax": 350, "ymax": 350}}, [2, 3]),
        ({"geometry": "100,100", "geometryType": "esriGeometryPoint"}, [1]),
        ({"geometry": {"x": 100, "y": 100}, "geometryType": "esriGeometryPoint"}, [1]),
        (
            {
                "geometry": {"rings": [[[0, 0], [0, 500], [350, 350], [0, 0]]]},
                "geometryType": "esriGeometryPolygon",
            },
            [1, 2, 3],
        ),
        (
            {
                "geometry": {"rings": [[[0, 0], [0, 500], [500, 0], [0, 0]]]},
                "geometryType": "esriGeometryPolygon",
            },
            [1, 2],
        ),
        (
            {
                "geometry": {"paths": [[[50, 50], [250, 250]]]},
                "geometryType": "esriGeometryPolyline",
            },
            [1, 2],
        ),
        ({"geometry": "0.0013,0.0013,0.0019,0.0019", "inSR": "4326"}, [2]),
        ({"geometry": "0.0013,0.0013,0.0019,0.0019", "inSR": {"wkid": 4326}}, [2]),
        ({"geometry": "150,150,350,350", "inSR": "900913"}, [2, 3]),
        ({"geometry": "150,150,350,350", "inSR": {"wkid": 102100}}, [2, 3]),
        ({"objectIds": "3,4"}, [3, 4]),
        ({"objectIds": "[3, 4]"}, [3, 4]),
        ({"globalIds": f"{gid(5)},{gid(6).lower()}"}, [5, 6]),
        ({"where": "serial>3", "objectIds": "3,4"}, [4]),
    ],
)
async def test_query_when_narrowed_then_finds(
    client: Client, fields: dict[str, object], expected: list[int]
) -> None:
    answer = await client.post(f"{HYDRANTS}/query", returnIdsOnly=True, **fields)

    assert answer.get("objectIds") == expected, answer


async def test_query_when_line_is_long_then_box_is_not_enough(client: Client) -> None:
    corner = {"rings": [[[0, 0], [0, 90], [90, 0], [0, 0]]]}

    answer = await client.post(
        f"{ZONES}/query",
        geometry={"rings": [[[310, 310], [310, 290], [290, 310], [310, 310]]]},
        geometryType="esriGeometryPolygon",
        returnCountOnly=True,
    )
    inside = await client.post(
        f"{ZONES}/query", geometry=corner, geometryType="esriGeometryPolygon", returnCountOnly=True
    )
    missed = await client.post(
        f"{PIPES}/query",
        geometry={"rings": [[[110, 10], [190, 10], [150, 90], [110, 10]]]},
        geometryType="esriGeometryPolygon",
        returnCountOnly=True,
    )

    assert (answer["count"], inside["count"], missed["count"]) == (1, 1, 0)


async def test_query_when_out_sr_is_given_then_moved(client: Client) -> None:
    answer = await client.get(f"{HYDRANTS}/query", objectIds=1, outSR=4326)

    assert answer["spatialReference"] == {"wkid": 4326, "latestWkid": 4326}
    assert answer["features"][0]["geometry"]["x"] == pytest.approx(0.000898315, abs=1e-9)


async def test_query_when_out_sr_is_unknown_then_error(client: Client) -> None:
    answer = await client.get(f"{HYDRANTS}/query", objectIds=1, outSR=27700)

    assert "27700" in answer["error"]["details"][0]


async def test_query_when_z_and_m_are_wanted_then_given(client: Client) -> None:
    flat = await client.get(f"{ZONES}/query", where="1=1", returnGeometry=True)
    full = await client.get(f"{ZONES}/query", where="1=1", returnZ=True, returnM=True)

    assert flat["features"][0]["geometry"]["rings"][0][1] == [0.0, 300.0]
    assert full["features"][0]["geometry"]["rings"][0][1] == [0.0, 300.0, 1.0, None]
    assert (full["hasZ"], full["hasM"]) == (True, True)


async def test_query_when_ordered_then_in_that_order(client: Client) -> None:
    answer = await client.get(
        f"{HYDRANTS}/query", where="serial<5", outFields="*", orderByFields="status DESC, name ASC"
    )

    assert names(answer["features"]) == ["H1", "H3", "H2", "H4"]


@pytest.mark.parametrize(
    "fields", [{}, {"where": ""}, {"where": "1=1", "orderByFields": "vid"}, {"outFields": "gone"}]
)
async def test_query_when_unclear_then_error(client: Client, fields: dict[str, str]) -> None:
    assert "error" in await client.get(f"{HYDRANTS}/query", **fields)


async def test_query_related_when_asked_then_groups(client: Client) -> None:
    answer = await client.get(
        f"{HYDRANTS}/queryRelatedRecords", objectIds="1,2,8", relationshipId=0, outFields="note"
    )

    assert [
        (group["objectId"], names(group["relatedRecords"], "note"))
        for group in answer["relatedRecordGroups"]
    ] == [(1, ["visit 1", "visit 2"]), (8, ["visit 3"])]


async def test_query_when_geojson_is_wanted_then_in_degrees(client: Client) -> None:
    points = await client.get(f"{HYDRANTS}/query", where="serial<3", outFields="*", f="geojson")
    page = await client.get(f"{HYDRANTS}/query", where="1=1", resultRecordCount=2, f="geojson")
    areas = await client.get(f"{ZONES}/query", where="1=1", f="geojson")

    assert points["type"] == "FeatureCollection"
    assert points["features"][0]["geometry"]["coordinates"][0] == pytest.approx(0.00089831528)
    assert (points["features"][0]["id"], points["features"][0]["properties"]["name"]) == (1, "H1")
    assert page["properties"]["exceededTransferLimit"] is True
    assert areas["features"][0]["geometry"]["type"] == "Polygon"


def test_geojson_when_rings_are_mixed_then_grouped_by_what_holds_them() -> None:
    outer = [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0]]
    hole = [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]
    island = [[20, 20], [20, 21], [21, 21], [21, 20], [20, 20]]
    feature = {"attributes": {"OBJECTID": 1}, "geometry": {"rings": [island, hole, outer]}}

    shown = collection({"features": [feature]}, "OBJECTID")["features"][0]["geometry"]

    assert shown["type"] == "MultiPolygon"
    assert shown["coordinates"] == [[island[::-1]], [outer[::-1], hole[::-1]]]


async def test_statistics_when_asked_then_computed(client: Client) -> None:
    wanted = [{"statisticType": "max", "onStatisticField": "serial", "outStatisticFieldName": "m"}]

    answer = await client.get(f"{HYDRANTS}/query", where="1=1", outStatistics=wanted)

    assert answer["features"] == [{"attributes": {"m": 9}}]


async def test_service_root_when_read_then_has_what_sync_needs(client: Client) -> None:
    root = await client.get("")

    assert root["syncEnabled"] is True
    assert root["syncCapabilities"]["supportsPerLayerSync"] is True
    assert [layer["id"] for layer in root["layers"]] == [HYDRANTS, PIPES, ZONES]
    assert [table["id"] for table in root["tables"]] == [VISITS]
    assert root["changeTrackingInfo"]["layerServerGens"][0] == {
        "id": 0,
        "minServerGen": 1000,
        "serverGen": 1000,
    }
    assert root["fullExtent"]["xmin"] == 0.0


async def test_sync_when_new_field_types_and_an_older_server_then_off(data_dir: Path) -> None:
    document = {**service_document(), "currentVersion": 11.3}
    write_service(data_dir / "older", document, {})

    async with FeatureServer(data_dir) as server, ClientSession() as session:
        older = Client(session, server.url("older"))
        root = await older.get("")
        refused = await older.replica()

    assert (root["syncEnabled"], "Sync" in root["capabilities"]) == (False, False)
    assert refused["error"]["code"] == 400


async def test_layer_when_read_then_has_fields_and_relationships(client: Client) -> None:
    layer = await client.get(f"{HYDRANTS}/")

    assert (layer["objectIdField"], layer["globalIdField"]) == ("OBJECTID", "GlobalID")
    assert layer["relationships"][0]["relatedTableId"] == VISITS
    by_name = {field["name"]: field for field in layer["fields"]}
    assert by_name["edited_at"]["editable"] is False
    assert by_name["status"]["domain"]["codedValues"][0]["code"] == 1
    assert layer["extent"]["xmax"] == 900.0
    assert "geometryType" not in await client.get(f"{VISITS}")


async def test_answer_when_f_is_absent_then_html(client: Client) -> None:
    async with client.session.get(client.url) as response:
        assert response.content_type == "text/html"
        assert response.headers["Cache-Control"] == "no-store"


async def test_page_when_it_tells_what_was_asked_then_escaped(client: Client) -> None:
    async with client.session.get(f"{client.url}/0/query?outFields=<script>&where=1=1") as response:
        page = await response.text()

    assert "&lt;script&gt;" in page
    assert "<script>" not in page


async def test_answer_when_gzip_is_accepted_then_packed(client: Client) -> None:
    async with client.session.get(
        f"{client.url}?f=json", headers={"Accept-Encoding": "gzip"}
    ) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert json.loads(await response.read())["syncEnabled"] is True


async def test_answer_when_from_a_page_of_another_origin_then_readable(client: Client) -> None:
    headers = {"Origin": "http://maps.example", "Access-Control-Request-Headers": "x-esri"}

    async with client.session.options(client.url, headers=headers) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "http://maps.example"
        assert response.headers["Access-Control-Allow-Headers"] == "x-esri"


async def test_parameters_when_spelled_oddly_then_understood(client: Client) -> None:
    answer = await client.post(
        f"{HYDRANTS}/QUERY", WHERE="serial=1", OutFields="['name', 'serial']", RETURNGEOMETRY=False
    )

    assert answer["features"] == [{"attributes": {"name": "H1", "serial": 1}}]


@pytest.mark.parametrize(
    "path", ["nonsense", "0/nonsense", "99", "0/1/nonsense", "jobs", "7/query"]
)
async def test_path_when_unknown_then_error_in_the_body(client: Client, path: str) -> None:
    assert (await client.get(path))["error"]["code"] == 400


async def test_format_when_not_supported_then_error(client: Client) -> None:
    answer = await client.get(f"{HYDRANTS}/query", where="1=1", f="pbf")

    assert answer["error"]["code"] == 400
