"""A thin, bad line in front of a server, on a clock that a test reads and nobody waits for.

It passes HTTP on byte by byte and counts what passes, heads included, each way. Each byte takes its
time on the clock. A request fails with a given probability: the line breaks after a random byte of
it, before the server has all of it, or after a random byte of the answer, when the work is done.
What TCP and TLS add is not counted.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fakes.http_server import TcpServer

CHUNK_BYTES = 16 * 1024


@dataclass(slots=True)
class Traffic:
    """What has passed: bytes up and down, requests, and those that failed.

    ``cut`` are the bytes up of requests that the line broke: what is lost by chance.
    """

    up: int = 0
    cut: int = 0
    down: int = 0
    requests: int = 0
    failed: int = 0
    down_by_operation: Counter[str] = field(default_factory=Counter)
    up_by_operation: Counter[str] = field(default_factory=Counter)
    """By the last word of the request's path."""


class ThinLine(TcpServer):
    """Listens on a port of its own and passes on to ``server_port``; an async context manager.

    ``pass_time`` is told the seconds that each piece takes at ``bits_per_s``. ``failing`` is the
    share of requests that fail.
    """

    def __init__(
        self,
        server_port: int,
        pass_time: Callable[[float], None],
        *,
        bits_per_s: float,
        draw: random.Random,
    ) -> None:
        super().__init__(self._converse)
        self.traffic = Traffic()
        self.failing = 0.0
        self._server_port = server_port
        self._pass_time = pass_time
        self._bits_per_s = bits_per_s
        self._draw = draw

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            while await self._exchange(reader, writer, server_reader, server_writer):
                pass
        finally:
            server_writer.close()

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> bool:
        """One request and its answer; False if the line broke."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = len(head) + _length(head)
        self.traffic.requests += 1
        fails = self._draw.random() < self.failing
        is_cut = fails and self._draw.random() < 0.5
        self.traffic.failed += fails
        left = self._draw.randrange(size) if is_cut else size
        operation = head.split(b" ")[1].partition(b"?")[0].rpartition(b"/")[2].decode()
        self.traffic.up_by_operation[operation] += left
        self.traffic.cut += left if is_cut else 0
        piece = head
        while left > 0:
            piece = piece[:left] or await reader.read(min(CHUNK_BYTES, left))
            if not piece:
                return False  # the client went
            left -= len(piece)
            self.traffic.up += len(piece)
            self._pass(piece)
            if not is_cut:
                server_writer.write(piece)
                await server_writer.drain()
            piece = b""
        if is_cut:
            writer.transport.abort()
            return False
        answer = await _whole_answer(server_reader)
        if fails:
            answer = answer[: self._draw.randrange(len(answer))]
        for at in range(0, len(answer), CHUNK_BYTES):
            piece = answer[at : at + CHUNK_BYTES]
            self.traffic.down += len(piece)
            self.traffic.down_by_operation[operation] += len(piece)
            self._pass(piece)
            writer.write(piece)
            await writer.drain()
        if fails:
            writer.transport.abort()
        return not fails

    def _pass(self, piece: bytes) -> None:
        self._pass_time(len(piece) * 8 / self._bits_per_s)


async def _whole_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return head + await reader.readexactly(_length(head))
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        body += line + await reader.readexactly(int(line, 16) + 2)
        if int(line, 16) == 0:
            return head + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
