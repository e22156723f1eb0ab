"""The thin line passes HTTP on, counts its bytes and breaks as often as it is told."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession

from tests.fakes.http_server import HttpServer, answer
from tests.fakes.thin_line import ThinLine

REPLY = answer("x" * 300)


@asynccontextmanager
async def line(passed: list[float], **more: float) -> AsyncIterator[tuple[ThinLine, HttpServer]]:
    async with HttpServer(REPLY) as server:
        thin = ThinLine(server.port, passed.append, bits_per_s=8000, draw=random.Random(1))
        thin.failing = more.get("failing", 0.0)
        async with thin:
            yield thin, server


async def test_bytes_are_passed_on_counted_and_timed() -> None:
    passed: list[float] = []
    async with line(passed) as (thin, server), ClientSession() as session:
        for _ in range(2):
            async with session.post(thin.origin, data=b"y" * 50_000) as reply:
                assert await reply.read() == b"x" * 300

    assert [len(request.body) for request in server.requests] == [50_000, 50_000]
    assert thin.traffic.down == 2 * len(REPLY)
    assert 100_000 < thin.traffic.up < 101_000
    assert sum(passed) == pytest.approx((thin.traffic.up + thin.traffic.down) / 1000)


async def test_requests_are_cut_or_lose_their_answers() -> None:
    async with line([], failing=0.5) as (thin, server), ClientSession() as session:
        failed = 0
        for _ in range(60):
            try:
                async with session.post(thin.origin, data=b"y" * 1000) as reply:
                    await reply.read()
            except ClientError:
                failed += 1

    assert failed == thin.traffic.failed
    assert 20 <= failed <= 40
    arrived = len(server.requests)
    assert 60 - failed < arrived < 60  # some were cut, of some the answer was lost
    assert thin.traffic.up < 60 * 1300
