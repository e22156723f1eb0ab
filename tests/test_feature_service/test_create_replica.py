"""createReplica, and what can be asked about replicas."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.feature_service import FeatureServer

from .client import Client, layer_of, names
from .world import (
    HYDRANTS,
    PIPES,
    VISITS,
    ZONES,
    Json,
    gid,
    hydrant,
    service_document,
    visit,
    write_service,
)


async def test_create_replica_when_embedded_then_holds_rows_and_generations(
    client: Client,
) -> None:
    replica = await client.replica()

    assert replica["responseType"] == "esriReplicaResponseTypeData"
    assert replica["layerServerGens"] == [
        {"id": layer, "serverGen": 1000} for layer in (HYDRANTS, PIPES, ZONES, VISITS)
    ]
    hydrants = layer_of(replica, HYDRANTS, "layers")["features"]
    assert names(hydrants) == [f"H{number}" for number in range(1, 10)]
    assert hydrants[0]["geometry"] == {"x": 100.0, "y": 100.0}
    assert hydrants[0]["attributes"]["GlobalID"] == gid(1)
    zone = layer_of(replica, ZONES, "layers")["features"][0]
    assert zone["geometry"]["hasM"] is True
    assert zone["geometry"]["rings"][0][1] == [0.0, 300.0, 1.0, None]


async def test_create_replica_when_filtered_then_related_rows_follow(client: Client) -> None:
    replica = await client.replica(
        geometry="0,0,450,450", layerQueries={"0": {"where": "serial<4"}}
    )

    assert names(layer_of(replica, HYDRANTS, "layers")["features"]) == ["H1", "H2", "H3"]
    assert names(layer_of(replica, VISITS, "layers")["features"], "note") == ["visit 1", "visit 2"]
    assert names(layer_of(replica, PIPES, "layers")["features"], "label") == ["P1", "P2", "P3"]


async def test_create_replica_when_by_url_then_file_holds_the_same(client: Client) -> None:
    answer = await client.replica(transportType="esriTransportTypeURL")

    assert "layers" not in answer
    assert names(layer_of(await client.fetch(answer["URL"]), HYDRANTS, "layers")["features"])


async def test_job_when_polled_then_walks_to_completed(client: Client) -> None:
    submitted = await client.replica(**{"async": True})

    seen = [await client.fetch(f"{submitted['statusUrl']}?f=json") for _ in range(4)]

    assert [status["status"] for status in seen] == [
        "Pending",
        "ProvisioningReplica",
        "ExportingSnapshot",
        "Completed",
    ]
    assert seen[0]["resultUrl"] == ""
    assert layer_of(await client.fetch(seen[-1]["resultUrl"]), HYDRANTS, "layers")["features"]


async def test_create_replica_when_model_is_none_then_nothing_is_registered(
    client: Client,
) -> None:
    replica = await client.replica(syncModel="none", geometry="")

    assert replica["replicaID"] == ""
    assert len(layer_of(replica, HYDRANTS, "layers")["features"]) == 9
    assert await client.get("replicas") == []


async def test_create_replica_when_it_refers_to_another_then_no_data(client: Client) -> None:
    first = await client.replica(layerQueries={"0": {"where": "serial < 5"}})
    options = {"refReplicaId": first["replicaID"]}

    second = await client.replica(replicaName="r", replicaOptions=options)

    assert second["responseType"] == "esriReplicaResponseTypeInfo"
    assert "layers" not in second
    assert second["replicaName"] == "r_0"
    info = await client.get(f"replicas/{second['replicaID']}")
    assert info["layers"][0]["where"] == "serial < 5"


@pytest.mark.parametrize(
    "fields",
    [
        {"layers": ""},
        {"layers": "0,77"},
        {"geometry": ""},
        {"layerQueries": {"0": {"where": "gone = 1"}}},
        {"layerQueries": {"9": {"where": "1=1"}}},
        {"layerQueries": {"0": {"queryOption": "some"}}},
        {"attachmentsSyncDirection": "bidirectional"},
        {"returnAttachments": True, "attachmentsSyncDirection": "none"},
        {"dataFormat": "sqlite"},
        {"replicaSR": 27700},
        {"syncModel": "perRow"},
    ],
)
async def test_create_replica_when_unclear_then_error(client: Client, fields: Json) -> None:
    assert (await client.replica(**fields))["error"]["code"] == 400
    assert await client.get("replicas") == []


async def test_unregister_when_unknown_then_success_is_false(client: Client) -> None:
    answer = await client.post("unRegisterReplica", replicaID=gid(1))

    assert answer["success"] is False
    assert answer["error"]["code"] == 400


async def test_unregister_when_star_then_all_are_gone(client: Client) -> None:
    await client.replica()
    await client.replica()

    assert (await client.post("unRegisterReplica", replicaID="*")) == {"success": True}
    assert await client.get("replicas") == []


async def test_create_replica_when_relationships_run_in_a_circle_then_ends(
    data_dir: Path,
) -> None:
    document = service_document()
    circle = {
        "id": 5,
        "name": "next",
        "relatedTableId": VISITS,
        "cardinality": "esriRelCardinalityOneToMany",
    }
    document["tables"][0]["relationships"] += [
        {**circle, "role": "esriRelRoleOrigin", "keyField": "GlobalID"},
        {**circle, "role": "esriRelRoleDestination", "keyField": "hydrant"},
    ]
    write_service(data_dir / "circle", document, {HYDRANTS: [hydrant(1)], VISITS: [visit(1, 1)]})

    async with FeatureServer(data_dir) as server, ClientSession() as session:
        replica = await Client(session, server.url("circle")).replica()

    assert len(layer_of(replica, VISITS, "layers")["features"]) == 1


async def test_result_file_when_idle_too_long_then_gone(client: Client, clock: object) -> None:
    answer = await client.replica(transportType="esriTransportTypeUrl")

    clock.advance(599)  # type: ignore[attr-defined] # the manual clock of the fixture
    await client.fetch(answer["URL"])
    clock.advance(601)  # type: ignore[attr-defined] # the manual clock of the fixture
    async with client.session.get(answer["URL"]) as response:
        assert response.status == 404


async def test_replica_info_when_asked_then_tells_its_definition(client: Client) -> None:
    replica = await client.replica(layerQueries={"0": {"where": "serial < 5"}})

    listed = await client.get("replicas")
    info = await client.get(f"replicas/{replica['replicaID'].strip('{}').lower()}")

    assert listed == [{"replicaName": "r", "replicaID": replica["replicaID"]}]
    assert info["layers"][0]["where"] == "serial < 5"
    assert (await client.post("unRegisterReplica", replicaID=replica["replicaID"]))["success"]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"dataFormat": "sqlite"}, "dataFormat=sqlite: only json is served"),
        ({"targetType": "server"}, "targetType=server: supportsBiDirectionalSyncForServer is"),
    ],
)
async def test_create_replica_when_not_served_then_told_so(
    client: Client, fields: Json, told: str
) -> None:
    error = (await client.replica(**fields))["error"]

    assert error["message"] == "Requested operation is not supported by this service."
    assert error["details"][0].startswith(told)


@pytest.mark.parametrize("member", ["dataFormat", "editsUploadFormat"])
async def test_sync_when_format_is_not_served_then_told_so(client: Client, member: str) -> None:
    replica = await client.replica()
    wanted: dict[str, Any] = {"editsUploadId": "i0", member: "SQLITE"}

    error = (await client.sync(replica, **wanted))["error"]

    assert error["details"] == [f"{member}=SQLITE: only json is served"]


@pytest.mark.parametrize("name", ["returnAttachmentsDatabyUrl", "returnAttachmentDatabyURL"])
async def test_create_replica_when_attachments_are_wanted_embedded_then_by_either_name(
    client: Client, name: str
) -> None:
    fields = {"returnAttachments": True, name: False}

    attachments = layer_of(await client.replica(**fields), HYDRANTS, "layers")["attachments"]

    assert "data" in attachments[0]
    assert "url" not in attachments[0]


async def test_replicas_when_last_sync_date_is_wanted_then_told(client: Client) -> None:
    replica = await client.replica()

    (listed,) = await client.get("replicas", returnLastSyncDate=True)

    assert listed["replicaID"] == replica["replicaID"]
    assert listed["lastSyncDate"] > 0


async def test_create_replica_when_name_is_missing_then_service_names_it(client: Client) -> None:
    assert (await client.replica(replicaName=""))["replicaName"].startswith("replica_")
