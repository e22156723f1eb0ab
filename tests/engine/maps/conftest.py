"""A service, two, or a portal with a map area, for tests that need no particular one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.maps.areas import Areas
from tests.engine.maps.town import Town, running_town
from tests.engine.sync.fleet import Fleet, fleet


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path) as running:
        yield running


@pytest.fixture
async def areas(tmp_path: Path) -> AsyncIterator[Areas]:
    running = Areas(tmp_path / "service", tmp_path / "town")
    running.write()
    async with running.server:
        yield running


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with running_town(tmp_path) as running:
        yield running
