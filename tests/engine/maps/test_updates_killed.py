"""A device that dies anywhere in an update by packages ends in the same state."""

from pathlib import Path

import pytest

from tests.engine.maps.update_stories import Replace, Update, UpdateInSlices
from tests.killing import kill_at_points


@pytest.mark.slow
def test_update_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(Update, tmp_path)

    assert points.count("update.applied") == 3
    assert points.count("package.moved") == 3
    assert "photo.stored" in points


@pytest.mark.slow
def test_update_dies_between_two_slices(tmp_path: Path) -> None:
    points = kill_at_points(UpdateInSlices, tmp_path)

    assert len(points) >= 2


@pytest.mark.slow
def test_replacement_dies_anywhere(tmp_path: Path) -> None:
    points = kill_at_points(Replace, tmp_path)

    assert points.count("package.moved") == 1
    assert {"package.fetched", "package.staged", "package.applied", "photo.stored"} <= set(points)
