"""A damaged geodatabase of a map area is made again as the map's update mode has it."""

from pathlib import Path

import pytest

from engine.errors import LinkError
from engine.geodatabase.package_record import get_package
from engine.maps.offline_map import OfflineMap
from engine.maps.repair import RepairOfflineMapJob
from engine.model import PreplannedUpdateMode
from tests.engine.maps.areas import Areas
from tests.engine.maps.syncing import sync_map
from tests.engine.sync.fleet import HYDRANTS, gid

ROWS = {"water": {"Hydrants": 7, "Visits": 2}, "wells": {"Hydrants": 9, "Pipes": 3}}
NEW = gid(5001)


@pytest.mark.parametrize("mode", PreplannedUpdateMode)
async def test_damaged_geodatabase_is_made_again_in_its_mode(
    tmp_path: Path, mode: PreplannedUpdateMode
) -> None:
    areas = Areas(tmp_path / "service", tmp_path / "town")
    areas.write()
    async with areas.server:
        await areas.take(mode)
        path = areas.folder / "water.gpkg"
        async with OfflineMap.open(areas.folder) as map_:
            before = map_.geodatabases[0]
            table, takes_new = before.table(HYDRANTS), before.table(HYDRANTS).permissions.can_create
            registered = [bool(g.sync_id) for g in map_.geodatabases]
            packages = [await g.database.read(get_package) for g in map_.geodatabases]
            if takes_new:
                await table.add_feature({"GlobalID": NEW, "name": "new"}, {"x": 5, "y": 5})
        with path.open("r+b") as stream:  # the root page of its schema stays
            stream.seek(4096)
            stream.write(b"\xff" * 4096)

        job = RepairOfflineMapJob(areas.folder, clock=areas.clock)
        job.start()
        result = await job.result()

        assert [one.path for one in result.geodatabases] == [path]
        rows = {**ROWS, "water": {**ROWS["water"], "Hydrants": 7 + takes_new}}
        assert await areas.rows() == rows
        async with OfflineMap.open(areas.folder) as map_:
            water = map_.geodatabases[0]
            permissions = water.table(HYDRANTS).permissions
            assert water.replica.update_mode is mode
            assert permissions.can_create == takes_new
            assert permissions.can_update == (
                mode is PreplannedUpdateMode.SYNC_WITH_FEATURE_SERVICES
            )
            assert [bool(g.sync_id) for g in map_.geodatabases] == registered
            assert [await g.database.read(get_package) for g in map_.geodatabases] == packages
            if takes_new:
                assert not (await sync_map(map_, areas.clock)).has_errors
                assert await areas.names(NEW) == {"new"}
        assert len(await areas.replicas()) == sum(registered)
        assert [p.name for p in areas.folder.iterdir() if p.name.startswith(".")] == []


async def test_repair_that_goes_on_after_its_rows_were_there_leaves_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    areas = Areas(tmp_path / "service", tmp_path / "town")
    areas.write()
    async with areas.server:
        await areas.take(PreplannedUpdateMode.DOWNLOAD_SCHEDULED_UPDATES)
        with (areas.folder / "water.gpkg").open("r+b") as stream:
            stream.seek(4096)
            stream.write(b"\xff" * 4096)

        def die(path: Path) -> None:
            raise LinkError("it died here")

        with monkeypatch.context() as patched:
            patched.setattr("engine.maps.repair.forget_package", die)
            job = RepairOfflineMapJob(areas.folder, clock=areas.clock)
            job.start()
            with pytest.raises(LinkError):
                await job.result()
        again = RepairOfflineMapJob(areas.folder, clock=areas.clock)
        again.start()
        await again.result()

        assert await areas.rows() == ROWS
        assert [p.name for p in areas.folder.iterdir() if p.name.startswith(".")] == []
