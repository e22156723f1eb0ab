"""What goes wrong between us and a server is one error of the right kind, without secrets."""

import asyncio
import gzip
import json
import zlib
from pathlib import Path
from typing import IO, Any

import pytest

from engine.errors import (
    AuthenticationError,
    EngineError,
    LinkError,
    NotAFeatureServiceError,
    PermissionDeniedError,
    ProtocolError,
    ServiceBusyError,
    ServiceRefusedError,
    StorageFullError,
)
from engine.service import session as session_module
from engine.service.answer import place
from engine.service.download import download as fetch
from engine.service.session import Session
from tests.engine.service.conftest import SECRET
from tests.fakes.http_server import (
    Cut,
    HttpServer,
    Reply,
    TcpServer,
    answer,
    gzip_answer,
    json_answer,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BROKEN: dict[str, tuple[Reply, type[EngineError], str]] = {
    "page": (answer("<!DOCTYPE html><h1>Hotel Wi-Fi</h1>"), ProtocolError, "a web page"),
    "number": (answer("42"), ProtocolError, "a bare number"),
    "real": (answer("4.2"), ProtocolError, "a bare number"),
    "text": (answer('"ok"'), ProtocolError, "a bare text"),
    "true": (answer("true"), ProtocolError, "a bare true or false"),
    "null": (answer("null"), ProtocolError, "a bare null"),
    "empty": (answer(""), ProtocolError, "with nothing"),
    "no content": (answer("", status=204), ProtocolError, "with nothing"),
    "garbage": (answer("}{"), ProtocolError, "not JSON"),
    "latin-1": (answer(b'{"name":"\xe9"}'), ProtocolError, "not JSON"),
    "deep": (answer("[" * 100_000), ProtocolError, "nested too deep"),
    "digits": (answer("1" * 5000), ProtocolError, "not JSON"),
    "cut json": (answer('{"name":"a'), ProtocolError, "not JSON"),
    "closed before the headers": (Cut(b""), LinkError, "closed the connection"),
    "reset before the headers": (Cut(b"", reset=True), LinkError, "broke|closed"),
    "closed in the headers": (Cut(b"HTTP/1.1 200 OK\r\nConte"), LinkError, "closed"),
    "closed in the body": (Cut(answer("{}", length=9)), LinkError, "cut off"),
    "closed in a chunk": (Cut(CHUNKED + b"9\r\n{"), LinkError, "cut off"),
    "closed between chunks": (Cut(CHUNKED + b"2\r\n{}\r\n"), LinkError, "cut off"),
    "no chunk": (Cut(CHUNKED + b"zz\r\n{}\r\n"), EngineError, "cut off|not HTTP"),
    "cut gzip": (
        answer(gzip.compress(b'{"a":1}')[:-3], headers={"Content-Encoding": "gzip"}),
        LinkError,
        "cut off",
    ),
    "broken gzip": (
        answer(b"no gzip at all", headers={"Content-Encoding": "gzip"}),
        ProtocolError,
        "broken gzip",
    ),
    "unknown coding": (
        answer(b"{}", headers={"Content-Encoding": "br"}),
        ProtocolError,
        "unknown coding 'br'",
    ),
    "other protocol": (Cut(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), ProtocolError, "not HTTP"),
    "bad request": (answer("no", status=400), ServiceRefusedError, "HTTP 400"),
    "not found": (answer("<html>", status=404), EngineError, "HTTP 404"),
    "too large": (answer("no", status=413), ServiceRefusedError, "HTTP 413"),
    "unauthorized": (answer("no", status=401), AuthenticationError, "credentials"),
    "proxy": (answer("no", status=407), AuthenticationError, "credentials"),
    "forbidden": (answer("no", status=403), PermissionDeniedError, "HTTP 403"),
    **{
        str(status): (answer("busy", status=status), ServiceBusyError, f"HTTP {status}")
        for status in (408, 429, 500, 502, 503, 504)
    },
    "redirect to nowhere": (answer("", status=302), ProtocolError, "redirects to nowhere"),
    "redirect to a file": (
        answer("", status=302, headers={"Location": "file:///etc/passwd"}),
        ProtocolError,
        "redirects to nowhere",
    ),
}

WHOLE = (
    *("page", "number", "real", "text", "true", "null", "empty", "no content"),
    *("garbage", "latin-1", "deep", "digits", "cut json"),
)
"""Those that came whole, so that a file of them can only be refused by who reads it."""

ENVELOPES: dict[str, tuple[object, type[EngineError], int | None, str]] = {
    "documented": (
        {"error": {"code": 400, "message": "Bad.", "details": ["Field x."]}},
        ServiceRefusedError,
        400,
        r"\(error 400\): Bad\. Field x\.",
    ),
    "only details": (
        {"error": {"code": 400, "message": "", "details": "Field x."}},
        ServiceRefusedError,
        400,
        "Field x",
    ),
    "no code": ({"error": {"message": "Bad."}}, ServiceRefusedError, None, "Bad"),
    "empty": ({"error": {}}, ServiceRefusedError, None, "no reason given"),
    "text": ({"error": "Bad."}, ServiceRefusedError, None, "Bad"),
    "no success": ({"success": False, "error": {}}, ServiceRefusedError, None, "no reason"),
    "only no success": ({"success": False}, ServiceRefusedError, None, "did not succeed"),
    "failure": (
        {"status": "failure", "code": 500, "message": "Down."},
        ServiceRefusedError,
        500,
        "Down",
    ),
    "status message": (
        {"status": "failed", "statusMessage": "Down."},
        ServiceRefusedError,
        None,
        "Down",
    ),
    "json in text": (
        {
            "status": "failed",
            "statusMessage": json.dumps({"error": {"code": 499, "message": "Token."}}),
        },
        AuthenticationError,
        499,
        "Token",
    ),
    "expired token": ({"error": {"code": 498, "message": "x"}}, AuthenticationError, 498, "x"),
    "not allowed": ({"error": {"code": 403, "message": "x"}}, PermissionDeniedError, 403, "x"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_one_error_of_its_kind(name: str, session: Session) -> None:
    reply, kind, text = BROKEN[name]

    async with HttpServer(reply) as server:
        with pytest.raises(kind, match=text) as caught:
            await session.post(f"{server.origin}/rest", {})

    assert f"{server.origin}/rest" in str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
async def test_an_error_never_quotes_the_query(name: str, session: Session) -> None:
    async with HttpServer(BROKEN[name][0]) as server:
        with pytest.raises(EngineError) as caught:
            await session.post(f"{server.origin}/rest?token={SECRET}", {"password": SECRET})

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in WHOLE])
async def test_a_failed_download_leaves_no_file(
    name: str, session: Session, tmp_path: Path
) -> None:
    reply, kind, _ = BROKEN[name]

    async with HttpServer(reply) as server:
        with pytest.raises(kind):
            await fetch(session, f"{server.origin}/rest", tmp_path / "file")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ENVELOPES)
