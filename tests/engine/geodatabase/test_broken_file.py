"""A damaged file is noticed, and set aside with its log."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.errors import GeodatabaseDamagedError
from engine.geodatabase import broken_file
from engine.geodatabase.broken_file import (
    broken_files,
    check_file,
    finish_setting_aside,
    set_aside,
)
from tests.killing import kill_at_lines

NOW = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
NAMES = ("a.gpkg", "a.gpkg-wal", "a.gpkg-shm")


def written(folder: Path) -> Path:
    for name in NAMES:
        (folder / name).write_text(name)
    return folder / "a.gpkg"


def test_file_when_set_aside_then_its_log_goes_with_it(tmp_path: Path) -> None:
    target = set_aside(written(tmp_path), NOW)

    assert target.name == "a.gpkg.broken-20240501T123000Z"
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        name.replace("a.gpkg", target.name): name for name in NAMES
    }


def test_second_file_of_the_same_second_gets_a_name_of_its_own(tmp_path: Path) -> None:
    first = set_aside(written(tmp_path), NOW)
    second = set_aside(written(tmp_path), NOW)

    assert broken_files(tmp_path / "a.gpkg") == [first, second]


class SetAside:
    """Killed anywhere, the log ends with its file."""

    def prepare(self, folder: Path) -> None:
        written(folder)

    def act(self, folder: Path) -> None:
        path = folder / "a.gpkg"
        finish_setting_aside(path)
        if path.exists():
            set_aside(path, NOW)

    def check(self, folder: Path, *, finished: bool) -> None:
        names = sorted(p.name for p in folder.iterdir())
        assert len(names) == 3
        if finished:
            assert all(".broken-" in name for name in names), names


def test_setting_aside_when_killed_anywhere_then_the_next_run_ends_it(tmp_path: Path) -> None:
    assert kill_at_lines(SetAside, tmp_path, "engine/geodatabase/broken_file.py")


@pytest.mark.parametrize("is_small", [True, False])
def test_damage_to_rows_is_noticed_at_once_in_a_small_file(
    tmp_path: Path, is_small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken_file, "SMALL_FILE_BYTES", 1 << 30 if is_small else 0)
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        for name in (*broken_file._ENGINE_TABLES, "other"):
            connection.execute(f"CREATE TABLE {name}(a)")
            connection.execute(f"INSERT INTO {name} VALUES (1)")
        connection.commit()
        check_file(connection)
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    damaged = bytearray(path.read_bytes())
    at = (roots["other"] - 1) * 4096
    damaged[at : at + 4096] = b"\xff" * 4096
    path.write_bytes(damaged)
    with closing(sqlite3.connect(path)) as connection:
        if is_small:
            with pytest.raises(GeodatabaseDamagedError):
                check_file(connection)
        else:
            check_file(connection)
        with pytest.raises(GeodatabaseDamagedError):
            check_file(connection, whole=True)
