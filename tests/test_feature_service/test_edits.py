"""Editing by applyEdits and its siblings."""

from typing import Any

import pytest

from tests.feature_service import Profile
from tests.feature_service.geometry import Intake
from tests.feature_service.problem import EditError

from .client import Client, layer_of
from .conftest import Serve
from .world import HYDRANTS, PIPES, VISITS, ZONES, Json, gid


async def _apply(client: Client, layer: int = HYDRANTS, **fields: Any) -> Json:
    return dict(await client.post(f"{layer}/applyEdits", rollbackOnFailure=False, **fields))


async def _row(client: Client, oid: int, layer: int = HYDRANTS) -> Json:
    return dict((await client.get(f"{layer}/{oid}", returnZ=True, returnM=True))["feature"])


def _point(x: float = 1.0, y: float = 2.0, **attributes: Any) -> Json:
    return {"geometry": {"x": x, "y": y}, "attributes": attributes}


async def test_add_when_plain_then_server_makes_the_ids(client: Client) -> None:
    sent = _point(OBJECTID=None, GlobalID=None, name="new")

    answer = await _apply(client, adds=[sent])

    result = answer["addResults"][0]
    row = await _row(client, result["objectId"])
    assert result["objectId"] == 10
    assert row["attributes"]["GlobalID"] == result["globalId"] is not None
    assert (row["attributes"]["status"], row["attributes"]["serial"]) == (1, 0)


async def test_add_when_edited_then_tracked(client: Client) -> None:
    answer = await _apply(client, adds=[_point(created_by="me", edited_at=5)])

    row = (await _row(client, answer["addResults"][0]["objectId"]))["attributes"]
    assert row["created_by"] == row["edited_by"] == "Esri_Anonymous"
    assert row["created_at"] == row["edited_at"] == 1_700_000_000_000


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"serial": None}, 1001),
        ({"status": 7}, 1016),
        ({"pressure": 17}, 1016),
        ({"name": "x" * 21}, 1016),
        ({"serial": 2**31}, 1016),
        ({"serial": 1.5}, 1016),
        ({"status": "abc"}, 1016),
        ({"checked": "soon"}, 1016),
        ({"made": "now"}, 1023),
    ],
)
async def test_edit_when_value_is_not_allowed_then_refused(
    client: Client, attributes: Json, code: int
) -> None:
    added = await _apply(client, adds=[_point(**attributes)])
    updated = await _apply(client, updates=[{"attributes": {"OBJECTID": 1, **attributes}}])

    assert added["addResults"][0]["error"]["code"] == code
    assert updated["updateResults"][0]["error"]["code"] == code
    assert updated["updateResults"][0]["objectId"] == 1


async def test_update_when_partial_then_the_rest_stays(client: Client) -> None:
    before = await _row(client, 4)

    await _apply(client, updates=[{"attributes": {"objectid": 4, "NAME": None}}])

    after = await _row(client, 4)
    assert after["geometry"] == before["geometry"]
    assert after["attributes"]["name"] is None
    assert after["attributes"]["serial"] == 4


async def test_update_when_only_geometry_given_then_attributes_stay(client: Client) -> None:
    await _apply(client, updates=[{"attributes": {"OBJECTID": 4}, "geometry": {"x": 5, "y": 6}}])

    after = await _row(client, 4)
    assert after["geometry"] == {"x": 5.0, "y": 6.0}
    assert after["attributes"]["name"] == "H4"


async def test_edit_when_row_is_missing_then_1011(client: Client) -> None:
    answer = await _apply(client, updates=[{"attributes": {"OBJECTID": 99}}], deletes="98")

    assert answer["updateResults"][0]["error"]["code"] == 1011
    assert answer["deleteResults"][0] == {
        "objectId": 98,
        "globalId": None,
        "success": False,
        "error": {"code": 1011, "description": "The feature to delete does not exist."},
    }


async def test_edit_when_global_ids_are_used_then_keyed_by_them(client: Client) -> None:
    answer = await _apply(
        client,
        useGlobalIds=True,
        adds=[_point(GlobalID=gid(40).lower()), _point(), _point(GlobalID="")],
        updates=[{"attributes": {"GlobalID": gid(1), "name": "first"}}],
        deletes=[gid(2), gid(3)],
    )

    assert [result.get("error", {}).get("code") for result in answer["addResults"]] == [
        None,
        1020,
        1021,
    ]
    assert answer["addResults"][0]["globalId"] == gid(40)
    assert await client.oids(HYDRANTS, "name = 'first'") == [1]
    assert await client.oids(HYDRANTS, "OBJECTID IN (2, 3)") == []


