"""What goes wrong on purpose."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession

from tests.feature_service import Fault, Faults, FeatureServer, ManualClock, seeded_mint

from .client import Client, layer_of, names
from .world import HYDRANTS, Json, gid, hydrant


class Broken:
    """A server with its faults at hand, and a client of it."""

    def __init__(self, server: FeatureServer, client: Client) -> None:
        self.server = server
        self.client = client

    def fault(self, **members: object) -> None:
        self.server.faults.add(Fault(**members))  # type: ignore[arg-type] # checked by Fault


@pytest.fixture
async def broken(data_dir: Path, clock: ManualClock) -> AsyncIterator[Broken]:
    server = FeatureServer(
        data_dir, clock=clock, mint=seeded_mint(7), faults=Faults(), allows_control=True
    )
    async with server, ClientSession() as session:
        yield Broken(server, Client(session, server.url("water")))


async def _until(is_so: Callable[[], bool]) -> None:
    """Let the other side go on until it has come so far."""
    for _ in range(100_000):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("the server never came so far")


def _add(number: int) -> list[Json]:
    feature = hydrant(number)
    del feature["attributes"]["OBJECTID"]
    return [{"id": HYDRANTS, "features": {"adds": [feature]}}]


@pytest.mark.parametrize(
    ("kind", "applied"), [("drop-before-commit", []), ("drop-after-commit", [10])]
)
async def test_drop_when_sync_is_struck_then_commits_or_not(
    broken: Broken, kind: str, applied: list[int]
) -> None:
    replica = await broken.client.replica()
    broken.fault(kind=kind, operation="synchronizeReplica")

    with pytest.raises(ClientError):
        await broken.client.sync(replica, edits=_add(30))

    assert await broken.client.oids(HYDRANTS, "serial = 30") == applied
    assert len(broken.server.faults) == 0


async def test_cut_when_response_is_struck_then_only_its_head_arrives(broken: Broken) -> None:
    broken.fault(kind="cut-response", operation="createReplica", at_byte=100)

    url = f"{broken.client.url}/createReplica?f=json&layers=0&geometry=0,0,900,900"
    async with broken.client.session.post(url, headers={"Accept-Encoding": "identity"}) as response:
        assert int(response.headers["Content-Length"]) > 100
        head = await response.content.readexactly(100)
        with pytest.raises(ClientError):
            await response.content.read()

    assert head.startswith(b'{"replicaName"')


async def test_cut_when_upload_is_struck_then_nothing_is_stored(broken: Broken) -> None:
    broken.fault(kind="cut-upload", operation="upload", at_byte=50)

    with pytest.raises(ClientError):
        await broken.client.send_file("uploads/upload", "file", "a.bin", b"x" * 100_000)

    assert (await broken.client.get("uploads"))["uploads"] == []


async def test_stall_when_struck_then_client_waits_until_the_server_stops(broken: Broken) -> None:
    broken.fault(kind="stall-after-commit", operation="applyEdits")

    call = asyncio.create_task(broken.client.post("0/applyEdits", deletes="1"))
    await _until(lambda: "applyEdits" in broken.server.log)
    assert await broken.client.oids(HYDRANTS, "OBJECTID = 1") == []
    assert not call.done()
    await broken.server.stop()

    with pytest.raises(ClientError):
        await call


async def test_trickle_when_struck_then_paced_by_the_clock(
    broken: Broken, clock: ManualClock
) -> None:
    broken.fault(kind="trickle", operation="replicas", bytes_per_s=1)

    call = asyncio.create_task(broken.client.get("replicas"))
    for _ in range(2):
        await _until(lambda: clock.sleepers > 0)
        assert not call.done()
        clock.advance(1)

    assert await call == []


async def test_duplicate_when_struck_then_second_answer_is_given(broken: Broken) -> None:
    replica = await broken.client.replica()
    broken.fault(kind="duplicate", operation="synchronizeReplica")

    answer = await broken.client.sync(replica, edits=_add(30))

    assert layer_of(answer, HYDRANTS)["addResults"][0]["error"]["code"] == 1022


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_status_when_struck_then_answered_once(broken: Broken, status: int) -> None:
    broken.fault(kind="status", operation="service", status=status, retry_after_s=7, skip=1)
    await broken.client.get("")

    async with broken.client.session.get(broken.client.url) as response:
        assert (response.status, response.headers["Retry-After"]) == (status, "7")

    await broken.client.get("")


@pytest.mark.parametrize("kind", ["truncated-result", "corrupt-result"])
async def test_result_when_damaged_then_it_is_not_json_but_complete(
    broken: Broken, kind: str
) -> None:
    answer = await broken.client.replica(transportType="esriTransportTypeUrl")
    broken.fault(kind=kind, operation="replicafiles")

    with pytest.raises(ValueError, match=r"control character|delimiter|Expecting|Unterminated"):
        await broken.client.fetch(answer["URL"])

    assert (await broken.client.fetch(answer["URL"]))["layers"]


async def test_result_when_expired_then_404(broken: Broken) -> None:
    answer = await broken.client.replica(transportType="esriTransportTypeUrl")
    broken.fault(kind="expired-result", operation="replicafiles")

    async with broken.client.session.get(answer["URL"]) as response:
        assert response.status == 404


async def test_job_when_failed_then_nothing_is_applied(broken: Broken) -> None:
    replica = await broken.client.replica()
    broken.fault(kind="job-failed", operation="synchronizeReplica")

    job = await broken.client.sync(replica, edits=_add(30), **{"async": True})

    for _ in range(3):
        await broken.client.fetch(f"{job['statusUrl']}?f=json")
    status = await broken.client.fetch(f"{job['statusUrl']}?f=json")
    assert (status["status"], status["error"]["code"]) == ("Failed", 500)
    assert await broken.client.oids(HYDRANTS, "serial = 30") == []


async def test_replica_when_unregistered_then_sync_fails(broken: Broken) -> None:
    replica = await broken.client.replica()
    broken.fault(kind="replica-unregistered", operation="synchronizeReplica")

    assert "error" in await broken.client.sync(replica)
    assert await broken.client.get("replicas") == []


async def test_generation_when_overtaken_then_only_a_snapshot_helps(broken: Broken) -> None:
    replica = await broken.client.replica()
    broken.fault(kind="generation-overtaken", operation="synchronizeReplica")

    refused = await broken.client.sync(replica)
    snapshot = await broken.client.sync(
        replica, syncLayers=[{"id": HYDRANTS, "syncDirection": "snapshot"}]
    )

    assert "generation 1000" in refused["error"]["details"][0]
    assert len(layer_of(snapshot, HYDRANTS, "layers")["features"]) == 9
    root = await broken.client.get("")
    assert root["changeTrackingInfo"]["layerServerGens"][0]["minServerGen"] == 1001


async def test_schema_when_changed_then_resource_and_rows_follow(broken: Broken) -> None:
    added = {"name": "depth", "type": "esriFieldTypeDouble"}
    broken.fault(kind="schema-changed", operation="layer", change={"layer": 0, "add": added})
    await broken.client.get("0")
    broken.fault(kind="schema-changed", operation="layer", change={"layer": 0, "remove": "made"})
    layer = await broken.client.get("0")

    await broken.client.post("0/updateFeatures", features=[{"attributes": _depth(1)}])

    field_names = [field["name"] for field in layer["fields"]]
    assert "depth" in field_names
    assert "made" not in field_names
    assert await broken.client.oids(HYDRANTS, "depth = 2.5") == [1]
    assert "error" in await broken.client.post("0/query", where="made IS NULL")


async def test_schema_when_changed_then_it_outlives_the_server(broken: Broken) -> None:
    added = {"name": "depth", "type": "esriFieldTypeDouble"}
    broken.fault(kind="schema-changed", operation="layer", change={"layer": 0, "add": added})
    await broken.client.get("0")

    await broken.server.stop()
    await broken.server.start()

    assert await broken.client.oids(HYDRANTS, "depth IS NULL AND serial = 1") == [1]


async def test_layer_when_dropped_then_it_is_gone_from_the_service_and_its_replicas(
    broken: Broken,
) -> None:
    replica = await broken.client.replica()
    broken.fault(kind="schema-changed", operation="layer", change={"layer": 1, "drop": True})
    await broken.client.get("0")

    root = await broken.client.get("")
    answer = await broken.client.get(f"replicas/{replica['replicaID']}")

    assert 1 not in [layer["id"] for layer in root["layers"]]
    assert 1 not in [layer["id"] for layer in answer["layers"]]
    assert "error" in await broken.client.get("1")


async def test_domain_when_changed_then_old_values_are_refused(broken: Broken) -> None:
    domain = {"type": "range", "name": "Pressure", "range": [0, 1]}
    change = {"layer": 0, "field": "pressure", "set": {"domain": domain}}
    broken.fault(kind="schema-changed", operation="layer", change=change)
    await broken.client.get("0")

    changed = {"attributes": {"OBJECTID": 1, "pressure": 5}}
    answer = await broken.client.post("0/applyEdits", updates=[changed], rollbackOnFailure=False)

    assert answer["updateResults"][0]["error"]["code"] == 1016


def _depth(oid: int) -> Json:
    return {"OBJECTID": oid, "depth": 2.5}


async def test_row_when_strange_then_delivered_as_it_is(broken: Broken) -> None:
    replica = await broken.client.replica()
    change: Json = {
        "layer": 0,
        "attributes": {"GlobalID": gid(70), "name": "x" * 99, "serial": None},
    }
    change["geometry"] = {"x": 1.0, "y": 1.0}
    broken.fault(kind="strange-row", operation="synchronizeReplica", change=change)

    answer = await broken.client.sync(replica)

    assert names(layer_of(answer, HYDRANTS)["features"]["adds"]) == ["x" * 99]


async def test_clock_when_skewed_then_dates_are_wrong(broken: Broken) -> None:
    broken.fault(kind="clock-skewed", operation="applyEdits", skew_s=-3600)

    await broken.client.post("0/applyEdits", updates=[{"attributes": {"OBJECTID": 1}}])

    row = await broken.client.get("0/1")
    assert row["feature"]["attributes"]["edited_at"] == 1_700_000_000_000 - 3_600_000


async def test_control_when_asked_then_faults_come_and_go(broken: Broken) -> None:
    control = Client(broken.client.session, f"{broken.server.origin}/control")

    faults = [{"kind": "status", "operation": "service", "status": 500, "times": 0}]
    assert await control.post("faults", faults=faults) == {"waiting": 1}
    for _ in range(2):
        async with broken.client.session.get(broken.client.url) as response:
            assert response.status == 500
    await control.post("clear")
    await broken.client.get("")

    assert (await control.get("log"))["calls"] == ["service"] * 3
    (path,) = (p for p in (await control.get("traffic"))["bytes"] if p.endswith("FeatureServer"))
    assert path == "/arcgis/rest/services/water/FeatureServer"


@pytest.mark.parametrize(
    "fault", [{"kind": "nonsense"}, {"kind": "status", "colour": 1}, "status", []]
)
async def test_control_when_fault_is_none_then_400(broken: Broken, fault: object) -> None:
    control = Client(broken.client.session, f"{broken.server.origin}/control")

    async with control.session.post(f"{control.url}/faults", data={"faults": repr(fault)}) as got:
        assert got.status == (400 if fault else 200)


async def test_server_when_started_again_then_same_url_and_state(broken: Broken) -> None:
    await broken.client.post("0/applyEdits", deletes="1")
    await broken.server.stop()
    with pytest.raises(ClientError):
        await broken.client.get("")

    await broken.server.start()

    assert broken.server.url("water") == broken.client.url
    assert await broken.client.oids(HYDRANTS, "OBJECTID = 1") == []


async def test_kill_when_in_mid_life_then_committed_edits_stay(
    data_dir: Path, clock: ManualClock
) -> None:
    async with FeatureServer(data_dir, clock=clock) as server, ClientSession() as session:
        client = Client(session, server.url("water"))
        replica = await client.replica(replicaName="kept")
        await client.sync(replica, edits=_add(30))

    async with FeatureServer(data_dir, clock=clock) as server, ClientSession() as session:
        client = Client(session, server.url("water"))
        assert await client.oids(HYDRANTS, "serial = 30") == [10]
        assert (await client.get("replicas"))[0]["replicaName"] == "kept"
        assert (await client.sync(replica))["layerServerGens"][0]["serverGen"] == 1001
