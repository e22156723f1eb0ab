"""The killer must find what a kill can break, or its silence means nothing."""

from pathlib import Path

import pytest

from engine import atomic, faults
from tests.killing import kill_at_lines, kill_at_points


class Careless:
    """Two files that belong together, written one after the other."""

    def prepare(self, folder: Path) -> None:
        pass

    def act(self, folder: Path) -> None:
        (folder / "one").touch()
        faults.point("one.written")
        (folder / "two").touch()

    def check(self, folder: Path, *, finished: bool) -> None:
        assert (folder / "one").exists() == (folder / "two").exists()


class NotRepeatable:
    """Whole at any time, but the second run fails on what the first one left."""

    def prepare(self, folder: Path) -> None:
        pass

    def act(self, folder: Path) -> None:
        with atomic.new_folder(folder / "map") as partial:
            (partial / "file").touch()

    def check(self, folder: Path, *, finished: bool) -> None:
        assert not finished or (folder / "map").exists()


class Failing:
    def prepare(self, folder: Path) -> None:
        pass

    def act(self, folder: Path) -> None:
        raise ZeroDivisionError

    def check(self, folder: Path, *, finished: bool) -> None:
        pass


def test_a_half_written_state_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"killed at one\.written, place 1 of Careless"):
        kill_at_points(Careless, tmp_path)


def test_a_half_written_state_between_two_lines_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"killed at \d+, place 2 of Careless"):
        kill_at_lines(Careless, tmp_path, "tests/test_killing.py")


def test_work_that_cannot_be_repeated_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="MapExistsError"):
        kill_at_points(NotRepeatable, tmp_path)


def test_work_that_fails_by_itself_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        kill_at_points(Failing, tmp_path)
