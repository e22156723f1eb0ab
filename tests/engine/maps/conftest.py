"""A fleet with the documented service, for tests that need no particular one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engine.sync.fleet import Fleet, fleet


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path) as running:
        yield running
