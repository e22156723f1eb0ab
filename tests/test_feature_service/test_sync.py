"""createReplica and synchronizeReplica, seen from outside."""

import base64

import pytest

from tests.feature_service import Profile

from .client import Client, layer_of, names
from .conftest import Serve
from .world import (
    HYDRANTS,
    PIPES,
    VISITS,
    Json,
    gid,
    hydrant,
)


def _add(number: int, **more: object) -> Json:
    feature = hydrant(number, **more)
    del feature["attributes"]["OBJECTID"]
    return feature


def _edits(layer: int = HYDRANTS, **features: object) -> list[Json]:
    return [{"id": layer, "features": features}]


async def _direct(client: Client, **edits: object) -> Json:
    answer = await client.post(f"{HYDRANTS}/applyEdits", useGlobalIds=True, **edits)
    return dict(answer)


async def test_sync_when_server_changed_then_delta_is_repeatable(client: Client) -> None:
    replica = await client.replica()
    await _direct(
        client,
        adds=[_add(20)],
        updates=[{"attributes": {"GlobalID": gid(1), "name": "new"}}],
        deletes=[gid(2)],
    )

    first = await client.sync(replica)
    again = await client.sync(replica)

    for answer in (first, again):
        features = layer_of(answer, HYDRANTS)["features"]
        assert names(features["adds"]) == ["H20"]
        assert names(features["updates"]) == ["new"]
        assert features["deleteIds"] == [gid(2)]
    assert first["layerServerGens"][0] == {"id": 0, "serverGen": 1001}


async def test_sync_when_nothing_changed_then_no_edits(client: Client) -> None:
    replica = await client.replica()

    answer = await client.sync(replica)

    assert answer["responseType"] == "esriReplicaResponseTypeNoEdits"
    assert "edits" not in answer


async def test_sync_when_edits_sent_then_applied_and_not_echoed(client: Client) -> None:
    replica = await client.replica()

    answer = await client.sync(replica, edits=_edits(adds=[_add(30)]), returnIdsForAdds=True)

    entry = layer_of(answer, HYDRANTS)
    assert entry["addResults"] == [{"objectId": 10, "globalId": gid(30), "success": True}]
    assert entry["features"]["adds"] == []
    assert await client.oids(HYDRANTS, f"GlobalID = '{gid(30)}'") == [10]


async def test_sync_when_profile_echoes_then_own_edits_come_back(serve: Serve) -> None:
    client = await serve(Profile(echoes_own_edits=True))
    replica = await client.replica()

    answer = await client.sync(replica, edits=_edits(adds=[_add(30)]))

    assert names(layer_of(answer, HYDRANTS)["features"]["adds"]) == ["H30"]


async def test_sync_when_other_changed_before_own_edit_then_row_is_sent(client: Client) -> None:
    replica = await client.replica()
    await _direct(client, updates=[{"attributes": {"GlobalID": gid(1), "serial": 77}}])

    mine = {"attributes": {"GlobalID": gid(1), "name": "mine"}}
    answer = await client.sync(replica, edits=_edits(updates=[mine]))

    updated = layer_of(answer, HYDRANTS)["features"]["updates"]
    assert [(u["attributes"]["serial"], u["attributes"]["name"]) for u in updated] == [(77, "mine")]


async def test_sync_when_add_repeated_then_fails_with_1022(client: Client) -> None:
    replica = await client.replica()
    await client.sync(replica, edits=_edits(adds=[_add(30)]))

    answer = await client.sync(replica, edits=_edits(adds=[_add(30)]))

    result = layer_of(answer, HYDRANTS)["addResults"][0]
    assert (result["success"], result["error"]["code"]) == (False, 1022)


async def test_sync_when_rollback_on_failure_then_nothing_is_applied(client: Client) -> None:
    replica = await client.replica()

    bad = {"attributes": {"GlobalID": gid(99)}}
    answer = await client.sync(
        replica, edits=_edits(adds=[_add(31)], updates=[bad]), rollbackOnFailure=True
    )

    assert answer["error"]["extendedCode"] == -2147207418
    assert await client.oids(HYDRANTS, "serial = 31") == []


async def test_sync_when_row_leaves_the_filter_then_delete_is_sent(client: Client) -> None:
    replica = await client.replica(layers="0", layerQueries={"0": {"where": "serial < 5"}})
    await _direct(client, updates=[{"attributes": {"GlobalID": gid(1), "serial": 50}}])

    answer = await client.sync(replica)

    assert layer_of(answer, HYDRANTS)["features"]["deleteIds"] == [gid(1)]


