"""Every switch of the profile changes what a client sees."""

import gzip
import json
from typing import Any

import pytest

from tests.feature_service import Profile
from tests.feature_service.profile import switches

from .client import Client, layer_of, names
from .conftest import Serve
from .world import HYDRANTS, VISITS, Json, gid, hydrant


def _adds(*numbers: int, **more: object) -> list[Json]:
    return [{"id": HYDRANTS, "features": {"adds": [hydrant(n, **more) for n in numbers]}}]


async def _twice(client: Client) -> Json:
    replica = await client.replica()
    await client.sync(replica, edits=_adds(30))
    return layer_of(await client.sync(replica, edits=_adds(30, name="again")), HYDRANTS)


def test_random_when_same_seed_then_same_profile() -> None:
    drawn = [Profile.random(seed) for seed in range(200)]

    assert drawn[3] == Profile.random(3)
    for name, choices in switches().items():
        assert {getattr(profile, name) for profile in drawn} == set(choices), name


@pytest.mark.parametrize("seed", range(25))
async def test_random_when_served_then_every_call_is_answered(serve: Serve, seed: int) -> None:
    profile = Profile.random(seed)
    client = await serve(profile)
    model = "perReplica" if profile.sync_models == "perReplica" else "perLayer"
    replica = await client.replica(syncModel=model, returnAttachments=True)
    attachment = {"globalId": gid(90), "parentGlobalId": gid(2), "name": "a", "data": "aGk="}
    edits = [
        {
            "id": HYDRANTS,
            "features": {
                "adds": [hydrant(30)],
                "updates": [{"attributes": {"GlobalID": gid(1), "name": "new"}}],
                "deletes": [gid(3)],
            },
            "attachments": {"adds": [attachment]},
        }
    ]

    generation = {"replicaServerGen": 1000} if model == "perReplica" else {}
    await client.sync(replica, edits=edits, **generation)
    answer = await client.sync(replica, **generation)

    assert "error" not in answer
    assert await client.oids(HYDRANTS, "name = 'new'") == [1]
    assert await client.oids(HYDRANTS, f"GlobalID = '{gid(3)}'") == []


@pytest.mark.parametrize(
    ("choice", "success", "name"), [("ignore", True, "H30"), ("upsert", True, "again")]
)
async def test_repeated_add_when_tolerated_then_succeeds(
    serve: Serve, choice: Any, success: bool, name: str
) -> None:
    client = await serve(Profile(repeated_add=choice))

    entry = await _twice(client)

    assert entry["addResults"][0]["success"] is success
    assert await client.oids(HYDRANTS, f"name = '{name}' AND serial = 30") == [10]


async def test_global_ids_when_reminted_then_new_ones_and_children_follow(serve: Serve) -> None:
    client = await serve(Profile(remints_global_ids=True))
    replica = await client.replica(returnAttachments=True)
    child = {"attributes": {"GlobalID": gid(1050), "hydrant": gid(30), "note": "n"}}
    picture = {"globalId": gid(91), "parentGlobalId": gid(30), "name": "a", "data": "aGk="}
    edits = [
        {**_adds(30)[0], "attachments": {"adds": [picture]}},
        {"id": VISITS, "features": {"adds": [child]}},
    ]

    answer = await client.sync(replica, edits=edits, returnIdsForAdds=True)

    entry = layer_of(answer, HYDRANTS)
    new = entry["addResults"][0]["globalId"]
    assert entry["attachments"]["addResults"][0]["success"] is True
    assert new != gid(30)
    assert len(await client.oids(VISITS, f"hydrant = '{new}'")) == 1


async def test_names_when_switched_then_spelled_so(serve: Serve) -> None:
    client = await serve(Profile(deletes_member="deletes", guid_spelling="lower"))
    replica = await client.replica()
    await client.post("0/applyEdits", deletes="2")

    answer = await client.sync(replica)

    assert layer_of(answer, HYDRANTS)["features"]["deletes"] == [gid(2).strip("{}").lower()]
    assert not replica["replicaID"].startswith("{")


async def test_deletes_when_they_hold_object_ids_then_numbers(serve: Serve) -> None:
    client = await serve(Profile(deletes_hold="objectIds"))
    replica = await client.replica()
    await client.post("0/applyEdits", deletes="2")

    features = layer_of(await client.sync(replica), HYDRANTS)["features"]

    assert features["deleteIds"] == [2]


