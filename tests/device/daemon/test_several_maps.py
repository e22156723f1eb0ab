"""A device with more than one map: what is wrong with one, or asked of one, is that one's alone."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from device.api.status import Cause, MapResult
from device.model import WaitReason
from engine import JobStatus
from tests.device.daemon.world import World, note_of, take, world_in
from tests.fakes.clock import VirtualClock

SECOND = """
[[map]]
name = "second"
folder = "second"
"""


@pytest.fixture
async def two_maps(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[World]:
    """The map ``park``, and a map ``second`` of the same service."""
    async with world_in(tmp_path, clock, more=SECOND) as made:
        await take(made.service.services["park"], tmp_path / "second")
        yield made


def rot_schema(geopackage: Path) -> None:
    """The name of a trigger is no UTF-8 any more; SQLite complains in the same bytes."""
    with closing(sqlite3.connect(geopackage)) as database, database:
        database.execute("PRAGMA writable_schema = ON")
        database.execute(
            "UPDATE sqlite_schema SET name = CAST(x'818181' AS TEXT), sql = 'CREATE TRIGGER x'"
            " WHERE rowid = (SELECT max(rowid) FROM sqlite_schema WHERE type = 'trigger')"
        )


async def test_a_map_that_fails_in_an_unforeseen_way_keeps_no_other_from_being_synced(
    two_maps: World,
) -> None:
    rot_schema(two_maps.folder / "second/park.gpkg")
    two_maps.edit(1, "beside a rotten map")

    two_maps.link_up()
    two_maps.start()
    await two_maps.until(lambda: two_maps.status.maps[0].edits == 0)

    assert await note_of(two_maps.service, 1) == "beside a rotten map"
    rotten = two_maps.status.maps[1]
    assert rotten.error is not None
    assert rotten.error.code == "geodatabase-damaged"
    assert rotten.edits is None


async def test_a_sync_of_one_map_does_not_put_off_the_edits_of_another(two_maps: World) -> None:
    two_maps.link_up()
    two_maps.start()
    await two_maps.until(lambda: bool(two_maps.jobs) and two_maps.jobs[0].status.is_done)
    two_maps.edit(1, "not that map's")
    await two_maps.until(lambda: two_maps.status.maps[0].edits == 1)

    two_maps.daemon.governor.ask(Cause.SOCKET, ["second"], is_expensive_allowed=False)
    await two_maps.until(lambda: two_maps.jobs[0].maps == ("second",))
    await two_maps.until(lambda: two_maps.jobs[0].status is JobStatus.SUCCEEDED)
    waits_for = two_maps.status.reason
    await two_maps.until(lambda: two_maps.status.maps[0].edits == 0, within_s=60)

    assert waits_for is WaitReason.EDITS_SETTLING
    assert await note_of(two_maps.service, 1) == "not that map's"


async def test_a_sync_of_one_map_does_not_put_off_what_is_to_be_fetched_for_another(
    two_maps: World,
) -> None:
    two_maps.link_up()
    two_maps.start()
    await two_maps.until(lambda: bool(two_maps.jobs) and two_maps.jobs[0].status.is_done)
    await two_maps.clock.sleep(800)

    two_maps.daemon.governor.ask(Cause.SOCKET, ["second"], is_expensive_allowed=False)
    await two_maps.until(lambda: two_maps.jobs[0].maps == ("second",))
    await two_maps.clock.sleep(110)

    assert [job.maps for job in two_maps.jobs[:2]] == [("park",), ("second",)]


async def test_a_sync_says_which_of_its_maps_it_left_out(two_maps: World) -> None:
    rot_schema(two_maps.folder / "second/park.gpkg")
    two_maps.link_up()
    two_maps.start()
    await two_maps.until(lambda: bool(two_maps.jobs) and two_maps.jobs[0].status.is_done)
    both = two_maps.jobs[0]

    two_maps.daemon.governor.ask(Cause.SOCKET, ["second"], is_expensive_allowed=False)
    await two_maps.until(lambda: two_maps.jobs[0].maps == ("second",))
    await two_maps.until(lambda: two_maps.jobs[0].status.is_done)

    assert both.status is JobStatus.SUCCEEDED
    assert [code_of(result) for result in both.results] == ["", "geodatabase-damaged"]
    assert two_maps.jobs[0].status is JobStatus.FAILED
    assert [code_of(result) for result in two_maps.jobs[0].results] == ["geodatabase-damaged"]


def code_of(result: MapResult) -> str:
    return "" if result.error is None else result.error.code


async def test_a_map_that_takes_all_the_time_keeps_no_other_away_for_ever(
    two_maps: World,
) -> None:
    """Another program has begun a transaction in the first map, and forgot to end it."""
    two_maps.more += "[links.wifi]\nrun_minutes = 1"
    with closing(sqlite3.connect(two_maps.folder / "second/park.gpkg")) as other, other:
        other.execute("UPDATE Trees SET note = 'behind another map' WHERE fid = 2")
    with closing(sqlite3.connect(two_maps.geopackage, isolation_level=None)) as forgetful:
        forgetful.execute("BEGIN IMMEDIATE")
        two_maps.link_up()
        two_maps.start()
        await two_maps.until(lambda: two_maps.status.maps[1].edits == 1)
        await two_maps.until(lambda: two_maps.status.maps[1].edits == 0, within_s=1200)

    assert await note_of(two_maps.service, 2) == "behind another map"