async def test_sync_when_own_edit_moves_a_row_out_then_delete_is_sent(client: Client) -> None:
    replica = await client.replica(layers="0", layerQueries={"0": {"where": "serial < 5"}})

    moved = {"attributes": {"GlobalID": gid(1), "serial": 50}}
    answer = await client.sync(replica, edits=_edits(updates=[moved]))

    assert layer_of(answer, HYDRANTS)["features"]["deleteIds"] == [gid(1)]


async def test_sync_when_row_enters_the_filter_then_add_is_sent(client: Client) -> None:
    replica = await client.replica(layerQueries={"0": {"where": "serial < 5"}})
    await _direct(client, updates=[{"attributes": {"GlobalID": gid(8), "serial": 0}}])

    answer = await client.sync(replica)

    assert names(layer_of(answer, HYDRANTS)["features"]["adds"]) == ["H8"]
    assert names(layer_of(answer, VISITS)["features"]["adds"], "note") == ["visit 3"]


async def test_sync_when_per_replica_then_one_generation(client: Client) -> None:
    replica = await client.replica(syncModel="perReplica")
    assert replica["replicaServerGen"] == 1000
    await _direct(client, deletes=[gid(3)])

    answer = await client.sync(replica, replicaServerGen=1000)

    assert answer["replicaServerGen"] == 1001
    assert layer_of(answer, HYDRANTS)["features"]["deleteIds"] == [gid(3)]


async def test_sync_when_snapshot_then_layers_come_and_edits_are_ignored(client: Client) -> None:
    replica = await client.replica()

    answer = await client.sync(
        replica,
        syncLayers=[{"id": 0, "syncDirection": "snapshot"}],
        edits=_edits(adds=[_add(30)]),
    )

    assert answer["responseType"] == "esriReplicaResponseTypeReplacementData"
    assert len(layer_of(answer, HYDRANTS, "layers")["features"]) == 9


async def test_sync_when_per_layer_direction_given_then_it_wins(client: Client) -> None:
    replica = await client.replica()

    answer = await client.sync(
        replica,
        syncDirection="snapshot",
        syncLayers=[{"id": 0, "serverGen": 1000, "syncDirection": "bidirectional"}],
        edits=_edits(adds=[_add(30)]),
    )

    assert layer_of(answer, HYDRANTS)["addResults"][0]["success"] is True


async def test_sync_when_replica_is_closed_then_it_is_unknown(client: Client) -> None:
    replica = await client.replica()

    await client.sync(replica, closeReplica=True)

    assert (await client.sync(replica))["error"]["code"] == 400
    assert await client.get("replicas") == []


async def test_sync_when_replica_is_in_degrees_then_both_ways_in_degrees(client: Client) -> None:
    replica = await client.replica(replicaSR=4326)
    first = layer_of(replica, HYDRANTS, "layers")["features"][0]["geometry"]
    assert first["x"] == pytest.approx(0.00089831528)
    added = _add(30)
    added["geometry"] = {"x": 0.5, "y": 0.5}
    await client.post("0/updateFeatures", features=[{"attributes": {"OBJECTID": 2}}])

    answer = await client.sync(replica, edits=_edits(adds=[added]), returnIdsForAdds=True)

    entry = layer_of(answer, HYDRANTS)
    assert entry["features"]["updates"][0]["geometry"]["x"] == pytest.approx(0.0017966306)
    row = await client.get(f"0/{entry['addResults'][0]['objectId']}")
    assert row["feature"]["geometry"] == {"x": 55659.7454, "y": 55660.4519}


@pytest.mark.parametrize(
    "fields",
    [
        {"replicaID": "nobody"},
        {"syncLayers": ""},
        {"syncLayers": [{"id": 0}]},
        {"syncLayers": [{"id": 0, "serverGen": 999}]},
        {"syncLayers": [{"id": 0, "serverGen": 1001}]},
        {"syncLayers": [{"id": 77, "serverGen": 1000}]},
        {"edits": [{"id": 77, "features": {"adds": []}}]},
        {"edits": "nonsense"},
        {"editsUploadId": "i0"},
        {"dataFormat": "sqlite"},
    ],
)
async def test_sync_when_unclear_then_error(client: Client, fields: Json) -> None:
    replica = await client.replica()

    assert (await client.sync(replica, **fields))["error"]["code"] == 400


async def test_sync_when_upload_only_then_no_generation_moves(client: Client) -> None:
    replica = await client.replica()

    answer = await client.sync(replica, edits=_edits(adds=[_add(30)]), syncDirection="upload")

    assert "layerServerGens" not in answer
    assert layer_of(answer, HYDRANTS)["addResults"][0]["success"] is True
    info = await client.get(f"replicas/{replica['replicaID']}")
    assert {entry["serverGen"] for entry in info["layerServerGens"]} == {1000}