async def test_edit_when_rolled_back_then_error_and_no_change(client: Client) -> None:
    answer = await client.post(
        f"{HYDRANTS}/applyEdits", adds=[_point(name="kept")], updates=[{"attributes": {}}]
    )

    assert answer["error"]["code"] == 400
    assert answer["error"]["extendedCode"] == -2147207418
    assert answer["error"]["details"][-1] == "Operation rolled back."
    assert await client.oids(HYDRANTS, "name = 'kept'") == []
    assert (await client.get(""))["changeTrackingInfo"]["layerServerGens"][0]["serverGen"] == 1000


async def test_edit_when_every_edit_fails_then_no_generation_is_taken(client: Client) -> None:
    await _apply(client, deletes="98,99")

    root = await client.get("")
    assert root["changeTrackingInfo"]["layerServerGens"][0]["serverGen"] == 1000


async def test_edit_when_row_is_edited_twice_in_one_call_then_last_one_stays(
    client: Client,
) -> None:
    replica = await client.replica()
    first, second = ({"attributes": {"OBJECTID": 1, "name": name}} for name in ("a", "b"))
    gone = {"attributes": {"OBJECTID": 2, "name": "c"}}

    await _apply(client, updates=[first, second, gone], deletes="2")

    features = layer_of(await client.sync(replica), HYDRANTS)["features"]
    assert [one["attributes"]["name"] for one in features["updates"]] == ["b"]
    assert features["deleteIds"] == [gid(2)]


def _intake(**more: Any) -> Intake:
    plain: Json = {"has_z": False, "has_m": False, "z_default": None, "move": None}
    return Intake(geometry_type="esriGeometryPolygon", decimals=None, **{**plain, **more})


def test_ring_when_open_then_closed() -> None:
    kept = _intake().keep({"rings": [[[0, 0], [0, 5], [5, 5]]]})

    assert kept["rings"][0] == [[0.0, 0.0], [0.0, 5.0], [5.0, 5.0], [0.0, 0.0]]


@pytest.mark.parametrize("ring", [[], [[0, 0]], [[0, 0], [1, 1]], [[0, 0], [1, 1], [0, 0]]])
def test_ring_when_too_short_then_refused(ring: list[list[float]]) -> None:
    with pytest.raises(EditError, match="fewer than 4 vertices"):
        _intake().keep({"rings": [ring]})


@pytest.mark.parametrize(
    ("flags", "vertex", "kept"),
    [
        ({"hasZ": True}, [1, 2, 3], [1.0, 2.0, 3.0]),
        ({}, [1, 2, 3], [1.0, 2.0, 3.0]),
        ({"hasM": True}, [1, 2, 9], [1.0, 2.0, 7.0]),
        ({"hasZ": True, "hasM": True}, [1, 2, 3, 4], [1.0, 2.0, 3.0]),
        ({}, [1, 2], [1.0, 2.0, 7.0]),
    ],
)
def test_vertex_when_layer_has_z_then_third_number_is_read_by_the_flags(
    flags: Json, vertex: list[float], kept: list[float]
) -> None:
    ring = [vertex, [5.0, 5.0, *vertex[2:]], [5.0, 0.0, *vertex[2:]]]

    found = _intake(has_z=True, z_default=7.0).keep({**flags, "rings": [ring]})

    assert found["rings"][0][0] == kept


async def test_edit_when_geometry_is_in_degrees_then_moved_and_snapped(client: Client) -> None:
    sent = _point(0.5, 0.5)
    sent["geometry"]["spatialReference"] = {"wkid": 4326}

    answer = await _apply(client, adds=[sent])

    row = await _row(client, answer["addResults"][0]["objectId"])
    assert row["geometry"] == {"x": 55659.7454, "y": 55660.4519}


@pytest.mark.parametrize(
    ("layer", "geometry", "code"),
    [
        (PIPES, {"paths": [[[0, 0], [1, 1]]]}, 1014),
        (PIPES, {"hasZ": True, "paths": [[[0, 0, 1]]]}, 1015),
        (PIPES, {"x": 1, "y": 2}, 1015),
        (PIPES, {"curvePaths": [[[0, 0], {"c": [[3, 3], [1, 4]]}]]}, 1005),
        (HYDRANTS, {"x": "a", "y": 2}, 1015),
        (HYDRANTS, {"paths": []}, 1015),
        (VISITS, {"x": 1, "y": 2}, 1015),
    ],
)
async def test_edit_when_geometry_does_not_fit_then_refused(
    client: Client, layer: int, geometry: Json, code: int
) -> None:
    answer = await _apply(client, layer, adds=[{"attributes": {}, "geometry": geometry}])

    assert answer["addResults"][0]["error"]["code"] == code


