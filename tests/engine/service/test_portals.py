"""Something else answers in the service's place: a captive portal, a foreign certificate."""

import asyncio
import json
import os
import sys

import pytest

from engine.errors import (
    CaptivePortalError,
    LinkError,
    NotAFeatureServiceError,
    ProtocolError,
    UntrustedCertificateError,
    WebPageError,
)
from engine.service.feature_service import FeatureService
from engine.service.session import Session
from tests.fakes.http_server import CERTIFICATES, HttpServer, answer, json_answer

PAGE = answer("<!DOCTYPE html><h1>Hotel Wi-Fi</h1>")
GOOD = json_answer({"ok": 1})


async def test_a_redirect_to_another_host_with_a_web_page_is_a_portal(session: Session) -> None:
    async with HttpServer(PAGE) as portal:
        away = answer("", status=302, headers={"Location": f"{portal.origin}/login?for=you"})
        async with HttpServer(away) as server:
            with pytest.raises(CaptivePortalError) as caught:
                await session.get(f"{server.origin}/FeatureServer")

            assert len(server.requests) == 1  # some seconds later it would be the same
        assert caught.value.message == (
            f"{server.origin}/FeatureServer redirects to the web page {portal.origin}/login"
        )


async def test_a_redirect_to_another_host_with_an_answer_is_none(session: Session) -> None:
    async with HttpServer(GOOD) as moved:
        away = answer("", status=302, headers={"Location": f"{moved.origin}/x"})
        async with HttpServer(away) as server:
            assert await session.get(server.origin) == {"ok": 1}


async def test_a_network_that_wants_a_sign_in_says_so(session: Session) -> None:
    """HTTP 511 (RFC 6585, 6)."""
    async with HttpServer(answer("<h1>Log in</h1>", status=511)) as server:
        with pytest.raises(CaptivePortalError, match="wants a sign-in") as caught:
            await session.get(server.origin)

        assert isinstance(caught.value, LinkError)
        assert len(server.requests) == 1


async def test_a_portal_is_told_of_as_such_by_the_service(session: Session) -> None:
    """It does not mean that the URL were wrong."""
    async with HttpServer(answer("", status=511)) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)

        with pytest.raises(CaptivePortalError):
            await service.load()


async def test_a_web_page_that_nobody_vouches_for_may_be_a_portal(session: Session) -> None:
    async with HttpServer(PAGE) as server:
        service = FeatureService(f"{server.origin}/FeatureServer", session)
        with pytest.raises(ProtocolError, match="a web page") as caught:
            await session.get(server.origin)
        with pytest.raises(NotAFeatureServiceError) as wrapped:
            await service.load()

    assert isinstance(caught.value, WebPageError)
    assert not caught.value.is_verified
    assert isinstance(wrapped.value.__cause__, WebPageError)


async def test_a_certificate_that_nobody_vouches_for_ends_it_at_once(session: Session) -> None:
    async with HttpServer(GOOD, certificate="lasting.pem") as server:
        with pytest.raises(UntrustedCertificateError) as caught:
            await session.get(server.origin)

        assert type(caught.value) is UntrustedCertificateError
        assert "is not trusted" in caught.value.message
        assert not server.requests


ASK = """
import asyncio, json, sys
from engine.errors import EngineError
from engine.service.session import Session


async def main():
    async with Session() as session:
        try:
            await session.get(sys.argv[1])
        except EngineError as error:
            print(json.dumps([error.code, getattr(error, "is_verified", None), error.remedy]))
        else:
            told = session.service_time
            print(json.dumps(["ok", None, "", str(told and told.moment)]))


asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("certificate", "reply", "expected"),
    [
        ("lasting.pem", GOOD, ["ok", None]),
        ("lasting.pem", PAGE, ["web-page", True]),
        ("expired.pem", GOOD, ["certificate-date", None]),
    ],
)
async def test_an_authority_that_is_trusted_vouches_for_the_server(
    certificate: str, reply: bytes, expected: list[object]
) -> None:
    """In a process of its own: what is trusted is read when the HTTP client is loaded."""
    dated = reply.replace(b"\r\n", b"\r\nDate: Sun, 01 Mar 2026 12:00:00 GMT\r\n", 1)
    async with HttpServer(dated, certificate=certificate) as server:
        asking = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            ASK,
            server.origin,
            env=os.environ | {"SSL_CERT_FILE": str(CERTIFICATES / certificate)},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            output, _ = await asking.communicate()

    code, is_verified, remedy, *told = json.loads(output)
    assert [code, is_verified] == expected
    assert told == (["2026-03-01 12:00:00+00:00"] if code == "ok" else [])
    assert ("date of this device" in remedy) == (code == "certificate-date")