async def test_an_error_object_is_raised_in_every_shape(name: str, session: Session) -> None:
    value, kind, code, text = ENVELOPES[name]

    async with HttpServer(json_answer(value)) as server:
        with pytest.raises(kind, match=text) as caught:
            await session.get(server.origin)

    assert isinstance(caught.value, ServiceRefusedError)
    assert caught.value.service_code == code


@pytest.mark.parametrize("status", [404, 405, 410, 501])
async def test_an_operation_that_is_not_there_refused_nothing(
    status: int, session: Session
) -> None:
    async with HttpServer(answer("<html>", status=status)) as server:
        with pytest.raises(ProtocolError, match=f"applyEdits is not there .HTTP {status}"):
            await session.post(f"{server.origin}/applyEdits", {})
        with pytest.raises(ServiceRefusedError, match=f"HTTP {status}"):
            await session.get(f"{server.origin}/replicafiles/1.json")


@pytest.mark.parametrize("code", [429, 502, 503, 504])
async def test_a_throttled_request_was_not_refused(code: int, session: Session) -> None:
    throttled = json_answer({"error": {"code": code, "message": "Too many requests."}})

    async with HttpServer(throttled) as server:
        with pytest.raises(ServiceBusyError, match="Too many requests"):
            await session.post(server.origin, {})


