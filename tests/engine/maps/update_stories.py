"""Updates by packages that may be stopped anywhere and run again."""

import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from unittest.mock import patch

from engine.maps.offline_map import OfflineMap
from engine.sync import package_merge
from tests.engine.maps.area import AND_NEW, Area, area
from tests.engine.sync.fleet import HYDRANTS, VISITS, assert_same, gid
from tests.served_story import ServedStory

NEW, CHILD = gid(5001), gid(5002)
PHOTO = {"globalId": gid(60), "parentGlobalId": gid(3), "contentType": "image/png"}


class Update(ServedStory):
    """New features here, two refreshes there, and a sync that brings both together."""

    days = 0
    only = frozenset(
        {
            "update.fetched",
            "package.fetched",
            "package.staged",
            "package.moved",
            "package.merged",
            "update.applied",
            "package.applied",
            "photo.stored",
            "edits.acknowledged",
        }
    )

    def area(self, folder: Path) -> AbstractAsyncContextManager[Area]:
        return area(folder, port=self.port)

    async def _make(self, folder: Path) -> None:
        async with self.area(folder) as north:
            await north.take(AND_NEW)
            async with OfflineMap.open(north.map) as map_:
                (geodatabase,) = map_.geodatabases
                hydrants = geodatabase.table(HYDRANTS)
                await hydrants.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 6})
                await hydrants.add_attachment(NEW, "new.jpg", None, b"new photo" * 100)
                visits = geodatabase.table(VISITS)
                await visits.add_feature({"GlobalID": CHILD, "hydrant": NEW})
            await north.office.edit(HYDRANTS, deletes=[gid(2)])
            await north.office.change(HYDRANTS, gid(1), name="first")
            north.refresh(days=self.days)
            photo = {**PHOTO, "name": "office.png", "data": "AAEC" * 100}
            await north.office.edit(HYDRANTS, attachments={"adds": [photo]})
            await north.office.change(HYDRANTS, gid(1), name="second")
            north.refresh(days=self.days)
            await north.office.change(HYDRANTS, gid(5), name="third")
            north.refresh(days=self.days)

    async def _act(self, folder: Path) -> None:
        async with self.area(folder) as north:
            await north.sync()

    async def _check(self, folder: Path, finished: bool) -> None:
        async with self.area(folder) as north:
            with closing(sqlite3.connect(north.map / "water.gpkg")) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                for table, gid_ in (("Hydrants", NEW), ("Visits", CHILD)):
                    count = f"SELECT count(*) FROM {table} WHERE GlobalID=?"
                    assert connection.execute(count, (gid_,)).fetchone() == (1,), table
            if finished:
                await self._check_finished(north)

    async def _check_finished(self, north: Area) -> None:
        assert_same(await north.office.rows(), await north.rows(), "the map")
        there = north.office.attachments()
        async with OfflineMap.open(north.map) as map_:
            (geodatabase,) = map_.geodatabases
            assert not await geodatabase.has_local_edits()
            table = geodatabase.table(HYDRANTS)
            for global_id, (parent, name, _, data) in there.items():
                (found,) = [a for a in await table.attachments(parent) if a.global_id == global_id]
                here = b"".join([part async for part in table.attachment_data(global_id)])
                assert (found.name, here) == (name, data)
        left = sorted(path.name for path in (north.map / "water.gpkg-spool").glob("*"))
        assert left == [], left
        assert (await north.check()).scheduled_updates_download_size == 0


class UpdateInSlices(Update):
    """The same, when other programs are let in every few rows."""

    only = frozenset({"package-slice.merged"})

    def act(self, folder: Path) -> None:
        with patch.multiple(package_merge, SLICE_S=0.0, PART_ROWS=4):
            super().act(folder)


class Replace(Update):
    """The same, when the update files have been purged and all of the package is needed."""

    days = 6
