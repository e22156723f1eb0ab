"""The README names every switch and every fault."""

from pathlib import Path

import pytest

from tests import feature_service
from tests.feature_service.fault import KINDS
from tests.feature_service.profile import switches

_README = Path(feature_service.__file__).with_name("README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*switches(), *KINDS])
def test_readme_when_read_then_names_the_switch(name: str) -> None:
    assert f"`{name}`" in _README
