"""Requests that carry a token: to its own host only, and once more when it was refused."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.errors import AuthenticationError, CredentialsError, LinkError
from engine.service.credential_store import ArcGISCredentialStore
from engine.service.credentials import ApiKey, ArcGISCredential, TokenCredential
from engine.service.download import download as fetch
from engine.service.session import Session
from tests.engine.service.calls import (
    Call,
    download,
    get,
    post,
    post_again,
    post_file,
    post_to_file,
    post_to_file_again,
)
from tests.fakes.clock import VirtualClock
from tests.fakes.file_server import FakeFile
from tests.fakes.http_server import Cut, HttpServer, Reply, answer, json_answer

PASSWORD = "pass+word&7"
GOOD = answer('{"good":true}')
INFO = json_answer({"authInfo": {"tokenServicesUrl": "/arcgis/tokens/generateToken"}})
T1, T2 = json_answer({"token": "t1"}), json_answer({"token": "t2"})
EXPIRED = json_answer({"error": {"code": 498, "message": "Invalid token.", "details": []}})
CALLS = (get, post, post_again, post_file, post_to_file, post_to_file_again, download)
EACH_CALL = pytest.mark.parametrize("call", CALLS)

Open = Callable[[ArcGISCredential], AsyncIterator[Session]]


@asynccontextmanager
async def signed_in(clock: VirtualClock, credential: ArcGISCredential) -> AsyncIterator[Session]:
    async with Session(credential=credential, clock=clock, rng=random.Random(1)) as opened:
        yield opened


def ann(server: HttpServer) -> TokenCredential:
    return TokenCredential(f"{server.origin}/arcgis", "ann", PASSWORD)


def url(server: HttpServer) -> str:
    return f"{server.origin}/arcgis/rest/services/Trees/FeatureServer/x"


def bearers(server: HttpServer) -> list[str]:
    """The token of each request, without the word before it."""
    found = [r.headers.get("x-esri-authorization", "Bearer -") for r in server.requests]
    return [text.removeprefix("Bearer ") for text in found]


@EACH_CALL
@pytest.mark.parametrize(
    "refusal",
    [
        EXPIRED,
        json_answer({"error": {"code": 499, "message": "Token Required"}}),
        answer("no", status=401),
    ],
    ids=["498", "499", "401"],
)
async def test_a_request_whose_token_is_refused_is_made_again_with_a_new_one(
    call: Call, refusal: Reply, clock: VirtualClock, tmp_path: Path
) -> None:
    async with (
        HttpServer(INFO, T1, refusal, T2, GOOD) as server,
        signed_in(clock, ann(server)) as session,
    ):
        await call(session, url(server), tmp_path)

    assert bearers(server) == ["-", "-", "t1", "-", "t2"]
    first, again = server.requests[2], server.requests[4]
    assert first.target == again.target
    assert len(first.body) == len(again.body)
    if "post_file" in call.__name__:
        assert again.field("edits") == "[]"
    assert clock.monotonic() == 0


@EACH_CALL
async def test_a_request_that_is_refused_again_is_given_up(
    call: Call, clock: VirtualClock, tmp_path: Path
) -> None:
    async with (
        HttpServer(INFO, T1, EXPIRED, T2, EXPIRED) as server,
        signed_in(clock, ann(server)) as session,
    ):
        with pytest.raises(AuthenticationError, match=r"no sign-in at 127\.0\.0\.1") as caught:
            await call(session, url(server), tmp_path)

    assert len(server.requests) == 5
    assert caught.value.service_code == 498
    assert "refuses the token that it has just given" in caught.value.remedy
    assert not (tmp_path / "answer").exists()


@EACH_CALL
async def test_a_key_that_is_refused_is_not_shown_again(
    call: Call, clock: VirtualClock, tmp_path: Path
) -> None:
    async with (
        HttpServer(EXPIRED) as server,
        signed_in(clock, ApiKey("key7", server.origin)) as session,
    ):
        with pytest.raises(AuthenticationError, match="expired or is wrong: give a new one"):
            await call(session, url(server), tmp_path)

    assert bearers(server) == ["key7"]


@EACH_CALL
async def test_without_credentials_the_host_that_wants_them_is_named(
    call: Call, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(EXPIRED) as server:
        with pytest.raises(AuthenticationError) as caught:
            await call(session, url(server), tmp_path)

    assert caught.value.remedy == f"Give credentials for 127.0.0.1:{server.port}"


async def test_one_sign_in_serves_all_requests_and_sessions(
    clock: VirtualClock, tmp_path: Path
) -> None:
    async with HttpServer(INFO, T1, GOOD) as server:
        credential = ann(server)
        for _ in range(2):
            async with signed_in(clock, credential) as session:
                for call in CALLS:
                    await call(session, url(server), tmp_path)

    assert bearers(server) == ["-", "-", *["t1"] * 14]


async def test_secrets_stand_in_headers_and_in_the_sign_in_only(
    clock: VirtualClock, tmp_path: Path
) -> None:
    async with (
        HttpServer(INFO, T1, GOOD) as server,
        signed_in(clock, ann(server)) as session,
    ):
        for call in CALLS:
            await call(session, url(server), tmp_path)

    _, login, *rest = server.requests
    assert (login.method, login.target) == ("POST", "/arcgis/tokens/generateToken")
    assert login.headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"password=pass%2Bword%267&" in login.body
    assert b"&f=json" in login.body
    for request in rest:
        assert "t1" not in request.target
        assert b"t1" not in request.body
        assert b"pass" not in request.body
        assert request.headers["referer"] == server.origin


@pytest.mark.parametrize("call", [get, download])
async def test_a_redirect_takes_the_token_to_no_other_host(
    call: Call, clock: VirtualClock, tmp_path: Path
) -> None:
    async with HttpServer(GOOD) as other:
        away = answer("", status=302, headers={"Location": f"{other.origin}/arcgis/rest/x"})
        near = answer("", status=302, headers={"Location": "/arcgis/rest/y"})
        async with (
            HttpServer(INFO, T1, near, away) as server,
            signed_in(clock, ann(server)) as session,
        ):
            await call(session, url(server), tmp_path)

        assert bearers(server) == ["-", "-", "t1", "t1"]
        (seen,) = other.requests
    assert set(seen.headers) <= {"host", "user-agent", "accept-encoding", "accept"}
    assert not seen.body


async def test_a_redirect_takes_no_token_even_to_a_host_that_has_one_of_its_own(
    clock: VirtualClock,
) -> None:
    async with HttpServer(GOOD) as other:
        away = answer("", status=302, headers={"Location": f"{other.origin}/arcgis/rest/x"})
        async with HttpServer(away) as server:
            store = ArcGISCredentialStore([ApiKey("a", server.origin), ApiKey("b", other.origin)])
            async with Session(credential=store, clock=clock) as session:
                await session.get(url(server))

        assert bearers(server) == ["a"]
        assert bearers(other) == ["-"]


async def test_a_url_of_another_host_in_an_answer_gets_no_token(
    clock: VirtualClock, tmp_path: Path
) -> None:
    async with (
        HttpServer(GOOD) as other,
        HttpServer(GOOD) as server,
        signed_in(clock, ann(server)) as session,
    ):
        await fetch(session, f"{other.origin}/blob?sig=1", tmp_path / "file")

        assert bearers(other) == ["-"]
        assert not server.requests


async def test_a_sign_in_outlives_passing_trouble(clock: VirtualClock, tmp_path: Path) -> None:
    busy = answer("busy", status=503)
    async with (
        HttpServer(busy, INFO, busy, Cut(b""), T1, GOOD) as server,
        signed_in(clock, ann(server)) as session,
    ):
        await session.get(url(server))

    assert bearers(server)[-1] == "t1"


async def test_a_sign_in_that_cannot_be_reached_is_a_matter_of_the_link(
    clock: VirtualClock, tmp_path: Path
) -> None:
    async with (
        HttpServer(INFO, Cut(b"")) as server,
        signed_in(clock, ann(server)) as session,
    ):
        with pytest.raises(LinkError):
            await post_file(session, url(server), tmp_path)

    assert not [r for r in server.requests if r.target.endswith("/x")]


async def test_a_sign_in_is_not_sent_to_where_it_is_redirected(clock: VirtualClock) -> None:
    async with HttpServer(GOOD) as other:
        away = answer("", status=307, headers={"Location": f"{other.origin}/tokens"})
        async with (
            HttpServer(INFO, away) as server,
            signed_in(clock, ann(server)) as session,
        ):
            with pytest.raises(Exception, match="redirects a POST"):
                await session.get(url(server))

        assert not other.requests


async def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(
    clock: VirtualClock,
) -> None:
    credential = ApiKey("key7", "https://gis.example.invalid")

    async with signed_in(clock, credential) as session:
        with pytest.raises(CredentialsError, match="not https"):
            await session.get("http://gis.example.invalid/arcgis/rest/services/x")


async def test_a_small_file_that_is_no_refusal_is_kept(clock: VirtualClock, tmp_path: Path) -> None:
    bodies = ['{"error":{"code":500}}', '{"a":1}', "", "[498]", '{"code":498}', "\xff498"]
    async with (
        HttpServer(*map(answer, bodies)) as server,
        signed_in(clock, ApiKey("key7", server.origin)) as session,
    ):
        for body in bodies:
            await fetch(session, url(server), tmp_path / "file")
            assert (tmp_path / "file").read_bytes() == body.encode()


@pytest.mark.parametrize(
    "refusal", [EXPIRED, answer("no", status=401)], ids=["with status 200", "with status 401"]
)
async def test_a_download_whose_token_is_refused_at_its_rest_goes_on_there(
    refusal: Reply, clock: VirtualClock, tmp_path: Path
) -> None:
    content = random.Random(3).randbytes(100_000)
    file = FakeFile(content=content, cuts=[90_000])
    async with (
        HttpServer(INFO, T1, file, refusal, T2, file) as server,
        signed_in(clock, ann(server)) as session,
    ):
        await fetch(session, url(server), tmp_path / "f", is_packable=False)

    assert (tmp_path / "f").read_bytes() == content
    assert len(file.ranges) == 2
    assert file.ranges[1] > 0
