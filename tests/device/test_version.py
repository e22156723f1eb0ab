"""There is one version."""

import tomllib

import pytest

from device.version import VERSION
from tests.sources import ROOT


@pytest.mark.checkout
def test_the_version_is_that_of_the_package() -> None:
    with open(ROOT / "pyproject.toml", "rb") as stream:
        assert tomllib.load(stream)["project"]["version"] == VERSION
