"""A policy, and a clock that moves when it is told to."""

import random
from collections.abc import Iterator

import pytest

from device.policy.budgets import Budgets
from device.policy.policy import Policy
from device.policy.rules import Rules
from tests.device.policy.test_budgets import Shelf
from tests.fakes.clock import VirtualClock


@pytest.fixture
def clock() -> Iterator[VirtualClock]:
    """Time passes only when a test says so."""
    virtual = VirtualClock()
    yield virtual
    virtual.close()


@pytest.fixture
def policy(clock: VirtualClock) -> Policy:
    """Without a link, and before it was told of any map."""
    rules = Rules()
    budgets = Budgets(rules, Shelf(), clock=clock)
    return Policy(rules, budgets, clock=clock, rng=random.Random(7))
