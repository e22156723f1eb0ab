"""Where a link leads: shown by the service itself, or by what answers in its place."""

from itertools import product

import pytest

from device.links.reachability import probe, reach_after
from device.model import FailureClass, Reach
from tests.fakes.clock import VirtualClock
from tests.fakes.http_server import HttpServer, Reply, answer, json_answer

SERVICE = {
    "currentVersion": 11.2,
    "serviceItemId": "6A1b",
    "capabilities": "Query,Sync",
    "syncEnabled": True,
    "syncCapabilities": {"supportsPerReplicaSync": True},
    "layers": [],
    "tables": [],
}
PAGE = answer("<!DOCTYPE html><h1>Hotel Wi-Fi</h1>")


@pytest.mark.parametrize(
    ("reply", "item_id", "reach", "code"),
    [
        (json_answer(SERVICE), "", Reach.SERVICE, None),
        (json_answer(SERVICE), "6a1B", Reach.SERVICE, None),
        (json_answer(SERVICE), "0c0c", Reach.NOTHING, "error"),
        (PAGE, "", Reach.PORTAL, "not-a-feature-service"),
        (answer("", status=511), "", Reach.PORTAL, "captive-portal"),
        (answer("", status=503), "", Reach.SERVICE, "service-busy"),
        (json_answer({"error": {"code": 499}}), "", Reach.SERVICE, "authentication"),
    ],
    ids=["service", "its item", "another item", "page", "sign-in", "busy", "token"],
)
async def test_what_answers_shows_where_the_link_leads(
    reply: Reply, item_id: str, reach: Reach, code: str | None, clock: VirtualClock
) -> None:
    async with HttpServer(reply) as server:
        proof = await probe(f"{server.origin}/FeatureServer", item_id=item_id, clock=clock)

    assert proof.reach is reach
    assert (None if proof.error is None else proof.error.code) == code


async def test_a_redirect_to_a_page_elsewhere_is_a_portal(clock: VirtualClock) -> None:
    async with HttpServer(PAGE) as portal:
        away = answer("", status=302, headers={"Location": f"{portal.origin}/login"})
        async with HttpServer(away) as server:
            proof = await probe(f"{server.origin}/FeatureServer", clock=clock)

    assert proof.reach is Reach.PORTAL


async def test_a_foreign_certificate_is_a_portal(clock: VirtualClock) -> None:
    async with HttpServer(json_answer(SERVICE), certificate="lasting.pem") as server:
        proof = await probe(f"{server.origin}/FeatureServer", clock=clock)

        assert not server.requests
    assert proof.reach is Reach.PORTAL


async def test_where_nobody_answers_the_link_leads_to_nothing(clock: VirtualClock) -> None:
    async with HttpServer(json_answer(SERVICE)) as server:
        gone = server.origin

    proof = await probe(f"{gone}/FeatureServer", clock=clock)

    assert proof.reach is Reach.NOTHING
    assert proof.error is not None
    assert proof.error.code == "link"


def test_a_run_shows_what_it_shows_and_no_more() -> None:
    shown = {
        (failure, is_acknowledged): reach_after(failure, is_acknowledged=is_acknowledged)
        for failure, is_acknowledged in product([None, *FailureClass], [True, False])
    }

    assert {reach for (_, is_acknowledged), reach in shown.items() if is_acknowledged} == {
        Reach.SERVICE
    }
    assert {failure: shown[failure, False] for failure in [None, *FailureClass]} == {
        None: None,
        FailureClass.LINK: Reach.NOTHING,
        FailureClass.PORTAL: Reach.PORTAL,
        FailureClass.CLOCK: None,
        FailureClass.BUSY: None,
        FailureClass.LOCAL: None,
        FailureClass.SERVER: Reach.SERVICE,
        FailureClass.AUTHENTICATION: Reach.SERVICE,
        FailureClass.REFUSED: Reach.SERVICE,
    }
