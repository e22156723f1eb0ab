"""A device in its world, for tests that need no particular one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.device.daemon.world import World, world_in
from tests.fakes.clock import VirtualClock


@pytest.fixture
async def world(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[World]:
    async with world_in(tmp_path, clock) as made:
        yield made
