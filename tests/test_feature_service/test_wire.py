"""What every answer has, whatever was asked."""

import json

import pytest
from yarl import URL

from tests.feature_service import Profile

from .client import Client, layer_of, names
from .conftest import Serve
from .world import HYDRANTS, PIPES, gid


@pytest.mark.parametrize("path", ["", "0", "0/query", "0/1/attachments/1", "nowhere"])
async def test_answer_when_given_then_nobody_may_store_it(client: Client, path: str) -> None:
    fields = {"f": "json", "where": "1=1"}
    async with client.session.get(f"{client.url}/{path}", params=fields) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"


async def test_urls_when_given_then_have_the_host_the_client_used(client: Client) -> None:
    headers = {"Host": "maps.example:8080"}
    fields = {"layers": "0", "geometry": "0,0,1,1", "syncModel": "perLayer", "f": "json"}
    url = f"{client.url}/createReplica"
    async with client.session.post(url, data=fields, headers=headers) as response:
        answer = await response.json()
    async with client.session.post(
        url, data={**fields, "async": "true"}, headers=headers
    ) as response:
        job = await response.json()

    assert URL(answer["URL"]).origin() == URL("http://maps.example:8080")
    assert URL(job["statusUrl"]).origin() == URL("http://maps.example:8080")


async def test_replica_id_when_spelled_in_any_way_then_known(client: Client) -> None:
    replica = await client.replica()
    bare = replica["replicaID"].strip("{}")

    for spelled in (f"{{{bare}}}", bare, bare.lower(), f"{{{bare.lower()}}}"):
        assert "error" not in await client.sync({**replica, "replicaID": spelled})


async def test_sync_when_some_layers_are_left_out_then_they_stay_where_they_were(
    client: Client,
) -> None:
    replica = await client.replica()
    await client.post("0/applyEdits", updates=[{"attributes": {"OBJECTID": 1, "name": "new"}}])
    await client.post("1/applyEdits", updates=[{"attributes": {"OBJECTID": 1, "label": "new"}}])
    generations = {entry["id"]: entry for entry in replica["layerServerGens"]}

    first = await client.sync(replica, syncLayers=[generations[HYDRANTS]])
    later = await client.sync(replica, syncLayers=[generations[PIPES]])

    assert [entry["id"] for entry in first["edits"]] == [HYDRANTS]
    assert [entry["id"] for entry in first["layerServerGens"]] == [HYDRANTS]
    assert names(layer_of(later, PIPES)["features"]["updates"], "label") == ["new"]


async def test_adds_when_ids_are_null_then_service_makes_them(client: Client) -> None:
    blank = {"attributes": {"OBJECTID": None, "GlobalID": None, "serial": 77}}

    (added,) = (await client.post("0/addFeatures", features=[blank]))["addResults"]

    assert added["success"] is True
    assert added["objectId"] == 10
    assert await client.oids(HYDRANTS, f"GlobalID = '{added['globalId']}'") == [10]


async def test_update_when_it_is_a_whole_row_then_only_changes_count(client: Client) -> None:
    (row,) = (await client.get("0/query", objectIds="1", outFields="*"))["features"]
    row["attributes"]["name"] = "renamed"
    pretty = json.dumps([row], indent=4)

    (updated,) = (await client.post("0/updateFeatures", features=pretty))["updateResults"]

    assert updated["success"] is True
    (now,) = (await client.get("0/query", objectIds="1", outFields="*"))["features"]
    tracked = ("edited_by", "edited_at")
    for name, value in row["attributes"].items():
        assert name in tracked or now["attributes"][name] == value


@pytest.mark.parametrize("spelling", ["braces-upper", "braces-lower", "upper", "lower"])
async def test_guids_when_spelled_as_the_profile_says_then_all_alike(
    serve: Serve, spelling: str
) -> None:
    client = await serve(Profile(guid_spelling=spelling))  # type: ignore[arg-type] # one of them
    expected = gid(0xAB)
    expected = expected if spelling.startswith("braces") else expected.strip("{}")
    expected = expected.lower() if spelling.endswith("lower") else expected
    add = {"attributes": {"GlobalID": gid(0xAB), "serial": 77}}

    answer = await client.post("0/applyEdits", adds=[add], useGlobalIds=True)

    assert answer["addResults"][0]["globalId"] == expected
    found = await client.get("0/query", where="serial = 77", outFields="*")
    assert found["features"][0]["attributes"]["GlobalID"] == expected


async def test_query_when_pbf_is_wanted_then_refused(client: Client) -> None:
    async with client.session.get(
        f"{client.url}/0/query", params={"f": "pbf", "where": "1=1"}
    ) as response:
        answer = await response.json()

    assert answer["error"]["details"] == ["Output format 'pbf' is not supported"]
