"""An HTTP server that answers in exactly the bytes a test gives it, right or wrong.

What a careless proxy, a broken link or a hostile host sends cannot be had from an HTTP library.
"""

import asyncio
import gzip
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client sent; ``body`` is empty where the reply did not wait for it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    def field(self, name: str) -> str:
        """The value of a form field, in either encoding."""
        if "urlencoded" in self.headers["content-type"]:
            (text,) = parse_qs(self.body.decode(), keep_blank_values=True)[name]
            return text
        boundary = self.headers["content-type"].partition("boundary=")[2].encode()
        for part in self.body.split(b"--" + boundary):
            head, _, value = part.partition(b"\r\n\r\n")
            if f'name="{name}"'.encode() in head:
                return value.removesuffix(b"\r\n").decode()
        raise KeyError(name)


Act = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
"""Writes an answer as it likes, until the client goes. The connection is closed after it."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes after which the connection is closed. ``reset``: with a TCP reset.

    ``reads_body`` False: the answer does not wait for the request's body.
    """

    data: bytes
    reset: bool = False
    reads_body: bool = True


Reply = bytes | Cut | Act


def answer(
    body: bytes | str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """A whole answer. ``length`` is what it says its length is, if that is not the truth."""
    data = body.encode() if isinstance(body, str) else body
    told = {"Content-Length": str(len(data) if length is None else length), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + data


def json_answer(value: object, **more: int) -> bytes:
    """A whole answer of JSON."""
    return answer(json.dumps(value), **more)  # type: ignore[arg-type]  # status and length


def gzip_answer(body: bytes) -> bytes:
    """A whole answer whose body is compressed."""
    return answer(gzip.compress(body, mtime=0), headers={"Content-Encoding": "gzip"})


class TcpServer:
    """Serves each connection with ``handle``, and lets go of all of them at its end.

    An async context manager; ``port`` is known while it is open.
    """

    def __init__(
        self, handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        self.port = 0
        self.connections = 0
        self.tls: ssl.SSLContext | None = None
        self._handle = handle
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._closed: asyncio.Queue[None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def origin(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.port}"

    async def until_closed(self) -> None:
        """Wait until one more connection is closed."""
        await self._closed.get()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connections += 1
        try:
            await self._handle(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went, or the server stops
        finally:
            self._closed.put_nowait(None)
            self._connections.discard(task)
            writer.close()


CERTIFICATES = Path(__file__).with_name("tls")
"""For ``localhost`` and 127.0.0.1, signed by themselves, with a key that is no secret:
``lasting.pem`` is valid until 2126, ``expired.pem`` was until 2011."""


def tls_context(certificate: str) -> ssl.SSLContext:
    """What a server needs to show one of the :data:`CERTIFICATES`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / certificate, CERTIFICATES / "key.pem")
    return context


class HttpServer(TcpServer):
    """Gives its replies one after the other, the last one for ever.

    ``requests`` are those that were read; ``is_reading`` is set by the first. ``certificate``: it
    speaks TLS and shows that one.
    """

    def __init__(self, *replies: Reply, certificate: str = "") -> None:
        super().__init__(self._converse)
        self.tls = tls_context(certificate) if certificate else None
        self.requests: list[Request] = []
        self.is_reading = asyncio.Event()
        self._replies = list(replies)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._exchange(reader, writer):
            pass
        await reader.read()  # until the client lets go

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {
            name.casefold(): value
            for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        self.is_reading.set()
        waits = not isinstance(reply, Cut) or reply.reads_body
        body = await reader.readexactly(int(headers.get("content-length", 0)) if waits else 0)
        request = Request(method=method, target=target, headers=headers, body=body)
        self.requests.append(request)
        if isinstance(reply, bytes):
            writer.write(reply)
            await writer.drain()
            return True
        if isinstance(reply, Cut):
            writer.write(reply.data)
            await writer.drain()
            if reply.reset:
                writer.transport.abort()
        else:
            await self._act(reply(request, writer), reader)
        writer.close()
        return False

    async def _act(self, act: Awaitable[None], reader: asyncio.StreamReader) -> None:
        acting, gone = asyncio.ensure_future(act), asyncio.ensure_future(reader.read())
        try:
            await asyncio.wait((acting, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            acting.cancel()
            outcomes = await asyncio.gather(acting, gone, return_exceptions=True)
        if isinstance(outcomes[0], Exception) and not isinstance(outcomes[0], ConnectionError):
            raise outcomes[0]
