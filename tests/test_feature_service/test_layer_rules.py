"""Rules a layer sets for its edits by members of its resource."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from aiohttp import ClientSession

from tests.feature_service import FeatureServer

from .client import Client, layer_of
from .world import HYDRANTS, VISITS, Json, gid, hydrant, service_document, visit, write_service


class Ruled(Protocol):
    """Starts the service with changed members of layer 0 and of the service."""

    async def __call__(self, layer: Json, service: Json | None = None) -> Client: ...


@pytest.fixture
async def ruled(tmp_path: Path) -> AsyncIterator[Ruled]:
    async with AsyncExitStack() as stack:

        async def start(layer: Json, service: Json | None = None) -> Client:
            document = {**service_document(), **(service or {})}
            document["layers"][0].update(layer)
            hydrants = [hydrant(1), hydrant(2)]
            for one in hydrants:
                one["geometry"] |= {"z": 0, "m": 0}
                if not document["layers"][0].get("globalIdField", "GlobalID"):
                    del one["attributes"]["GlobalID"]
            rows = {HYDRANTS: hydrants, VISITS: [visit(1, 1)]}
            write_service(tmp_path / "ruled", document, rows)
            server = await stack.enter_async_context(FeatureServer(tmp_path))
            session = await stack.enter_async_context(ClientSession())
            return Client(session, server.url("ruled"))

        yield start


async def _codes(client: Client, **edits: Any) -> list[int | None]:
    answer = await client.post("0/applyEdits", rollbackOnFailure=False, **edits)
    results = [*answer["addResults"], *answer["updateResults"], *answer["deleteResults"]]
    return [result.get("error", {}).get("code") for result in results]


async def test_geometry_when_updates_are_not_allowed_then_1004(ruled: Ruled) -> None:
    client = await ruled({"allowGeometryUpdates": False})

    updates = [
        {"attributes": {"OBJECTID": 1}, "geometry": {"x": 5, "y": 5}},
        {"attributes": {"OBJECTID": 2, "name": "fine"}},
    ]
    assert await _codes(client, updates=updates) == [1004, None]


async def test_text_when_html_is_not_trusted_then_1006(ruled: Ruled) -> None:
    client = await ruled({}, {"xssPreventionInfo": {"xssPreventionEnabled": True}})

    adds = [
        {"attributes": {"name": "<b>bold</b>"}},
        {"attributes": {"name": "1 < 2"}},
    ]
    updates = [{"attributes": {"OBJECTID": 1, "name": "<script>"}}]
    assert await _codes(client, adds=adds, updates=updates) == [1006, None, 1006]


@pytest.mark.parametrize(
    ("members", "geometry", "code", "kept"),
    [
        ({"hasZ": True}, {"x": 1, "y": 2}, 1014, None),
        (
            {"hasZ": True, "enableZDefaults": True, "zDefault": 4},
            {"x": 1, "y": 2},
            None,
            {"x": 1.0, "y": 2.0, "z": 4.0},
        ),
        ({"hasZ": True}, {"x": 1, "y": 2, "z": 3}, None, {"x": 1.0, "y": 2.0, "z": 3.0}),
        ({"hasM": True}, {"x": 1, "y": 2}, 1002, None),
        ({"hasM": True}, {"x": 1, "y": 2, "m": "NaN"}, None, {"x": 1.0, "y": 2.0, "m": None}),
        ({}, {"x": 1, "y": 2, "z": 3, "m": 4}, None, {"x": 1.0, "y": 2.0}),
    ],
)
async def test_geometry_when_layer_has_z_or_m_then_points_need_them(
    ruled: Ruled, members: Json, geometry: Json, code: int | None, kept: Json | None
) -> None:
    client = await ruled(members)
    for number in (1, 2):
        await client.post("0/deleteFeatures", objectIds=number)

    assert await _codes(client, adds=[{"attributes": {}, "geometry": geometry}]) == [code]
    shown = await client.get("0/query", where="1=1", returnZ=True, returnM=True)
    assert [one["geometry"] for one in shown["features"]] == ([kept] if kept else [])


async def test_delete_when_relationship_is_simple_then_children_are_let_go(ruled: Ruled) -> None:
    simple = {**service_document()["layers"][0]["relationships"][0], "composite": False}
    client = await ruled({"relationships": [simple]})
    replica = await client.replica(layers="0,3", layerQueries={"3": {"queryOption": "all"}})

    assert await _codes(client, deletes="1") == [None]

    child = (await client.get(f"{VISITS}/1"))["feature"]["attributes"]
    assert child["hydrant"] is None
    answer = await client.sync(replica)
    assert layer_of(answer, HYDRANTS)["features"]["deleteIds"] == [gid(1)]
    assert len(layer_of(answer, VISITS)["features"]["updates"]) == 1


@pytest.mark.parametrize(
    ("capabilities", "codes"),
    [("Query,Create", [None, 1000, 1000]), ("Query,Update,Delete", [1000, None, None])],
)
async def test_edits_when_layer_allows_some_then_only_these(
    ruled: Ruled, capabilities: str, codes: list[int | None]
) -> None:
    client = await ruled({"capabilities": capabilities})

    found = await _codes(
        client,
        adds=[{"attributes": {}}],
        updates=[{"attributes": {"OBJECTID": 1, "name": "x"}}],
        deletes="2",
    )

    assert found == codes


@pytest.mark.parametrize("capabilities", ["Query", "Query,Create,Update,Delete,Editing"])
async def test_sync_when_service_does_not_offer_it_then_400(
    ruled: Ruled, capabilities: str
) -> None:
    client = await ruled({}, {"capabilities": capabilities})

    root = await client.get("")
    assert root["syncEnabled"] is False
    assert "syncCapabilities" not in root
    for path in ("createReplica", "synchronizeReplica", "unRegisterReplica", "replicas"):
        answer = await client.post(path, layers="0", geometry="0,0,1,1")
        assert answer["error"]["message"].startswith("Requested operation is not supported")


async def test_dates_when_in_unknown_time_then_client_must_know(ruled: Ruled) -> None:
    client = await ruled({"datesInUnknownTimezone": True})

    assert "error" in await client.replica(layers="0")
    assert "error" not in await client.replica(layers="0", timeReferenceUnknownClient=True)


async def test_layer_when_it_has_no_global_id_then_edited_but_not_synced(ruled: Ruled) -> None:
    fields = service_document()["layers"][0]["fields"]
    fields = [one for one in fields if one["name"] != "GlobalID"]
    client = await ruled({"fields": fields, "relationships": [], "globalIdField": ""})

    answer = await client.post("0/applyEdits", adds=[{"attributes": {"name": "x"}}])

    assert answer["addResults"] == [{"objectId": 3, "globalId": None, "success": True}]
    assert (await client.get(""))["supportsApplyEditsWithGlobalIds"] is False
    assert "error" in await client.replica(layers="0")