async def test_sync_when_layers_go_different_ways_then_each_its_own(client: Client) -> None:
    replica = await client.replica()
    layers = [
        {"id": HYDRANTS, "serverGen": 1000, "syncDirection": "download"},
        {"id": VISITS, "serverGen": 1000, "syncDirection": "upload"},
        {"id": PIPES, "syncDirection": "snapshot"},
    ]
    note = {"attributes": {"GlobalID": gid(1060), "note": "mine"}}
    edits = [*_edits(adds=[_add(30)]), *_edits(VISITS, adds=[note])]

    answer = await client.sync(replica, syncLayers=layers, edits=edits)

    assert answer["responseType"] == "esriReplicaResponseTypeEditsAndData"
    assert await client.oids(HYDRANTS, "serial = 30") == []
    assert await client.oids(VISITS, "note = 'mine'") == [4]
    assert [entry["id"] for entry in answer["layers"]] == [PIPES]
    assert [entry["id"] for entry in answer["layerServerGens"]] == [HYDRANTS, PIPES]


async def test_sync_when_ids_are_not_wanted_then_results_have_no_object_id(
    client: Client,
) -> None:
    replica = await client.replica()

    answer = await client.sync(replica, edits=_edits(adds=[_add(30)]))

    result = layer_of(answer, HYDRANTS)["addResults"][0]
    assert result == {"globalId": gid(30), "success": True}


async def test_sync_when_replica_takes_no_attachments_then_they_are_refused(
    client: Client,
) -> None:
    replica = await client.replica()
    sent = {"globalId": gid(500), "parentGlobalId": gid(2), "name": "n.txt", "data": "aGk="}

    answer = await client.sync(replica, edits=[{"id": 0, "attachments": {"adds": [sent]}}])

    assert answer["error"]["details"] == ["the replica does not upload attachments"]


async def test_job_when_an_edit_failed_then_completed_with_errors(client: Client) -> None:
    replica = await client.replica()
    missing = {"attributes": {"GlobalID": gid(99)}}

    job = await client.sync(replica, edits=_edits(updates=[missing]), **{"async": True})

    for _ in range(3):
        await client.fetch(f"{job['statusUrl']}?f=json")
    status = await client.fetch(f"{job['statusUrl']}?f=json")
    assert status["status"] == "CompletedWithErrors"
    results = layer_of(await client.fetch(status["resultUrl"]), HYDRANTS)["updateResults"]
    assert results[0]["error"]["code"] == 1011


async def test_sync_when_download_only_then_edits_are_ignored(client: Client) -> None:
    replica = await client.replica()
    await _direct(client, deletes=[gid(2)])

    answer = await client.sync(replica, edits=_edits(adds=[_add(30)]), syncDirection="download")

    assert "addResults" not in layer_of(answer, HYDRANTS)
    assert await client.oids(HYDRANTS, "serial = 30") == []


async def test_attachments_when_synced_then_have_generations_of_their_own(client: Client) -> None:
    replica = await client.replica(returnAttachments=True, returnAttachmentsDataByUrl=False)
    first = layer_of(replica, HYDRANTS, "layers")["attachments"][0]
    assert first["parentGlobalId"] == gid(1)
    assert base64.b64decode(first["data"]) == b"\xff\xd8 a picture"
    await client.send_file(f"{HYDRANTS}/2/addAttachment", "attachment", "b.png", b"png")

    answer = await client.sync(replica, returnAttachmentsDataByUrl=True)

    entry = layer_of(answer, HYDRANTS)
    assert entry["features"]["updates"] == []
    added = entry["attachments"]["adds"][0]
    assert (added["name"], added["size"]) == ("b.png", 3)
    async with client.session.get(added["url"]) as response:
        assert await response.read() == b"png"


async def test_attachments_when_uploaded_by_sync_then_stored(client: Client) -> None:
    replica = await client.replica(returnAttachments=True)
    sent = {"globalId": gid(500), "parentGlobalId": gid(2), "name": "n.txt", "data": "aGk="}

    answer = await client.sync(replica, edits=[{"id": 0, "attachments": {"adds": [sent]}}])

    assert layer_of(answer, HYDRANTS)["attachments"]["addResults"][0]["success"] is True
    infos = await client.get(f"{HYDRANTS}/2/attachments")
    assert [info["name"] for info in infos["attachmentInfos"]] == ["n.txt"]