@pytest.mark.parametrize("place", ["features", "root", "none"])
async def test_results_when_placed_elsewhere_then_there(serve: Serve, place: Any) -> None:
    client = await serve(Profile(results_place=place))
    replica = await client.replica()

    answer = await client.sync(replica, edits=_adds(30))

    if place == "features":
        assert layer_of(answer, HYDRANTS)["features"]["addResults"][0]["success"] is True
    elif place == "root":
        assert answer["editsResults"][0]["addResults"][0]["success"] is True
    else:
        assert answer["responseType"] == "esriReplicaResponseTypeNoEdits"
    assert await client.oids(HYDRANTS, "serial = 30") == [10]


async def test_errors_when_hresult_then_negative(serve: Serve) -> None:
    client = await serve(Profile(edit_codes="hresult"))

    answer = await client.post(
        "0/applyEdits",
        updates=[{"attributes": {"OBJECTID": 1, "status": 9}}],
        rollbackOnFailure=False,
    )

    assert answer["updateResults"][0]["error"]["code"] == -2147217395


async def test_bad_edit_when_it_refuses_all_then_error(serve: Serve) -> None:
    client = await serve(Profile(one_bad_edit_refuses_all=True))
    replica = await client.replica()

    assert "error" in await client.sync(replica, edits=_adds(30, 1))
    assert await client.oids(HYDRANTS, "serial = 30") == []


@pytest.mark.parametrize("member", ["responseUrl", "resultUrl"])
async def test_url_when_named_otherwise_then_there(serve: Serve, member: Any) -> None:
    client = await serve(Profile(result_member=member))

    answer = await client.replica(transportType="esriTransportTypeUrl")

    assert (await client.fetch(answer[member]))["layers"]


@pytest.mark.parametrize(
    ("where", "in_envelope", "in_file"),
    [("both", True, True), ("file", False, True), ("envelope", True, False)],
)
async def test_generations_when_placed_then_only_there(
    serve: Serve, where: Any, in_envelope: bool, in_file: bool
) -> None:
    client = await serve(Profile(generations_in=where))

    answer = await client.replica(transportType="esriTransportTypeUrl")

    assert ("layerServerGens" in answer) is in_envelope
    assert ("layerServerGens" in await client.fetch(answer["URL"])) is in_file


@pytest.mark.parametrize(
    ("case", "word"),
    [("upper", "COMPLETED"), ("lower", "completed"), ("spaced", "Completed")],
)
async def test_job_when_statuses_are_spelled_otherwise_then_url_comes_late(
    serve: Serve, case: Any, word: str
) -> None:
    client = await serve(Profile(status_case=case, completes_before_url=True, job_polls=1))
    job = await client.replica(**{"async": True})

    await client.fetch(job["statusUrl"] + "?f=json")
    early = await client.fetch(job["statusUrl"] + "?f=json")
    late = await client.fetch(job["statusUrl"] + "?f=json")

    assert (early["status"], early["resultUrl"]) == (word, "")
    assert late["resultUrl"]


@pytest.mark.parametrize(
    ("offered", "other"), [("perLayer", "perReplica"), ("perReplica", "perLayer")]
)
async def test_sync_model_when_not_offered_then_refused(
    serve: Serve, offered: Any, other: str
) -> None:
    client = await serve(Profile(sync_models=offered))

    assert "error" not in await client.replica(syncModel=offered)
    assert (await client.replica(syncModel=other))["error"]["code"] == 400
    capabilities = (await client.get(""))["syncCapabilities"]
    assert capabilities["supportsPerReplicaSync"] is (offered == "perReplica")


async def test_async_when_not_offered_then_refused(serve: Serve) -> None:
    client = await serve(Profile(supports_async=False))

    assert "error" in await client.replica(**{"async": True})
    assert (await client.get(""))["syncCapabilities"]["supportsAsync"] is False


@pytest.mark.parametrize(("choice", "rows"), [("ignore", []), ("insert", [10])])
async def test_update_when_row_is_gone_then_tolerated(
    serve: Serve, choice: Any, rows: list[int]
) -> None:
    client = await serve(Profile(update_of_missing=choice))
    replica = await client.replica()

    edits = [{"id": HYDRANTS, "features": {"updates": [hydrant(25)]}}]
    answer = await client.sync(replica, edits=edits)

    result = layer_of(answer, HYDRANTS)["updateResults"][0]
    assert result["success"] is True, result
    assert await client.oids(HYDRANTS, "serial = 25") == rows


