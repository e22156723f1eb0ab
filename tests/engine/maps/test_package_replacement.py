"""All of a package takes the place of the rows: in one transaction, inside of the same file."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from engine import faults
from engine.maps.offline_map import OfflineMap
from tests.engine.geodatabase import gdal
from tests.engine.maps.area import AND_NEW, PACKAGES_ONLY, Area, area
from tests.engine.sync.fleet import HYDRANTS, PIPES, VISITS, assert_same, gid

STATE = (
    "SELECT 'h', GlobalID, name FROM Hydrants UNION ALL SELECT 'p', GlobalID, label FROM Pipes"
    " UNION ALL SELECT 'v', GlobalID, note FROM Visits UNION ALL SELECT 'a', GlobalID, ATT_NAME"
    " FROM Hydrants__ATTACH ORDER BY 1, 2"
)
BOXES = (
    "SELECT count(*), count(r.id), sum(ST_MinX(h.geom) BETWEEN r.minx AND r.maxx"
    " AND ST_MinY(h.geom) BETWEEN r.miny AND r.maxy) FROM Hydrants h"
    " LEFT JOIN rtree_Hydrants_geom r ON r.id = h.fid"
)


@pytest.fixture
async def north(tmp_path: Path) -> AsyncIterator[Area]:
    async with area(tmp_path) as running:
        await running.take(PACKAGES_ONLY)
        yield running


async def change_much(north: Area) -> None:
    """Change every table, so that the next sync needs the whole package."""
    office = north.office
    await office.edit(HYDRANTS, deletes=[gid(2)])
    await office.edit(
        HYDRANTS,
        adds=[
            {"attributes": {"GlobalID": gid(50), "name": "far"}, "geometry": {"x": 9e3, "y": 9e3}}
        ],
        attachments={
            "adds": [
                {
                    "globalId": gid(60),
                    "parentGlobalId": gid(3),
                    "contentType": "image/png",
                    "name": "new.png",
                    "data": "AAEC",
                }
            ]
        },
    )
    await office.edit(VISITS, deletes=[gid(1001)])
    await office.change(PIPES, gid(2001), label="moved")
    for number in range(3):
        await office.change(HYDRANTS, gid(1), name=f"age {number}")
        north.refresh(days=6)


async def test_replacement_when_a_reader_is_inside_then_it_sees_one_version(north: Area) -> None:
    path = north.map / "water.gpkg"
    inode = path.stat().st_ino
    seen: dict[str, list[object]] = {}

    def look(name: str) -> None:
        if name in ("package.moved", "package.merged"):
            with closing(sqlite3.connect(path)) as other:
                seen[name] = other.execute(STATE).fetchall()

    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute(STATE).fetchall()
        await change_much(north)

        with faults.armed(look):
            await north.sync()

        assert any("whole package" in text for text in north.messages)
        assert reader.execute(STATE).fetchall() == before
        reader.execute("COMMIT")
        after = reader.execute(STATE).fetchall()
    assert seen["package.moved"] == before, "what is not committed is seen by nobody"
    assert seen["package.merged"] == after != before
    assert path.stat().st_ino == inode
    assert_same(await north.office.rows(), await north.rows(), "the map")


async def test_replacement_when_a_map_is_open_then_it_need_not_be_opened_again(north: Area) -> None:
    async with OfflineMap.open(north.map) as open_before:
        await change_much(north)

        await north.sync()

        (geodatabase,) = open_before.geodatabases
        rows = geodatabase.table(HYDRANTS).query_features()
        assert gid(50) in {feature.global_id async for feature in rows}


async def test_replacement_when_done_then_the_file_is_a_good_geopackage(north: Area) -> None:
    gdal.require()
    path = north.map / "water.gpkg"
    with closing(sqlite3.connect(path)) as other:
        schema = other.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 2").fetchall()
        keys = dict(other.execute("SELECT GlobalID, fid FROM Hydrants"))
    await change_much(north)

    await north.sync()

    gdal.validate(path)
    async with OfflineMap.open(north.map) as map_:
        database = map_.geodatabases[0].database
        found = await database.read(lambda connection: connection.execute(BOXES).fetchone())
        assert found == (9, 9, 9)
        assert not any(table.error for table in map_.geodatabases[0].feature_tables)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        now = other.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY 2").fetchall()
        assert set(schema) <= set(now), "triggers, indexes and views of other programs stay"
        fids = dict(other.execute("SELECT GlobalID, fid FROM Hydrants"))
        assert {g: fids[g] for g in keys.keys() & fids.keys()} == {
            g: fid for g, fid in keys.items() if g in fids
        }, "a program that knows rows by their keys goes on with them"
        extent = "SELECT max_x, max_y FROM gpkg_contents WHERE table_name = 'Hydrants'"
        assert other.execute(extent).fetchone() == (9000, 9000)


async def test_replacement_when_the_data_of_attachments_changes_then_it_comes(north: Area) -> None:
    await change_much(north)

    await north.sync()

    async with north.table(HYDRANTS) as table:
        (new,) = await table.attachments(gid(3))
        assert b"".join([p async for p in table.attachment_data(new.global_id)]) == b"\x00\x01\x02"
        (old,) = await table.attachments(gid(1))
        assert b"".join([p async for p in table.attachment_data(old.global_id)])


async def test_replacement_when_a_new_feature_was_refused_then_it_stays_in_quarantine(
    tmp_path: Path,
) -> None:
    async with area(tmp_path) as north:
        await north.take(AND_NEW)
        with closing(sqlite3.connect(north.map / "water.gpkg")) as other:
            other.execute("INSERT INTO Hydrants(GlobalID, pressure) VALUES(?, 99)", (gid(70),))
            other.commit()
        await change_much(north)

        result = await north.sync()

        assert result.has_errors
        assert any("whole package" in text for text in north.messages), north.messages
        async with OfflineMap.open(north.map) as map_:
            (geodatabase,) = map_.geodatabases
            (held,) = await geodatabase.quarantine()
            assert held.global_id == gid(70)
            rows = geodatabase.table(HYDRANTS).query_features()
            assert {gid(50), gid(70)} <= {feature.global_id async for feature in rows}
