"""A socket with a fake appliance behind it, and a caller that speaks HTTP to the byte."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device.api.access import Access
from device.api.limits import Limits
from device.api.server import ApiServer
from tests.fakes.appliance import FakeAppliance
from tests.fakes.clock import VirtualClock
from tests.fakes.daemon import bound


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Caller:
    """Asks at a socket."""

    path: Path

    async def __call__(
        self, method: str, target: str, body: object = None, **headers: str
    ) -> Answered:
        """One request with a body of JSON."""
        text = b"" if body is None else json.dumps(body).encode()
        return await self.raw(request(method, target, text, **headers))

    async def raw(self, data: bytes) -> Answered:
        """Whatever bytes; the answer is read until the connection is closed."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            writer.write(data)
            return parsed(await reader.read())
        finally:
            writer.close()

    @asynccontextmanager
    async def stream(self, target: str) -> AsyncIterator["Lines"]:
        """The lines of a stream."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        try:
            writer.write(request("GET", target))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head, head
            yield Lines(reader)
        finally:
            writer.close()


@dataclass(slots=True)
class Lines:
    """The lines that come."""

    reader: asyncio.StreamReader

    async def next(self) -> dict[str, Any]:
        """The next line; each is a chunk of its own (RFC 9112, section 7.1)."""
        size = int(await self.reader.readline(), 16)
        chunk = await self.reader.readexactly(size + 2)
        line: dict[str, Any] = json.loads(chunk)
        return line

    async def some(self, count: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(count)]


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole request."""
    told = {"Host": "fieldsync", **headers}
    if body:
        told |= {"Content-Length": str(len(body))}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + body


def parsed(data: bytes) -> Answered:
    """An answer as HTTP has it; nothing at all is status 0."""
    if not data:
        return Answered(0, {}, b"")
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {n.casefold(): v for n, _, v in (line.partition(": ") for line in lines)}
    return Answered(int(first.split(" ")[1]), headers, body)


@pytest.fixture
def appliance(clock: VirtualClock) -> FakeAppliance:
    return FakeAppliance(clock)


async def until(is_so: Callable[[], object], meanwhile: Callable[[], object] = bool) -> None:
    """Let the server run until that is so; ``meanwhile`` is called again and again."""
    async with asyncio.timeout(20):
        for _ in iter(is_so, True):
            meanwhile()
            await asyncio.sleep(0)


QUICK = Limits(request_s=5.0, stall_s=0.2, linger_s=0.1, stop_s=0.2)


@asynccontextmanager
async def serving(
    appliance: FakeAppliance,
    path: Path,
    clock: VirtualClock,
    *,
    limits: Limits = QUICK,
    access: Access | None = None,
    **options: Any,
) -> AsyncIterator[Caller]:
    """The appliance at a socket, as long as the block lasts."""
    access = access or Access(user=os.geteuid())
    with bound(path) as listening:
        async with ApiServer(
            appliance, listening, clock=clock, limits=limits, access=access, **options
        ):
            yield Caller(path)


@pytest.fixture
async def ask(
    appliance: FakeAppliance, socket_path: Path, clock: VirtualClock
) -> AsyncIterator[Caller]:
    """A caller of a running server."""
    async with serving(appliance, socket_path, clock) as caller:
        yield caller