@pytest.mark.parametrize(("choice", "updated"), [("update", ["H1"]), ("nothing", [])])
async def test_row_when_it_leaves_the_filter_then_told_otherwise(
    serve: Serve, choice: Any, updated: list[str]
) -> None:
    client = await serve(Profile(rows_leaving=choice))
    replica = await client.replica(layers="0", layerQueries={"0": {"where": "serial < 5"}})
    await client.post("0/applyEdits", updates=[{"attributes": {"OBJECTID": 1, "serial": 50}}])
    await client.post("0/applyEdits", updates=[{"attributes": {"OBJECTID": 2, "serial": 3}}])

    features = layer_of(await client.sync(replica), HYDRANTS)["features"]

    assert names(features["updates"]) == ["H2", *updated]
    assert features["deleteIds"] == []


async def test_results_when_on_another_origin_then_no_token_is_welcome(serve: Serve) -> None:
    client = await serve(Profile(results_on_other_origin=True))
    answer = await client.replica(transportType="esriTransportTypeUrl")

    async with client.session.get(answer["URL"], allow_redirects=False) as response:
        target = response.headers["Location"]
        assert response.status == 302
    assert not target.startswith(client.url.split("/arcgis")[0])
    async with client.session.get(target) as response:
        assert response.status == 200
    async with client.session.get(f"{target}&token=abc") as response:
        assert response.status == 403
    async with client.session.get(target, headers={"Authorization": "Bearer abc"}) as response:
        assert response.status == 403


@pytest.mark.parametrize("ignores", [False, True])
async def test_request_gzip_when_ignored_then_not_understood(serve: Serve, ignores: bool) -> None:
    client = await serve(Profile(ignores_request_gzip=ignores))
    headers = {
        "Content-Encoding": "gzip",
        "Content-Type": "application/x-www-form-urlencoded",
    }

    async with client.session.post(
        f"{client.url}/0/query?f=json",
        data=gzip.compress(b"where=serial%3D1&returnIdsOnly=true"),
        headers=headers,
    ) as response:
        answer = await response.json()

    assert ("error" in answer) is ignores


async def test_coordinates_when_not_snapped_then_whole(serve: Serve) -> None:
    client = await serve(Profile(snaps_coordinates=False))

    await client.post("0/applyEdits", adds=[{"attributes": {}, "geometry": {"x": 1 / 3, "y": 0}}])

    assert (await client.get("0/10"))["feature"]["geometry"]["x"] == 1 / 3


async def test_domains_when_not_validated_then_any_value(serve: Serve) -> None:
    client = await serve(Profile(validates_domains=False, read_only_fields="ignore"))

    changed = {"attributes": {"OBJECTID": 1, "status": 9, "made": "now"}}
    await client.post("0/applyEdits", updates=[changed])

    row = (await client.get("0/1"))["feature"]["attributes"]
    assert (row["status"], row["made"]) == (9, None)


@pytest.mark.parametrize("code", [404, 500])
async def test_replica_when_unknown_then_code_of_the_profile(serve: Serve, code: Any) -> None:
    client = await serve(Profile(unknown_replica_code=code))

    assert (await client.get(f"replicas/{gid(5)}"))["error"]["code"] == code


async def test_error_when_bare_then_all_in_the_details(serve: Serve) -> None:
    client = await serve(Profile(error_shape="bare"))

    error = (await client.post("0/query", where="gone = 1"))["error"]

    assert error["message"] == ""
    assert error["details"] == "'where' clause is invalid. 'gone' is no field of Hydrants"


async def test_replica_info_when_generations_are_text_then_json_in_it(serve: Serve) -> None:
    client = await serve(Profile(info_generations="text"))
    replica = await client.replica(layers="0")

    info = await client.get(f"replicas/{replica['replicaID']}")

    assert json.loads(info["layerServerGens"]) == [{"id": 0, "serverGen": 1000}]


async def test_point_when_empty_then_written_as_the_profile_says(serve: Serve) -> None:
    client = await serve(Profile(empty_point="NaN"))

    await client.post("0/applyEdits", adds=[{"attributes": {}, "geometry": {"x": "NaN"}}])

    assert (await client.get("0/10"))["feature"]["geometry"] == {"x": "NaN", "y": "NaN"}


async def test_rollback_when_not_offered_then_model_decides(serve: Serve) -> None:
    client = await serve(Profile(supports_rollback=False, sync_models="perReplica"))
    replica = await client.replica(syncModel="perReplica")

    answer = await client.sync(replica, replicaServerGen=1000, edits=_adds(30, 1))

    assert "error" in answer
