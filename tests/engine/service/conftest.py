"""What the tests of the service client share."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest

from engine.service.session import Session
from tests.fakes.clock import VirtualClock

SECRET = "s3cret"


@pytest.fixture
async def session(clock: VirtualClock) -> AsyncIterator[Session]:
    """A session whose pauses take no time."""
    async with Session(clock=clock, rng=random.Random(1)) as opened:
        yield opened


@pytest.fixture
async def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move the event loop's own clock, by which connections time out."""
    loop = asyncio.get_running_loop()
    real, passed = loop.time, 0.0

    def move(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(loop, "time", lambda: real() + passed)
    return move
