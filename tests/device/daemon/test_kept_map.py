"""What is known of a map: counts, damage, and what keeps it from being read."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from device.config import MapConfig
from device.kept_map import KeptMap
from tests.device.conftest import Taken


def kept_in(folder: Path) -> KeptMap:
    return KeptMap(MapConfig(name="park", folder=folder))


async def test_a_look_counts_edits_photos_included_and_says_if_some_are_new(taken: Taken) -> None:
    kept = kept_in(taken.folder)
    await kept.look()
    with closing(sqlite3.connect(taken.geopackage)) as other, other:
        other.execute("UPDATE Trees SET note = 'x' WHERE fid IN (1, 2)")
        other.execute("DELETE FROM Trees__ATTACH WHERE rowid = 1")

    new, new_again = await kept.look(), await kept.look()

    status = kept.status()
    assert new == kept.counts.services.keys()
    assert not new_again
    assert [counts.unsent for counts in kept.counts.services.values()] == [3]
    assert (status.edits, status.conflicts, status.quarantined) == (3, 0, 0)
    assert status.last_sync_at is None  # it was taken, and not synced since
    assert status.title != ""
    assert status.error is None


async def test_a_folder_without_a_map_is_a_state_with_a_remedy(tmp_path: Path) -> None:
    kept = kept_in(tmp_path / "nothing")
    await kept.look()

    status = kept.status()
    assert not kept.is_usable
    assert status.edits is None
    assert status.error is not None
    assert status.error.code == "map-not-found"
    assert status.error.remedy


async def test_nothing_is_left_open_or_behind_after_a_look(taken: Taken) -> None:
    kept = kept_in(taken.folder)
    await kept.look()

    opened = {
        os.readlink(entry)
        for entry in map(str, Path("/proc/self/fd").iterdir())
        if os.path.islink(entry)
    }
    assert not [name for name in opened if str(taken.folder) in name]
    assert not list(taken.folder.glob("*-wal"))


def damage(path: Path) -> bytes:
    """Overwrite a page of rows, and give what was there before."""
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'Trees'"
        ).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    before = path.read_bytes()
    path.write_bytes(before[: (page - 1) * size] + b"\x55" * size + before[page * size :])
    return before


async def test_damage_that_a_check_finds_keeps_the_map_from_being_synced(taken: Taken) -> None:
    kept = kept_in(taken.folder)
    damage(taken.geopackage)

    is_sound = await kept.check(60)

    assert not is_sound
    assert not kept.is_usable
    assert kept.counts.error is not None
    assert kept.counts.error.code == "geodatabase-damaged"
    assert "repair" in kept.counts.error.remedy


async def test_a_map_that_was_repaired_is_used_again(taken: Taken) -> None:
    kept = kept_in(taken.folder)
    sound = damage(taken.geopackage)
    await kept.check(60)
    taken.geopackage.rename(taken.folder / "old")
    taken.geopackage.write_bytes(sound)

    await kept.look()

    assert kept.is_usable
    assert kept.counts.error is None


async def test_a_map_that_was_repaired_in_its_place_is_used_again(taken: Taken) -> None:
    kept = kept_in(taken.folder)
    sound = damage(taken.geopackage)
    await kept.check(60)
    taken.geopackage.write_bytes(sound)  # the number of the file stays what it was
    os.utime(taken.geopackage, (1, 1))

    await kept.look()

    assert kept.is_usable
    assert kept.counts.error is None


async def test_a_damaged_map_that_is_written_to_stays_damaged(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.geodatabase.broken_file.SMALL_FILE_BYTES", 0)
    kept = kept_in(taken.folder)
    damage(taken.geopackage)
    await kept.check(60)
    os.utime(taken.geopackage, (1, 1))

    await kept.look()

    assert not kept.is_usable
    assert list(kept.damage) == [taken.geopackage.name]


async def test_a_sound_map_passes_its_check(taken: Taken) -> None:
    kept = kept_in(taken.folder)

    assert await kept.check(60)
    assert kept.is_usable


async def test_a_check_that_is_not_done_in_time_counts_as_passed(taken: Taken) -> None:
    assert await kept_in(taken.folder).check(0)
