"""extractChanges, and applyEdits as a job."""

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


async def test_extract_when_fields_are_compared_then_their_updates_are_told(
    client: Client,
) -> None:
    await client.post("0/applyEdits", updates=[{"attributes": {"OBJECTID": 1, "name": "new"}}])
    await client.post("0/applyEdits", updates=[{"attributes": {"OBJECTID": 2, "serial": 70}}])
    await client.post("0/applyEdits", updates=[{"attributes": {"OBJECTID": 3, "name": "H3"}}])

    answer = await _extract(client, fieldsToCompare={"fields": ["NAME", "label"]})
    ids = await _extract(client, fieldsToCompare={"fields": ["serial"]}, returnIdsOnly=True)
    unknown = await _extract(client, fieldsToCompare={"fields": ["none"]})

    features = layer_of(answer, HYDRANTS)["features"]
    assert names(features["updates"]) == ["new", "H2", "H3"]
    assert names(features["fieldUpdates"]) == ["new"]
    assert layer_of(answer, PIPES)["features"]["fieldUpdates"] == []
    assert layer_of(ids, HYDRANTS)["objectIds"]["fieldUpdates"] == [2]
    assert "error" in unknown
    root = await client.get("")
    assert root["extractChangesCapabilities"]["supportsFieldsToCompare"] is True


async def test_extract_when_layers_have_windows_of_their_own_then_each_its_changes(
    client: Client,
) -> None:
    await _change(client)
    windows = [
        {"id": 0, "minServerGen": 1001, "serverGen": 1002},
        {"id": 1, "serverGen": 1003},
    ]

    answer = await _extract(client, serverGens="", layerServerGens=windows)

    hydrants = layer_of(answer, HYDRANTS)["features"]
    assert (hydrants["updates"], hydrants["deleteIds"]) == ([], [gid(2)])
    assert layer_of(answer, PIPES)["features"]["updates"] == []


async def test_extract_when_not_async_in_so_many_words_then_at_once(client: Client) -> None:
    await _change(client)
    wanted = {
        "layers": "0",
        "serverGens": "[1000]",
        "returnUpdates": True,
        "transportType": "esriTransportTypeEmbedded",
        "async": False,
    }

    answer = await client.post("extractChanges", **wanted)

    assert answer["transportType"] == "esriTransportTypeEmbedded"
    assert names(layer_of(answer, HYDRANTS)["features"]["updates"]) == ["new"]


async def test_apply_edits_when_async_then_job_is_spelled_otherwise(client: Client) -> None:
    job = await client.post("0/applyEdits", deletes="1", **{"async": True})
    assert job["statusUrl"].endswith("/status")

    seen = [await client.fetch(f"{job['statusUrl']}?f=json") for _ in range(3)]

    assert [status["status"] for status in seen] == ["PENDING", "INPROGRESS", "COMPLETED"]
    results = await client.fetch(seen[-1]["resultUrl"])
    assert results["deleteResults"][0]["success"] is True
