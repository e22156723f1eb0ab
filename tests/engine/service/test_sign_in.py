"""Signing in: who is asked for a token, who is shown one, and when another one is wanted."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from engine.clock import Clock
from engine.errors import (
    AuthenticationError,
    CredentialsError,
    EngineError,
    ProtocolError,
    ServiceRefusedError,
)
from engine.layer_schema import JsonObject
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.credentials import (
    ApiKey,
    ArcGISCredential,
    OAuthApplicationCredential,
    PregeneratedTokenCredential,
    TokenCredential,
    TokenInfo,
)
from engine.service.sign_in import Credentials, SignIn, headers
from tests.fakes.clock import VirtualClock

GIS, PORTAL = "https://gis.example.org", "https://portal.example.org/portal"
TREES = f"{GIS}/server/rest/services/Trees/FeatureServer"
GENERATE = f"{PORTAL}/sharing/rest/generateToken"
ONLINE = "https://services1.arcgis.com/X/arcgis/rest/services/Trees/FeatureServer"
SERVER_TIME = datetime(2031, 1, 1, tzinfo=UTC)  # not that of the device

Form = Mapping[str, str] | None
Reply = JsonObject | EngineError


class Servers:
    """Answers by URL, in turn, the last one for ever; what was asked is in ``calls``."""

    def __init__(self, clock: Clock, replies: Mapping[str, list[Reply]]) -> None:
        self.clock = clock
        self.calls: list[tuple[str, Form]] = []
        self._replies = {url: list(values) for url, values in replies.items()}
        self.has_time = True

    async def ask(self, url: str, form: Form = None) -> tuple[JsonObject, datetime | None]:
        self.calls.append((url, form))
        await asyncio.sleep(0)
        replies = self._replies[url]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, EngineError):
            raise reply
        now = SERVER_TIME + timedelta(seconds=self.clock.monotonic())
        return reply, now if self.has_time else None

    @property
    def asked(self) -> list[str]:
        return [url for url, _ in self.calls]


def token(name: str, minutes: float = 60) -> JsonObject:
    """What ``generateToken`` answers."""
    expires = SERVER_TIME + timedelta(minutes=minutes)
    return {"token": name, "expires": round(expires.timestamp() * 1000), "ssl": True}


def alone(service: str = f"{GIS}/server/tokens/generateToken") -> JsonObject:
    return {"authInfo": {"isTokenBasedSecurity": True, "tokenServicesUrl": service}}


def federated(portal: str = PORTAL) -> JsonObject:
    return {"owningSystemUrl": portal, "authInfo": {"tokenServicesUrl": f"{portal}/whatever"}}


def refused(code: int = 400, text: str = "Invalid username or password.") -> EngineError:
    kind = AuthenticationError if code in (498, 499) else ServiceRefusedError
    return kind(text, service_code=code)


@pytest.fixture
def serve(clock: VirtualClock) -> Callable[..., Servers]:
    return lambda replies: Servers(clock, replies)


async def shown(credentials: Credentials, servers: Servers, url: str = TREES) -> str | None:
    """The token that a request to ``url`` carries."""
    grant = await SignIn(credentials, servers).grant(url)
    return None if grant is None else grant.token


INFO = f"{GIS}/server/rest/info"
OWN = f"{GIS}/server/tokens/generateToken"
Serve = Callable[[Mapping[str, list[Reply]]], Servers]


# --- who is asked, who is shown what --------------------------------------------------------------


async def test_a_server_alone_gives_its_token_for_user_and_password(serve: Serve) -> None:
    servers = serve({INFO: [alone()], OWN: [token("t1")]})
    ann = TokenCredential(TREES, "ann", "pw", 30)

    grant = await SignIn(ann, servers).grant(f"{TREES}/0/query")

    assert servers.calls == [
        (INFO, None),
        (
            OWN,
            {
                "username": "ann",
                "password": "pw",
                "client": "referer",
                "referer": GIS,
                "expiration": "30",
            },
        ),
    ]
    assert headers(grant) == {"X-Esri-Authorization": "Bearer t1", "Referer": GIS}


@pytest.mark.parametrize("reply", [refused(404), ProtocolError("no JSON"), {"currentVersion": 10}])
async def test_a_server_that_does_not_tell_is_asked_where_servers_have_it(
    reply: Reply, serve: Serve
) -> None:
    servers = serve({INFO: [reply], OWN: [token("t1")]})

    assert await shown(TokenCredential(GIS, "ann", "pw"), servers) == "t1"


async def test_a_portals_token_is_exchanged_for_one_of_its_server(serve: Serve) -> None:
    servers = serve({INFO: [federated()], GENERATE: [token("portal"), token("server")]})

    assert await shown(TokenCredential(GIS, "ann", "pw"), servers) == "server"

    assert servers.asked == [INFO, GENERATE, GENERATE]
    _, form = servers.calls[-1]
    assert form is not None
    assert (form["token"], form["serverUrl"]) == ("portal", f"{GIS}/server")
    assert "password" not in form


@pytest.mark.parametrize(
    ("credential", "login"),
    [
        (TokenCredential(PORTAL, "ann", "pw"), GENERATE),
        (
            OAuthApplicationCredential(PORTAL, "app", "pw"),
            f"{PORTAL}/sharing/rest/oauth2/token",
        ),
        (PregeneratedTokenCredential(PORTAL, TokenInfo(access_token="portal")), None),
        (ApiKey("portal", PORTAL), None),
    ],
)
async def test_a_portals_credential_is_good_for_the_servers_that_belong_to_it(
    credential: ArcGISCredential, login: str | None, serve: Serve
) -> None:
    replies: dict[str, list[Reply]] = {INFO: [federated()], GENERATE: [token("server")]}
    if login == GENERATE:
        replies[GENERATE] = [token("portal"), token("server")]
    elif login is not None:
        replies[login] = [{"access_token": "portal", "expires_in": 1800}]
    servers = serve(replies)

    assert await shown(credential, servers) == "server"

    assert servers.asked == [INFO, *([login] if login else []), GENERATE]
    _, form = servers.calls[-1]
    assert form is not None
    assert (form["token"], form["serverUrl"]) == ("portal", f"{GIS}/server")


async def test_a_server_that_only_claims_to_belong_to_a_portal_gets_no_token(serve: Serve) -> None:
    servers = serve(
        {INFO: [federated()], GENERATE: [token("portal"), refused(400, "not federated")]}
    )

    with pytest.raises(AuthenticationError, match=r"portal\.example\.org gives no token for"):
        await shown(TokenCredential(PORTAL, "ann", "pw"), servers)


async def test_a_server_of_another_portal_is_asked_without_a_token(serve: Serve) -> None:
    servers = serve({INFO: [federated("https://other.example.org/portal")]})
    sign_in = SignIn(TokenCredential(PORTAL, "ann", "pw"), servers)

    assert await sign_in.grant(TREES) is None
    assert await sign_in.grant(TREES) is None

    assert servers.asked == [INFO]


async def test_a_host_that_is_no_server_is_not_even_asked(serve: Serve) -> None:
    servers = serve({})

    assert await shown(TokenCredential(GIS, "ann", "pw"), servers, "https://blob.net/f?a=1") is None
    assert await shown(ArcGISCredentialStore(), servers) is None

    assert not servers.calls


async def test_a_portals_own_resources_get_its_token(serve: Serve) -> None:
    servers = serve({GENERATE: [token("portal")]})
    item = f"{PORTAL}/sharing/rest/content/items/1"

    assert await shown(TokenCredential(PORTAL, "ann", "pw"), servers, item) == "portal"


async def test_arcgis_online_takes_one_token_on_all_its_hosts(serve: Serve) -> None:
    login = "https://www.arcgis.com/sharing/rest/generateToken"
    servers = serve({login: [token("online")]})
    ann = TokenCredential("https://city.maps.arcgis.com", "ann", "pw")

    assert await shown(ann, servers, ONLINE) == "online"
    assert await shown(ann, servers, "https://www.arcgis.com/sharing/rest/portals/self") == "online"

    assert servers.asked == [login]


async def test_an_application_signs_in_at_its_own_portal_of_arcgis_online(serve: Serve) -> None:
    login = "https://city.maps.arcgis.com/sharing/rest/oauth2/token"
    servers = serve({login: [{"access_token": "app", "expires_in": 7200}]})
    app = OAuthApplicationCredential("https://city.maps.arcgis.com/home", "app", "pw")

    grant = await SignIn(app, servers).grant(ONLINE)

    assert headers(grant) == {"X-Esri-Authorization": "Bearer app"}
    assert servers.calls[0][1] == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "pw",
        "expiration": "60",
    }


async def test_a_ready_token_is_shown_as_it_is_with_its_referer(serve: Serve) -> None:
    ready = PregeneratedTokenCredential(GIS, TokenInfo(access_token="t"), "https://office.org")

    grant = await SignIn(ready, serve({})).grant(TREES)

    assert headers(grant) == {
        "X-Esri-Authorization": "Bearer t",
        "Referer": "https://office.org",
    }


async def test_a_portals_ready_token_on_the_same_host_is_exchanged_too(serve: Serve) -> None:
    login = f"{GIS}/portal/sharing/rest/generateToken"
    servers = serve({login: [token("server")]})
    ready = PregeneratedTokenCredential(f"{GIS}/portal", TokenInfo(access_token="portal"))

    assert await shown(ready, servers) == "server"
    assert await shown(ready, servers, f"{GIS}/portal/sharing/rest/portals/self") == "portal"


# --- privacy --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "credential", [TokenCredential(GIS, "ann", "pw"), ApiKey("k", GIS)], ids=["user", "key"]
)
async def test_nothing_is_sent_where_everybody_can_read_it(
    credential: ArcGISCredential, serve: Serve
) -> None:
    servers = serve({})

    with pytest.raises(CredentialsError, match="not https"):
        await shown(credential, servers, TREES.replace("https", "http"))

    assert not servers.calls


@pytest.mark.parametrize("portal", ["http://portal.example.org/portal", "portal", "ftp://p/x"])
async def test_a_password_is_not_sent_to_a_portal_without_https(portal: str, serve: Serve) -> None:
    servers = serve({INFO: [federated(portal)]})

    with pytest.raises(CredentialsError, match="not https"):
        await shown(TokenCredential(GIS, "ann", "pw"), servers)

    assert servers.asked == [INFO]


async def test_plain_http_is_for_those_who_ask_for_it(serve: Serve) -> None:
    url = "http://closed.example.org/arcgis/rest/services/T/FeatureServer"

    assert await shown(ApiKey("k", url, allow_http=True), serve({}), url) == "k"


async def test_what_a_server_repeats_of_a_secret_is_not_passed_on(serve: Serve) -> None:
    echo = refused(400, "no user ann with password hunter2x")
    servers = serve({INFO: [alone()], OWN: [echo]})

    with pytest.raises(AuthenticationError) as caught:
        await shown(TokenCredential(GIS, "ann", "hunter2x"), servers)

    assert "hunter2x" not in f"{caught.value} {caught.value!r} {caught.value.to_json()}"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("text", ["t\r\nX: y", "", "ä", 5, None])
async def test_a_token_that_cannot_stand_in_a_header_is_not_used(
    text: object, serve: Serve
) -> None:
    servers = serve({INFO: [alone()], OWN: [{"token": text}]})

    with pytest.raises(ProtocolError, match="no token that can be used"):
        await shown(TokenCredential(GIS, "ann", "pw"), servers)


# --- how long -------------------------------------------------------------------------------------


async def test_a_token_is_kept_over_sessions_until_shortly_before_it_expires(
    serve: Serve, clock: VirtualClock
) -> None:
    servers = serve({INFO: [alone()], OWN: [token("t1"), token("t2", 120)]})
    ann = TokenCredential(GIS, "ann", "pw")

    assert await shown(ann, servers) == "t1"
    await clock.sleep(57 * 60)
    assert await shown(ann, servers) == "t1"
    await clock.sleep(2 * 60)
    assert await shown(ann, servers) == "t2"


@pytest.mark.parametrize("years", [-30, 10])
async def test_a_device_clock_wrong_by_years_changes_nothing(
    years: int, serve: Serve, clock: VirtualClock
) -> None:
    clock.set_now(SERVER_TIME + timedelta(days=365 * years))
    servers = serve({INFO: [alone()], OWN: [token("t1"), token("t2", 120)]})
    ann = TokenCredential(GIS, "ann", "pw")

    assert await shown(ann, servers) == "t1"
    clock.set_now(SERVER_TIME - timedelta(days=365 * years))
    await clock.sleep(57 * 60)
    assert await shown(ann, servers) == "t1"
    await clock.sleep(2 * 60)
    assert await shown(ann, servers) == "t2"


@pytest.mark.parametrize(
    ("answer", "has_time"),
    [
        ({"token": "t1"}, True),
        ({"token": "t1", "expires": "soon"}, True),
        (token("t1", -5), True),  # the server's clocks differ
        (token("t1", 10_000_000), True),
        (token("t1"), False),
    ],
)
async def test_a_life_that_makes_no_sense_is_the_one_that_was_asked_for(
    answer: JsonObject, has_time: bool, serve: Serve, clock: VirtualClock
) -> None:
    servers = serve({INFO: [alone()], OWN: [answer, token("t2", 120)]})
    servers.has_time = has_time
    ann = TokenCredential(GIS, "ann", "pw", 60)

    assert await shown(ann, servers) == "t1"
    await clock.sleep(57 * 60)
    assert await shown(ann, servers) == "t1"
    await clock.sleep(2 * 60)
    assert await shown(ann, servers) == "t2"


async def test_a_server_that_gives_less_than_was_asked_for_is_believed(
    serve: Serve, clock: VirtualClock
) -> None:
    servers = serve({INFO: [alone()], OWN: [token("t1", 1), token("t2", 60)]})
    ann = TokenCredential(GIS, "ann", "pw")

    assert await shown(ann, servers) == "t1"
    await clock.sleep(50)
    assert await shown(ann, servers) == "t1"
    await clock.sleep(5)
    assert await shown(ann, servers) == "t2"


# --- refused --------------------------------------------------------------------------------------


async def test_a_refused_token_is_replaced_once_however_many_requests_had_it(serve: Serve) -> None:
    servers = serve({INFO: [alone()], OWN: [token("t1"), token("t2")]})
    sign_in = SignIn(TokenCredential(GIS, "ann", "pw"), servers)
    grants = await asyncio.gather(*(sign_in.grant(TREES) for _ in range(3)))
    assert {g.token for g in grants if g} == {"t1"}

    for grant in grants:
        assert sign_in.give_up(TREES, grant)
        renewed = await sign_in.grant(TREES)
        assert renewed is not None
        assert renewed.token == "t2"

    assert servers.asked.count(OWN) == 2


async def test_a_portals_token_that_expired_early_is_renewed_for_the_exchange(serve: Serve) -> None:
    servers = serve(
        {
            INFO: [federated()],
            GENERATE: [
                token("portal 1".replace(" ", "")),
                token("server1"),
                refused(498, "Invalid token."),
                token("portal2"),
                token("server2"),
            ],
        }
    )
    sign_in = SignIn(TokenCredential(GIS, "ann", "pw"), servers)
    first = await sign_in.grant(TREES)
    assert sign_in.give_up(TREES, first)

    second = await sign_in.grant(TREES)

    assert second is not None
    assert second.token == "server2"


async def test_a_token_of_arcgis_online_that_is_refused_is_not_shown_again(serve: Serve) -> None:
    login = "https://www.arcgis.com/sharing/rest/generateToken"
    servers = serve({login: [token("t1"), token("t2")]})
    sign_in = SignIn(TokenCredential("https://www.arcgis.com", "ann", "pw"), servers)
    first = await sign_in.grant(ONLINE)
    assert sign_in.give_up(ONLINE, first)

    second = await sign_in.grant(ONLINE)

    assert second is not None
    assert second.token == "t2"


async def test_a_ready_token_that_is_refused_cannot_be_replaced(serve: Serve) -> None:
    sign_in = SignIn(ApiKey("key7", GIS), serve({}))
    grant = await sign_in.grant(TREES)

    assert not sign_in.give_up(TREES, grant)
    told = sign_in.explained(TREES, grant, AuthenticationError("key7? no", service_code=498))

    assert str(told) == (
        "no sign-in at gis.example.org: ***? no. "
        "The token for gis.example.org has expired or is wrong: give a new one"
    )
    assert told.service_code == 498


async def test_without_a_credential_the_host_and_those_known_are_named(serve: Serve) -> None:
    sign_in = SignIn(ApiKey("key7", "https://other.example.org"), serve({INFO: [alone()]}))

    told = sign_in.explained(TREES, await sign_in.grant(TREES), AuthenticationError("no"))

    assert told.remedy == (
        "Give credentials for gis.example.org; those given are for other.example.org"
    )
