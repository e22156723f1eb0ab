"""Connections that are kept to one interface, and names that are remembered."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import ClientConnectorError, ClientSession

from device.links.bound_loop import BoundLoop, may_bind
from tests.fakes.http_server import HttpServer, json_answer

T = TypeVar("T")


def run(story: Callable[[BoundLoop], Awaitable[T]]) -> T:
    async def told() -> T:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BoundLoop)
        return await story(loop)

    with asyncio.Runner(loop_factory=BoundLoop) as runner:
        return runner.run(told())


@pytest.fixture(autouse=True)
def _kernel() -> None:
    if not may_bind():
        pytest.skip("this kernel lets only root bind a socket to an interface")


@pytest.mark.parametrize(("interface", "is_reached"), [(None, True), ("lo", True), ("no0", False)])
def test_the_http_client_goes_over_the_interface_and_no_other(
    interface: str | None, is_reached: bool
) -> None:
    async def story(loop: BoundLoop) -> bool:
        async with HttpServer(json_answer({"ok": 1})) as server, ClientSession() as session:
            loop.interface = interface
            with suppress(ClientConnectorError):
                async with session.get(server.origin) as answer:
                    await answer.read()
            return bool(server.requests)

    assert run(story) is is_reached


def test_a_socket_of_this_machine_is_bound_to_nothing(tmp_path: Path) -> None:
    async def story(loop: BoundLoop) -> bytes:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"here")
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_unix_server(greet, tmp_path / "s"):
            loop.interface = "no0"
            reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
            said = await reader.read()
            writer.close()
            await writer.wait_closed()
            return said

    assert run(story) == b"here"


def test_a_name_that_cannot_be_looked_up_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]
    answers: list[object] = [found, OSError("no DNS"), OSError("no DNS")]

    def look_up(*_: object, **__: object) -> object:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def story(loop: BoundLoop) -> list[object]:
        first = await loop.getaddrinfo("gis.example.com", 443)
        again = await loop.getaddrinfo("gis.example.com", 443)
        with pytest.raises(OSError, match="no DNS"):
            await loop.getaddrinfo("other.example.com", 443)
        return [first, again]

    assert run(story) == [found, found]
