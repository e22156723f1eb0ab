"""A running service and a client of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.feature_service import FeatureServer, ManualClock, Profile, seeded_mint

from .client import Client
from .world import write_world

Serve = Callable[[Profile], Awaitable[Client]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return write_world(tmp_path / "data")


@pytest.fixture
async def serve(data_dir: Path, clock: ManualClock) -> AsyncIterator[Serve]:
    """Start the world with a profile; a client of it."""
    async with AsyncExitStack() as stack:

        async def start(profile: Profile) -> Client:
            server = FeatureServer(data_dir, profile=profile, clock=clock, mint=seeded_mint(7))
            await stack.enter_async_context(server)
            session = await stack.enter_async_context(ClientSession())
            return Client(session, server.url("water"))

        yield start


@pytest.fixture
async def client(serve: Serve) -> Client:
    """A client of the world with the documented profile."""
    return await serve(Profile())
