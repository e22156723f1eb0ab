"""Tokens, and what they allow."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.feature_service import Fault, FeatureServer, ManualClock, Security, seeded_mint

from .client import Client, layer_of
from .world import HYDRANTS, gid, hydrant, service_document, write_service

_SECURITY = Security(
    users={"ann": "a", "bob": "b"},
    clients={"app": "secret"},
    api_keys={"AAPK1": "bob"},
    owners=frozenset({"ann"}),
    token_life_s=600,
)


@pytest.fixture
async def guarded(data_dir: Path, clock: ManualClock) -> AsyncIterator[FeatureServer]:
    document = service_document()
    document["capabilities"] = "Query,Sync"
    write_service(data_dir / "library", document, {HYDRANTS: [hydrant(1)]})
    owned = service_document()
    owned["layers"][0]["ownershipBasedAccessControlForFeatures"] = {
        "allowOthersToQuery": False,
        "allowOthersToUpdate": False,
        "allowOthersToDelete": False,
    }
    write_service(data_dir / "owned", owned, {HYDRANTS: [hydrant(1, created_by="ann")]})
    async with FeatureServer(
        data_dir, clock=clock, mint=seeded_mint(3), security=_SECURITY
    ) as server:
        yield server


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def _token(server: FeatureServer, session: ClientSession, **fields: Any) -> Any:
    client = Client(session, f"{server.origin}/arcgis/tokens")
    return await client.post("generateToken", **fields)


async def _client(
    server: FeatureServer, session: ClientSession, user: str, service: str = "water"
) -> Client:
    given = await _token(server, session, username=user, password=user[0], client="requestip")
    return Client(session, server.url(service), token=given["token"])


async def test_call_when_no_token_then_499(guarded: FeatureServer, session: ClientSession) -> None:
    client = Client(session, guarded.url("water"))

    assert (await client.get(""))["error"]["code"] == 499
    assert (await client.get("0/1/attachments/1"))["error"]["code"] == 499


async def test_info_when_guarded_then_names_the_token_service(
    guarded: FeatureServer, session: ClientSession
) -> None:
    info = await Client(session, f"{guarded.origin}/arcgis/rest").get("info")

    assert info["authInfo"] == {
        "isTokenBasedSecurity": True,
        "tokenServicesUrl": f"{guarded.origin}/arcgis/tokens/generateToken",
        "shortLivedTokenValidity": 60,
    }


async def test_token_when_password_is_wrong_then_error(
    guarded: FeatureServer, session: ClientSession
) -> None:
    assert "error" in await _token(guarded, session, username="ann", password="x")


@pytest.mark.parametrize("header", ["Authorization", "X-Esri-Authorization", ""])
async def test_token_when_presented_then_let_in_until_it_expires(
    guarded: FeatureServer, session: ClientSession, clock: ManualClock, header: str
) -> None:
    given = await _token(guarded, session, username="ann", password="a", client="ip")
    headers = {header: f"Bearer {given['token']}"} if header else {}
    fields = {"f": "json"} if header else {"f": "json", "token": given["token"]}

    async def call() -> Any:
        async with session.get(guarded.url("water"), params=fields, headers=headers) as response:
            return await response.json()

    assert given["expires"] == clock.now_ms() + 600_000
    assert "error" not in await call()
    clock.advance(601)
    assert (await call())["error"]["code"] == 498


async def test_token_when_bound_to_a_referer_then_only_good_with_it(
    guarded: FeatureServer, session: ClientSession
) -> None:
    given = await _token(guarded, session, username="ann", password="a", referer="http://app")
    fields = {"f": "json", "token": given["token"]}

    async with session.get(guarded.url("water"), params=fields) as response:
        assert (await response.json())["error"]["code"] == 498
    headers = {"Referer": "http://app/page"}
    async with session.get(guarded.url("water"), params=fields, headers=headers) as response:
        assert "error" not in await response.json()


async def test_token_when_from_oauth_or_an_api_key_then_let_in(
    guarded: FeatureServer, session: ClientSession
) -> None:
    portal = Client(session, f"{guarded.origin}/portal/sharing/rest")
    granted = await portal.post(
        "oauth2/token", client_id="app", client_secret="secret", grant_type="client_credentials"
    )
    refused = await portal.post(
        "oauth2/token", client_id="app", client_secret="no", grant_type="client_credentials"
    )

    assert granted["expires_in"] == 600
    assert "error" in refused
    for token in (granted["access_token"], "AAPK1"):
        assert "error" not in await Client(session, guarded.url("water"), token=token).get("")


async def test_token_when_federated_then_exchanged(
    guarded: FeatureServer, session: ClientSession
) -> None:
    portal = Client(session, f"{guarded.origin}/portal/sharing/rest")
    first = await portal.post("generateToken", username="bob", password="b", client="ip")

    second = await portal.post(
        "generateToken", token=first["token"], serverUrl=guarded.origin, client="ip"
    )

    client = Client(session, guarded.url("water"), token=second["token"])
    assert "error" not in await client.get("")


async def test_token_when_expired_by_a_fault_in_mid_job_then_498(
    guarded: FeatureServer, session: ClientSession
) -> None:
    client = await _client(guarded, session, "ann")
    job = await client.replica(**{"async": True})
    guarded.faults.add(Fault(kind="token-expired", operation="jobs"))

    path = job["statusUrl"].removeprefix(client.url + "/")
    assert (await client.get(path))["error"]["code"] == 498
    again = await _client(guarded, session, "ann")
    assert (await again.get(path))["status"] == "Pending"


async def test_replica_when_of_another_user_then_out_of_sight(
    guarded: FeatureServer, session: ClientSession
) -> None:
    ann = await _client(guarded, session, "ann")
    bob = await _client(guarded, session, "bob")
    app = Client(session, bob.url, token="AAPK1")
    replica = await ann.replica()
    await bob.replica()

    assert (await bob.sync(replica))["error"]["code"] == 403
    assert (await app.post("unRegisterReplica", replicaID=replica["replicaID"]))["error"]
    assert len(await bob.get("replicas")) == 1
    assert len(await ann.get("replicas")) == 2


async def test_sync_when_service_is_query_only_then_only_the_owner_uploads(
    guarded: FeatureServer, session: ClientSession
) -> None:
    added = hydrant(30)
    edits = [{"id": HYDRANTS, "features": {"adds": [added]}}]
    outcomes = {}
    for user in ("ann", "bob"):
        client = await _client(guarded, session, user, "library")
        replica = await client.replica(layers="0")
        answer = await client.sync(replica, edits=edits)
        outcomes[user] = answer

    assert layer_of(outcomes["ann"], HYDRANTS)["addResults"][0]["success"] is True
    assert outcomes["bob"]["error"]["code"] == 403


async def test_rows_when_owned_by_others_then_hidden_and_untouchable(
    guarded: FeatureServer, session: ClientSession
) -> None:
    ann = await _client(guarded, session, "ann", "owned")
    bob = await _client(guarded, session, "bob", "owned")
    mine = {"attributes": {"name": "bob's"}, "geometry": {"x": 1, "y": 1}}

    added = await bob.post("0/applyEdits", adds=[mine])
    changed = await bob.post(
        "0/applyEdits",
        updates=[{"attributes": {"OBJECTID": 1, "name": "x"}}],
        rollbackOnFailure=False,
    )

    assert added["addResults"][0]["success"] is True
    assert changed["updateResults"][0]["error"]["code"] == 1007
    assert await bob.oids(HYDRANTS, "1=1") == [2]
    assert await ann.oids(HYDRANTS, "1=1") == [1, 2]
    replica = await bob.replica(layers="0")
    assert len(layer_of(replica, HYDRANTS, "layers")["features"]) == 1


async def test_cleanup_when_owner_asks_then_old_generations_are_refused(
    guarded: FeatureServer, session: ClientSession, clock: ManualClock
) -> None:
    ann = await _client(guarded, session, "ann")
    bob = await _client(guarded, session, "bob")
    replica = await ann.replica(layers="0")
    await ann.post("0/applyEdits", deletes="1")
    clock.advance(120)

    refused = await bob.post("cleanupChangeTracking", layers="0", retentionPeriod=1)
    fields = {"retentionPeriod": 1, "retentionPeriodUnits": "minutes"}
    done = await ann.post("cleanupChangeTracking", layers="0", **fields)

    assert refused["error"]["code"] == 403
    assert done == {"success": True}
    assert "error" in await ann.sync(replica)
    assert await ann.oids(HYDRANTS, f"GlobalID = '{gid(2)}'") == [2]
    store = guarded.hosted("water").store
    assert store.one("SELECT COUNT(*) FROM layer_0 WHERE gid = ?", gid(1)) == (0,)
