"""A line to a server that breaks once, after a given number of bytes of its answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.http_server import TcpServer


class CuttingProxy:
    """``passed_bytes`` and ``connections`` count what has come back from the server, and over how
    many connections, since :meth:`cut_after`."""

    def __init__(self, port: int) -> None:
        self.passed_bytes = 0
        self.connections = 0
        self._port = port
        self._left: int | None = None

    def cut_after(self, size: int | None) -> None:
        """Break the connection that carries byte ``size`` from now on; None: none."""
        self.passed_bytes, self.connections, self._left = 0, 0, size

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.connections += 1
        there, onward = await asyncio.open_connection("127.0.0.1", self._port)
        up = asyncio.ensure_future(_carry(reader, onward))
        try:
            while chunk := await there.read(1 << 16):
                whole = len(chunk)
                if self._left is not None:
                    chunk = chunk[: self._left]
                    self._left -= len(chunk)
                self.passed_bytes += len(chunk)
                writer.write(chunk)
                await writer.drain()
                if len(chunk) < whole:
                    self._left = None
                    break
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            onward.close()
            writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def cutting_proxy(port: int) -> AsyncIterator[tuple[CuttingProxy, str]]:
    """A proxy before the server at ``port``, and its own host and port."""
    proxy = CuttingProxy(port)
    async with TcpServer(proxy.handle) as server:
        yield proxy, f"127.0.0.1:{server.port}"
