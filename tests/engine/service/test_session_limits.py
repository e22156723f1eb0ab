"""How long a request may take, and what a cancelled one leaves behind."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.errors import LinkError
from engine.service.session import ANSWER_TIMEOUT_S, STALL_TIMEOUT_S, Session
from tests.engine.service.calls import Call, download, get, post, post_file, post_to_file
from tests.fakes.clock import VirtualClock
from tests.fakes.http_server import HttpServer, Reply, Request, TcpServer, answer

# --- time limits ----------------------------------------------------------------------------------


def trickle(
    pass_time: Callable[[float], None], gap_s: float, pieces: int
) -> Callable[[Request, asyncio.StreamWriter], Awaitable[None]]:
    """An answer that comes in pieces, with a gap before each."""
    body = json.dumps({"a": "x" * pieces})

    async def act(request: Request, writer: asyncio.StreamWriter) -> None:
        size = -(-len(body) // pieces)
        writer.write(answer("", length=len(body)))
        for at in range(0, len(body), size):
            pass_time(gap_s)
            writer.write(body[at : at + size].encode())
            for _ in range(20):  # the client reads what there is
                await asyncio.sleep(0)

    return act


async def test_a_slow_answer_may_take_as_long_as_it_wants(
    session: Session, pass_time: Callable[[float], None]
) -> None:
    async with HttpServer(trickle(pass_time, STALL_TIMEOUT_S - 1, 20)) as server:
        assert await session.post(server.origin, {}) == {"a": "x" * 20}


async def test_an_answer_that_stops_is_given_up(
    session: Session, pass_time: Callable[[float], None]
) -> None:
    async with HttpServer(trickle(pass_time, STALL_TIMEOUT_S + 1, 20)) as server:
        with pytest.raises(LinkError, match="stopped answering"):
            await session.post(server.origin, {})


def think(
    pass_time: Callable[[float], None], seconds: float
) -> Callable[[Request, asyncio.StreamWriter], Awaitable[None]]:
    async def act(request: Request, writer: asyncio.StreamWriter) -> None:
        for _ in range(20):  # the client waits for an answer by now
            await asyncio.sleep(0)
        pass_time(seconds)
        for _ in range(20):
            await asyncio.sleep(0)
        writer.write(answer("{}"))

    return act


@pytest.mark.parametrize("call", [post_file, post_to_file])
async def test_a_long_operation_may_think(
    call: Call, session: Session, pass_time: Callable[[float], None], tmp_path: Path
) -> None:
    async with HttpServer(think(pass_time, ANSWER_TIMEOUT_S - 1)) as server:
        await call(session, server.origin, tmp_path)


@pytest.mark.parametrize(
    ("call", "limit_s"),
    [(post, STALL_TIMEOUT_S), (post_file, ANSWER_TIMEOUT_S), (post_to_file, ANSWER_TIMEOUT_S)],
)
async def test_an_operation_that_never_answers_is_given_up(
    call: Call,
    limit_s: float,
    session: Session,
    pass_time: Callable[[float], None],
    tmp_path: Path,
) -> None:
    async with HttpServer(think(pass_time, limit_s + 1)) as server:
        with pytest.raises(LinkError, match="stopped answering"):
            await call(session, server.origin, tmp_path)


async def test_a_slow_upload_is_not_taken_for_a_dead_link(
    session: Session, pass_time: Callable[[float], None], tmp_path: Path
) -> None:
    edits = tmp_path / "edits"
    edits.write_bytes(b"x" * 20_000_000)
    passed = 0.0

    async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal passed
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        left = length
        while left:
            piece = await reader.read(left)
            left -= len(piece)
            gap_s = 2 * STALL_TIMEOUT_S * len(piece) / length
            passed += gap_s
            pass_time(gap_s)
        writer.write(answer("{}"))
        await writer.drain()
        writer.close()

    async with TcpServer(read_slowly) as server:
        await session.post_file(server.origin, {}, "edits", edits)

    assert passed > STALL_TIMEOUT_S


# --- cancelling -----------------------------------------------------------------------------------


async def never(request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def half(request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(answer("x" * 600_000, length=1_000_000))
    await asyncio.Event().wait()


@pytest.mark.parametrize("reply", [never, half])
@pytest.mark.parametrize("call", [get, post, post_file, post_to_file, download])
async def test_a_cancelled_request_leaves_nothing_open(
    call: Call, reply: Reply, clock: VirtualClock, tmp_path: Path
) -> None:
    async with HttpServer(reply) as server:
        async with Session(clock=clock) as session:
            task = asyncio.ensure_future(call(session, server.origin, tmp_path))
            await server.is_reading.wait()
            for _ in range(50):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await server.until_closed()

    assert not (tmp_path / "answer").exists()


async def test_a_cancelled_upload_leaves_nothing_open(clock: VirtualClock, tmp_path: Path) -> None:
    edits = tmp_path / "edits"
    edits.write_bytes(b"x" * 20_000_000)
    gone = asyncio.Event()
    reading = asyncio.Event()

    async def stop_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1000)
        reading.set()
        await gone.wait()
        writer.close()

    async with TcpServer(stop_reading) as server:
        async with Session(clock=clock) as session:
            task = asyncio.ensure_future(session.post_file(server.origin, {}, "edits", edits))
            await reading.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        gone.set()

    assert 0 < session.sent_bytes < 20_000_000


async def test_a_cancel_in_a_pause_ends_it(tmp_path: Path) -> None:
    clock = VirtualClock()
    async with HttpServer(answer("busy", status=503)) as server, Session(clock=clock) as session:
        task = asyncio.ensure_future(session.get(server.origin))
        await clock.advance(0)  # until every task waits
        assert clock.sleeping
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert len(server.requests) == 1
