"""extractChanges, and uploads in parts."""

import json
from typing import Any

import pytest

from tests.feature_service import Profile

from .client import Client, layer_of, names
from .conftest import Serve
from .world import HYDRANTS, PIPES, Json, gid


async def _extract(client: Client, **fields: Any) -> Json:
    wanted = {
        "layers": "[0, 1]",
        "serverGens": "[1000]",
        "returnInserts": True,
        "returnUpdates": True,
        "returnDeletes": True,
        **fields,
    }
    job = await client.post("extractChanges", **wanted)
    if "error" in job:
        return dict(job)
    for _ in range(3):
        assert (await client.fetch(f"{job['statusUrl']}?f=json"))["resultUrl"] == ""
    status = await client.fetch(f"{job['statusUrl']}?f=json")
    assert status["status"] == "Completed"
    return dict(await client.fetch(f"{status['resultUrl']}?f=json"))


async def _change(client: Client) -> None:
    changed = {"attributes": {"OBJECTID": 1, "name": "new"}, "geometry": {"x": 500, "y": 0}}
    await client.post("0/applyEdits", updates=[changed])
    await client.post("0/applyEdits", deletes="2")
    await client.post("1/applyEdits", updates=[{"attributes": {"OBJECTID": 1, "label": "p"}}])


async def test_extract_when_changed_then_edits_since(client: Client) -> None:
    await _change(client)

    answer = await _extract(client)

    features = layer_of(answer, HYDRANTS)["features"]
    assert answer["layerServerGens"] == [{"id": 0, "serverGen": 1003}, {"id": 1, "serverGen": 1003}]
    assert names(features["updates"]) == ["new"]
    assert features["deleteIds"] == [gid(2)]
    assert names(layer_of(answer, PIPES)["features"]["updates"], "label") == ["p"]


async def test_extract_when_window_has_an_end_then_later_changes_are_left_out(
    client: Client,
) -> None:
    await _change(client)

    answer = await _extract(client, serverGens="[1000, 1001]", returnHasGeometryUpdates=True)
    later = await _extract(client, serverGens="[1001]", returnHasGeometryUpdates=True)

    assert layer_of(answer, HYDRANTS)["features"]["deleteIds"] == []
    assert layer_of(answer, HYDRANTS)["hasGeometryUpdates"] is True
    assert layer_of(later, HYDRANTS)["features"]["updates"] == []
    assert layer_of(later, PIPES)["hasGeometryUpdates"] is False


async def test_extract_when_only_ids_or_the_extent_are_wanted_then_these(client: Client) -> None:
    await _change(client)

    ids = await _extract(client, returnIdsOnly=True)
    extent = await _extract(client, returnExtentOnly=True, layers="0")

    assert layer_of(ids, HYDRANTS)["objectIds"] == {"adds": [], "updates": [1], "deletes": [2]}
    assert (extent["extent"]["xmin"], extent["extent"]["xmax"]) == (100.0, 500.0)


async def test_extract_when_deleted_features_are_wanted_then_given(client: Client) -> None:
    await _change(client)

    answer = await _extract(client, returnDeletedFeatures=True)

    assert names(layer_of(answer, HYDRANTS)["features"]["deletedFeatures"]) == ["H2"]


@pytest.mark.parametrize(
    "fields",
    [
        {"returnInserts": False, "returnUpdates": False, "returnDeletes": False},
        {"serverGens": ""},
        {"layers": "7"},
        {"serverGens": "", "layerServerGens": [{"id": 0, "serverGen": 1000}]},
        {"serverGens": "[5]"},
    ],
)
async def test_extract_when_unclear_then_error(client: Client, fields: Json) -> None:
    assert "error" in await _extract(client, **fields)


async def test_extract_when_not_offered_then_error(serve: Serve) -> None:
    client = await serve(Profile(supports_change_tracking=False))

    assert "error" in await _extract(client)
    root = await client.get("")
    assert "ChangeTracking" not in root["capabilities"]
    assert "changeTrackingInfo" not in root


async def test_upload_when_in_parts_then_joined_in_order(client: Client) -> None:
    item = (await client.post("uploads/register", itemName="e.json"))["item"]["itemID"]
    adds = [{"attributes": {"GlobalID": gid(60)}, "geometry": {"x": 1, "y": 1}}]
    text = json.dumps([{"id": 0, "features": {"adds": adds}}]).encode()
    await client.send_file(f"uploads/{item}/uploadPart", "file", "p", text[20:], partId=2)
    await client.send_file(f"uploads/{item}/uploadPart", "file", "p", text[:20], partId=1)
    assert await client.get(f"uploads/{item}/parts") == {"parts": ["1", "2"]}
    replica = await client.replica()

    early = await client.sync(replica, editsUploadID=item, editsUploadFormat="json")
    committed = await client.post(f"uploads/{item}/commit", parts="1,2")
    answer = await client.sync(replica, editsUploadID=item, editsUploadFormat="JSON")

    assert "error" in early
    assert committed["item"]["committed"] is True
    assert layer_of(answer, HYDRANTS)["addResults"][0]["globalId"] == gid(60)
    assert (await client.post(f"uploads/{item}/delete"))["success"] is True
    assert "error" in await client.get(f"uploads/{item}")


async def test_upload_when_used_by_an_attachment_then_its_bytes(client: Client) -> None:
    sent = await client.send_file("uploads/upload", "file", "pic.png", b"12345")
    attachment = {
        "globalId": gid(61),
        "parentGlobalId": gid(3),
        "name": "pic.png",
        "uploadId": sent["item"]["itemID"],
    }
    replica = await client.replica(attachmentsSyncDirection="upload")

    answer = await client.sync(replica, edits=[{"id": 0, "attachments": {"adds": [attachment]}}])

    entry = layer_of(answer, HYDRANTS)["attachments"]
    assert entry["addResults"][0]["success"] is True
    assert "adds" not in entry
    infos = await client.get("0/3/attachments")
    assert infos["attachmentInfos"][0]["size"] == 5


async def test_apply_edits_when_async_then_job_is_spelled_otherwise(client: Client) -> None:
    job = await client.post("0/applyEdits", deletes="1", **{"async": True})
    assert job["statusUrl"].endswith("/status")

    seen = [await client.fetch(f"{job['statusUrl']}?f=json") for _ in range(3)]

    assert [status["status"] for status in seen] == ["PENDING", "INPROGRESS", "COMPLETED"]
    results = await client.fetch(seen[-1]["resultUrl"])
    assert results["deleteResults"][0]["success"] is True