@pytest.mark.parametrize(
    ("layer", "geometry"),
    [
        (HYDRANTS, {"x": None, "y": None}),
        (HYDRANTS, None),
        (PIPES, {"paths": []}),
        (PIPES, {"hasZ": True, "paths": [[[0, 0, 1], [1, 1, 2]], [[5, 5, 5], [6, 6, 6]]]}),
    ],
)
async def test_edit_when_geometry_is_empty_or_manifold_then_kept(
    client: Client, layer: int, geometry: Json | None
) -> None:
    answer = await _apply(client, layer, adds=[{"attributes": {}, "geometry": geometry}])

    row = await _row(client, answer["addResults"][0]["objectId"], layer)
    shown = row["geometry"]
    if shown is not None and "paths" in shown:
        assert geometry is not None
        assert shown == {"hasZ": True, "paths": geometry["paths"]}
    else:
        assert shown == geometry


async def test_edit_when_layer_is_read_only_then_refused(client: Client) -> None:
    answer = await _apply(client, ZONES, adds=[{"attributes": {}}])

    assert answer["addResults"][0]["error"]["code"] == 1000


async def test_delete_when_composite_then_children_and_attachments_go(client: Client) -> None:
    await _apply(client, deletes="1")

    assert await client.oids(VISITS, "1=1") == [3]
    assert "error" in await client.get(f"{HYDRANTS}/1/attachments")


@pytest.mark.parametrize("fields", [{}, {"where": ""}, {"where": "  "}, {"objectIds": ""}])
async def test_delete_features_when_nothing_is_named_then_nothing_goes(
    client: Client, fields: Json
) -> None:
    answer = await client.post(f"{HYDRANTS}/deleteFeatures", **fields)

    assert "error" in answer
    assert len(await client.oids(HYDRANTS, "1=1")) == 9


async def test_delete_features_when_where_given_then_these_go(client: Client) -> None:
    answer = await client.post(f"{HYDRANTS}/deleteFeatures", where="serial > 7")

    assert [result["objectId"] for result in answer["deleteResults"]] == [8, 9]


async def test_service_edits_when_several_layers_then_one_list(client: Client) -> None:
    edits = [
        {"id": HYDRANTS, "adds": [_point(name="a")]},
        {"id": VISITS, "adds": [{"attributes": {"note": "b"}}], "deletes": [3]},
    ]

    answer = await client.post("applyEdits", edits=edits)

    assert [entry["id"] for entry in answer] == [HYDRANTS, VISITS]
    assert answer[1]["deleteResults"][0]["success"] is True


async def test_service_edits_when_layer_is_unknown_then_error(client: Client) -> None:
    assert "error" in await client.post("applyEdits", edits=[{"id": 77, "adds": [{}]}])


async def test_apply_edits_when_attachments_are_sent_then_stored(client: Client) -> None:
    attachments = {
        "adds": [
            {
                "globalId": gid(600),
                "parentGlobalId": gid(4),
                "contentType": "text/plain",
                "name": "../../a.txt",
                "data": "aGVsbG8=",
            }
        ]
    }

    answer = await _apply(client, useGlobalIds=True, attachments=attachments)

    assert answer["attachments"]["addResults"][0]["success"] is True
    info = (await client.get(f"{HYDRANTS}/4/attachments"))["attachmentInfos"][0]
    assert (info["name"], info["contentType"], info["size"]) == ("a.txt", "text/plain", 5)
    url = f"{client.url}/{HYDRANTS}/4/attachments/{info['id']}"
    async with client.session.get(url) as response:
        assert await response.read() == b"hello"


async def test_apply_edits_when_attachments_come_without_global_ids_then_error(
    client: Client,
) -> None:
    attachments = {"deletes": [gid(600)]}

    assert "error" in await _apply(client, attachments=attachments)


async def test_attachment_operations_when_used_then_listed_changed_and_deleted(
    client: Client,
) -> None:
    added = await client.send_file("0/5/addAttachment", "attachment", "a.png", b"1")
    aid = added["addAttachmentResult"]["objectId"]
    await client.send_file("0/5/updateAttachment", "attachment", "b.png", b"22", attachmentId=aid)

    groups = await client.post("0/queryAttachments", definitionExpression="1=1", returnUrl=True)
    infos = groups["attachmentGroups"][1]["attachmentInfos"]
    deleted = await client.post("0/5/deleteAttachments", attachmentIds=f"{aid},999")

    assert [(info["name"], info["size"]) for info in infos] == [("b.png", 2)]
    assert infos[0]["url"].startswith(client.url)
    assert [r["success"] for r in deleted["deleteAttachmentResults"]] == [True, False]


async def test_updates_when_profile_nulls_omitted_then_gone(serve: Serve) -> None:
    client = await serve(Profile(nulls_omitted_attributes=True))
    replica = await client.replica()
    changed = {"attributes": {"GlobalID": gid(4), "serial": 5}}

    await client.sync(replica, edits=[{"id": 0, "features": {"updates": [changed]}}])

    row = (await _row(client, 4))["attributes"]
    assert (row["serial"], row["name"]) == (5, None)
