"""Hypothesis draws the same examples in every run, and a slow machine is no failure."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("native", derandomize=True, deadline=None, database=None)


@pytest.fixture(autouse=True, scope="package")
def _same_examples_every_time() -> Iterator[None]:
    before = settings.get_current_profile_name()
    settings.load_profile("native")
    yield
    settings.load_profile(before)