async def test_nobody_listens(session: Session) -> None:
    async with HttpServer(b"") as server:
        origin = server.origin

    with pytest.raises(LinkError, match=f"cannot connect to {origin}/: Connect"):
        await session.get(f"{origin}/?token={SECRET}")


async def test_a_plain_server_is_asked_for_tls(session: Session) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("plain HTTP only", status=400))
        writer.close()

    async with TcpServer(refuse) as server:
        with pytest.raises(LinkError, match=f"https://127.0.0.1:{server.port}/: .*SSL"):
            await session.get(f"https://127.0.0.1:{server.port}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gis.example.com/rest",
        "ftp://gis.example.com",
        "http://",
        "http:///rest",
        "http://[::1",
        "http://gis.example.com:99999/",
        f"http://{'a' * 70}.example.com/",
    ],
)
async def test_what_is_no_url_is_named_without_its_query(url: str, session: Session) -> None:
    with pytest.raises(NotAFeatureServiceError, match=r"not an? (http or https )?URL") as caught:
        await session.get(f"{url}?token={SECRET}")

    assert SECRET not in str(caught.value)


def test_a_place_has_neither_user_nor_query() -> None:
    assert place(f"https://me:{SECRET}@h.org:8443/rest?t={SECRET}#{SECRET}") == (
        "https://h.org:8443/rest"
    )
    assert place(f"https://[2001:db8::1]/rest?t={SECRET}") == "https://[2001:db8::1]/rest"
    assert place(f"https://me:{SECRET}@[oops/rest?t={SECRET}") == "[oops/rest"


async def test_an_answer_larger_than_the_limit_is_given_up(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "MAX_ANSWER_BYTES", 1000)
    bomb = gzip_answer(json.dumps(" " * 10_000_000).encode())

    async with HttpServer(bomb) as server:
        with pytest.raises(ProtocolError, match="more than 1000 bytes"):
            await session.get(server.origin)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b'{"a":', mtime=0) + gzip.compress(b"1}", mtime=0)),
        ("x-gzip", gzip.compress(b'{"a":1}', mtime=0)),
        ("deflate", zlib.compress(b'{"a":1}')),
        ("identity", b'{"a":1}'),
    ],
)
async def test_a_compressed_answer_is_read(coding: str, body: bytes, session: Session) -> None:
    async with HttpServer(answer(body, headers={"Content-Encoding": coding})) as server:
        assert await session.get(server.origin) == {"a": 1}

    assert session.received_bytes == len(body)


async def test_a_byte_order_mark_is_passed(session: Session) -> None:
    async with HttpServer(answer(b'\xef\xbb\xbf{"a":1}')) as server:
        assert await session.get(server.origin) == {"a": 1}


async def test_a_full_disk_is_told_from_a_broken_link(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = tmp_path / "full"

    def opened(path: Path, mode: str) -> IO[Any]:
        return open("/dev/full", mode)

    monkeypatch.setattr("engine.service.download.open", opened, raising=False)

    async with HttpServer(answer(b"x" * 2_000_000)) as server:
        with pytest.raises(StorageFullError):
            await fetch(session, server.origin, full)

    assert not full.exists()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("status", [401, 413])
async def test_answer_that_comes_before_a_large_body_was_read_is_known(
    session: Session, tmp_path: Path, status: int, reset: bool
) -> None:
    edits = tmp_path / "edits"
    edits.write_bytes(bytes(3_000_000))
    early = Cut(answer("no", status=status), reset=reset, reads_body=False)

    async with HttpServer(early) as server:
        with pytest.raises(ServiceRefusedError) as caught:
            await session.post_file(server.origin, {}, "edits", edits)

    assert caught.value.service_code == status
