"""The time of the tests of the policy."""

from collections.abc import Iterator

import pytest

from tests.fakes.clock import VirtualClock


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Time passes only when a test says so."""
    virtual = VirtualClock()
    yield virtual
    virtual.close()
