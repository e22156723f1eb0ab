"""Edits of other programs are noticed as they are made, and nothing else is."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from device.config import MapConfig
from device.edit_watch import RETRY_S, EditWatch
from device.kept_map import KeptMap
from device.notify import Pulse
from tests.device.conftest import Taken
from tests.fakes.clock import VirtualClock


def kept_in(folder: Path) -> KeptMap:
    return KeptMap(MapConfig(name="park", folder=folder))


class Watched:
    """An edit watch that looks for real, and counts its looks."""

    def __init__(self, kept: KeptMap, clock: VirtualClock) -> None:
        self.kept = kept
        self.looks = 0
        self.pulse = Pulse("edits", clock)
        self._watch = EditWatch([kept], self._look, clock)
        self._task = asyncio.create_task(self._watch.run(self.pulse))

    async def _look(self, kept: KeptMap) -> None:
        self.looks += 1
        await kept.look()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def write_note(path: Path, note: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE Trees SET note = ? WHERE fid = 1", (note,))


async def test_an_edit_of_another_program_is_noticed_and_counted(
    taken: Taken, clock: VirtualClock
) -> None:
    watched = Watched(kept_in(taken.folder), clock)
    await clock.sleep(1)
    write_note(taken.geopackage, "cut")
    await clock.sleep(30)
    await watched.stop()

    assert watched.kept.counts.edits == 1
    assert watched.kept.counts.unsent == 1


async def test_looking_opening_and_closing_by_ourselves_is_no_edit(
    taken: Taken, clock: VirtualClock
) -> None:
    watched = Watched(kept_in(taken.folder), clock)
    await clock.sleep(1)
    write_note(taken.geopackage, "cut")
    await clock.sleep(3600)
    await watched.stop()

    assert 1 <= watched.looks <= 2


async def test_an_idle_map_is_never_looked_at(taken: Taken, clock: VirtualClock) -> None:
    watched = Watched(kept_in(taken.folder), clock)
    await clock.sleep(86_400)
    await watched.stop()

    assert watched.looks == 0


async def test_edits_while_it_looks_are_noticed_too(taken: Taken, clock: VirtualClock) -> None:
    """A program that stays, and writes again and again."""
    watched = Watched(kept_in(taken.folder), clock)
    await clock.sleep(1)
    with closing(sqlite3.connect(taken.geopackage)) as other:
        for number in range(1, 6):
            with other:
                other.execute("UPDATE Trees SET note = 'x' WHERE fid = ?", (number,))
            await clock.sleep(0.7)
        await clock.sleep(60)
        edits = watched.kept.counts.edits
    await watched.stop()

    assert edits == 5
    assert watched.looks <= 5


async def test_a_map_that_comes_later_is_watched_then(tmp_path: Path, clock: VirtualClock) -> None:
    folder = tmp_path / "later"
    watched = Watched(kept_in(folder), clock)
    await clock.sleep(10)
    assert "No such file" in watched.pulse.detail
    folder.mkdir()
    await clock.sleep(2 * RETRY_S)
    looks, detail = watched.looks, watched.pulse.detail
    (folder / "park.gpkg-wal").write_bytes(b"x")
    await clock.sleep(10)
    await watched.stop()

    assert (looks, detail) == (1, "")
    assert watched.looks == 2


async def test_a_map_that_goes_away_is_a_state_and_comes_back(
    taken: Taken, clock: VirtualClock
) -> None:
    watched = Watched(kept_in(taken.folder), clock)
    await clock.sleep(1)
    away = taken.folder.rename(taken.folder.with_name("away"))
    await clock.sleep(10)
    error = watched.kept.counts.error
    assert error is not None
    assert error.code == "map-not-found"
    assert not watched.kept.is_usable
    away.rename(taken.folder)
    await clock.sleep(3 * RETRY_S)
    await watched.stop()

    assert watched.kept.is_usable
    assert watched.kept.counts.error is None
