"""When a token service is not asked again: after a refusal, and while it wants to be left alone."""

import pytest

from engine.errors import AuthenticationError, LinkError, ServiceBusyError
from engine.service.credentials import REFUSED_PAUSE_S, TokenCredential
from tests.engine.service.test_sign_in import (
    GENERATE,
    GIS,
    INFO,
    OWN,
    PORTAL,
    Reply,
    Servers,
    alone,
    federated,
    refused,
    shown,
    token,
)
from tests.fakes.clock import VirtualClock


async def test_a_wrong_password_is_not_tried_again_for_a_while(clock: VirtualClock) -> None:
    servers = Servers(clock, {INFO: [alone()], OWN: [refused(), token("t1")]})
    ann = TokenCredential(GIS, "ann", "pw")
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="refuses the user ann: Invalid user"):
            await shown(ann, servers)
    assert servers.asked.count(OWN) == 1

    await clock.sleep(REFUSED_PAUSE_S)

    assert await shown(ann, servers) == "t1"


@pytest.mark.parametrize("is_exchange", [False, True])
async def test_a_token_service_that_asks_for_time_is_left_alone(
    clock: VirtualClock, is_exchange: bool
) -> None:
    """All services of a map sign in with one credential."""
    busy = ServiceBusyError("busy", retry_after_s=900.0, host="portal.example.org")
    replies: list[Reply] = [token("portal"), token("t1")]
    replies.insert(int(is_exchange), busy)
    servers = Servers(clock, {INFO: [federated()], GENERATE: replies})
    ann = TokenCredential(PORTAL, "ann", "pw")
    for left_s in (900, 600):
        with pytest.raises(ServiceBusyError) as caught:
            await shown(ann, servers)
        assert caught.value.retry_after_s == left_s
        assert caught.value.host == "portal.example.org"
        await clock.sleep(300)
    assert servers.asked.count(GENERATE) == 1 + is_exchange

    await clock.sleep(300)

    assert await shown(ann, servers) == "t1"


async def test_a_link_that_breaks_is_no_refusal(clock: VirtualClock) -> None:
    servers = Servers(clock, {INFO: [alone()], OWN: [LinkError("gone"), token("t1")]})
    ann = TokenCredential(GIS, "ann", "pw")
    with pytest.raises(LinkError):
        await shown(ann, servers)

    assert await shown(ann, servers) == "t1"
