"""How requests travel: repeated or not, how long they may take, counted, redirected, cancelled."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from engine.errors import EngineError, LinkError, ProtocolError, ServiceBusyError
from engine.service.backoff import RETRY_AFTER_LIMIT_S
from engine.service.download import download as fetch
from engine.service.session import (
    ATTEMPTS,
    Session,
)
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
from tests.engine.service.conftest import SECRET
from tests.fakes.clock import VirtualClock
from tests.fakes.http_server import (
    Cut,
    HttpServer,
    Reply,
    TcpServer,
    answer,
    gzip_answer,
)

GOOD = answer('{"good":true}')
BUSY = answer("busy", status=503)
LOST = Cut(b"")

REPEATED = (get, post_again, post_to_file_again, download)
ONCE = (post, post_file, post_to_file)


# --- repeating ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", REPEATED)
@pytest.mark.parametrize("trouble", [BUSY, LOST, Cut(answer("{", length=9))])
async def test_a_repeatable_request_survives_passing_trouble(
    call: Call, trouble: Reply, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(trouble, trouble, GOOD) as server:
        await call(session, server.origin, tmp_path)

        assert len(server.requests) == 3


@pytest.mark.parametrize("call", ONCE)
@pytest.mark.parametrize("trouble", [BUSY, LOST, Cut(answer("{", length=9))])
async def test_what_might_be_done_twice_is_sent_once(
    call: Call, trouble: Reply, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(trouble, GOOD) as server:
        with pytest.raises((ServiceBusyError, LinkError)):
            await call(session, server.origin, tmp_path)

        assert len(server.requests) == 1


@pytest.mark.parametrize("call", REPEATED)
async def test_lasting_trouble_is_raised_in_the_end(
    call: Call, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(BUSY) as server:
        with pytest.raises(ServiceBusyError):
            await call(session, server.origin, tmp_path)

        assert len(server.requests) == ATTEMPTS


async def test_what_was_decided_is_not_asked_again(session: Session) -> None:
    async with HttpServer(answer("no", status=400)) as server:
        with pytest.raises(EngineError):
            await session.get(server.origin)

        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "90"}, 90),
        ({"Retry-After": " 90 "}, 90),
        # The server's own clock, for that of the device may be wrong by years.
        (
            {
                "Retry-After": "Wed, 01 Jan 2020 00:01:30 GMT",
                "Date": "Wed, 01 Jan 2020 00:00:00 GMT",
            },
            90,
        ),
        ({"Retry-After": "Wed, 01 May 2024 12:01:30 GMT"}, 90),
        ({"Retry-After": "Wed, 01 Jan 2020 00:01:30 GMT"}, 0),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "²"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({}, 0),
    ],
)
async def test_the_wait_that_a_server_asks_for_is_kept(
    headers: dict[str, str], seconds: float, session: Session, clock: VirtualClock
) -> None:
    async with HttpServer(answer("busy", status=429, headers=headers), GOOD) as server:
        await session.get(server.origin)

    assert seconds <= clock.monotonic() <= seconds + 1  # and a little of our own


async def test_a_wait_too_long_to_sit_out_is_left_to_the_caller(
    session: Session, clock: VirtualClock
) -> None:
    wait = int(RETRY_AFTER_LIMIT_S) + 1
    busy = answer("busy", status=503, headers={"Retry-After": str(wait)})

    async with HttpServer(busy, GOOD) as server:
        with pytest.raises(ServiceBusyError) as caught:
            await session.get(server.origin)

    assert caught.value.retry_after_s == wait
    assert f"http://{caught.value.host}" == server.origin
    assert "at 2024-05-01 12:02:01 UTC" in str(caught.value)
    assert clock.monotonic() == 0


# --- counting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [post, post_again, post_file, post_to_file])
async def test_bodies_that_went_up_are_counted(
    call: Call, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(GOOD) as server:
        await call(session, server.origin, tmp_path)

        assert session.sent_bytes == len(server.requests[0].body) > 0


async def test_bodies_that_came_down_are_counted_as_they_travel(session: Session) -> None:
    body = json.dumps({"a": "x" * 10_000}).encode()

    async with HttpServer(gzip_answer(body)) as server:
        await session.get(server.origin)

    assert session.received_bytes == len(gzip.compress(body, mtime=0))


async def test_bodies_of_failed_attempts_are_counted(session: Session, tmp_path: Path) -> None:
    async with HttpServer(Cut(answer("x" * 100, length=200)), answer("y" * 300)) as server:
        await fetch(session, server.origin, tmp_path / "file")

    assert session.received_bytes == 400


async def test_a_download_tells_the_size_of_the_file(session: Session, tmp_path: Path) -> None:
    async with HttpServer(gzip_answer(b"x" * 1_500_000)) as server:
        size = await fetch(session, server.origin, tmp_path / "file")

    assert size == 1_500_000
    assert (tmp_path / "file").read_bytes() == b"x" * 1_500_000


# --- what is asked --------------------------------------------------------------------------------


async def test_a_form_arrives_as_it_was_given(session: Session, tmp_path: Path) -> None:
    edits = tmp_path / "edits"
    edits.write_text("[\r\n--x😀]" * 20_000)

    async with HttpServer(GOOD) as server:
        await session.post_file(server.origin, {"where": "a='ä😀'", "b": ""}, "edits", edits)

        request = server.requests[0]
        assert request.field("where") == "a='ä😀'"
        assert request.field("b") == ""
        assert request.field("f") == "json"
        assert request.field("edits").encode() == edits.read_bytes()
        assert "transfer-encoding" not in request.headers


async def test_a_file_that_shrinks_while_it_is_sent_is_no_trouble_of_the_link(
    session: Session, tmp_path: Path
) -> None:
    edits = tmp_path / "edits"
    edits.write_bytes(b"x" * 5_000_000)

    async def cut_file(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        edits.write_bytes(b"")
        await reader.read()
        writer.close()

    async with TcpServer(cut_file) as server:
        with pytest.raises(EngineError, match="became shorter"):
            await session.post_file(server.origin, {}, "edits", edits)


async def test_the_query_of_a_given_url_is_kept(session: Session) -> None:
    async with HttpServer(GOOD) as server:
        await session.get(f"{server.origin}/jobs/1?token=t&f=json", {"x": "ä&"})

        assert server.requests[0].target == "/jobs/1?token=t&f=json&x=%C3%A4%26"


async def test_gzip_is_what_we_ask_for(session: Session) -> None:
    async with HttpServer(GOOD) as server:
        await session.get(server.origin)

        assert server.requests[0].headers["accept-encoding"] == "gzip"


# --- redirects ------------------------------------------------------------------------------------


def redirect(target: str, status: int = 302) -> bytes:
    return answer("", status=status, headers={"Location": target})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_result_file_may_lie_on_another_host(
    status: int, session: Session, tmp_path: Path
) -> None:
    signed = "/blob/a%20b?sig=x%2Fy%2Bz%3D&se=2024%3A01"
    async with (
        HttpServer(answer("data")) as storage,
        HttpServer(redirect(storage.origin + signed, status)) as server,
    ):
        await fetch(session, f"{server.origin}/f.json?token={SECRET}", tmp_path / "file")

        assert (tmp_path / "file").read_text() == "data"
        (asked,) = storage.requests
        assert asked.target == signed  # byte for byte, or the signature is wrong
        assert SECRET not in str(asked.headers)
        assert "referer" not in asked.headers


async def test_a_redirect_may_be_relative(session: Session) -> None:
    async with HttpServer(redirect("../b"), GOOD) as server:
        await session.get(f"{server.origin}/x/a/")

        assert [r.target for r in server.requests] == ["/x/a/?f=json", "/x/b"]


async def test_redirects_without_end_are_given_up(session: Session) -> None:
    async with HttpServer(redirect(f"/again?token={SECRET}")) as server:
        with pytest.raises(ProtocolError, match="redirects more than 5 times") as caught:
            await session.get(server.origin)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("call", [*ONCE, post_again])
async def test_a_redirected_post_is_not_sent_again(
    call: Call, session: Session, tmp_path: Path
) -> None:
    async with HttpServer(redirect(f"https://there.org/x?token={SECRET}"), GOOD) as server:
        with pytest.raises(ProtocolError, match=r"a POST to https://there\.org/x") as caught:
            await call(session, server.origin, tmp_path)

        assert len(server.requests) == 1
    assert SECRET not in str(caught.value)
