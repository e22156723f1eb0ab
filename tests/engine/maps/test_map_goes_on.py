"""A take of several services that was killed, or whose link broke, goes on with the next one."""

from pathlib import Path

import pytest

from engine import faults
from engine.errors import EngineError, LinkError
from engine.maps.map_taking import MapTakingJob
from engine.maps.offline_map import OfflineMap
from engine.maps.offline_map_task import OfflineMapTask
from engine.maps.package_info import MAP_NAME
from engine.model import GenerateOfflineMapUpdateMode
from engine.sync.generate import GeodatabaseGenerator
from tests.engine.maps.town import Town
from tests.feature_service import Fault

FILES = {"water.gpkg", "wells.gpkg", "water.gpkg.lock", "wells.gpkg.lock"}


class Killed(Exception):
    """The process dies: nothing that follows in it is run."""


async def take(town: Town, *, updates: bool = True) -> None:
    async with OfflineMapTask(town.urls, clock=town.clock) as task:
        parameters = await task.create_default_generate_offline_map_parameters(None)
        if not updates:
            parameters.update_mode = GenerateOfflineMapUpdateMode.NO_UPDATES
        job = task.create_generate_offline_map_job(parameters, town.folder)
        job.start()
        await job.result()


async def die(
    monkeypatch: pytest.MonkeyPatch, town: Town, point: str, number: int, *, updates: bool = True
) -> None:
    """A take whose process dies the ``number``-th time that it comes to a point."""
    left = number

    def stop(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            raise Killed

    async def nothing(*_: object) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(GeodatabaseGenerator, "_clean_up", nothing)
        patch.setattr(MapTakingJob, "_undo", nothing)
        with faults.armed(stop), pytest.raises(EngineError, match="Killed"):
            await take(town, updates=updates)
    town.server.log.clear()


def left_beside(folder: Path) -> set[str]:
    return {path.name for path in folder.parent.iterdir()} - {folder.name}


async def assert_whole(town: Town) -> None:
    assert {p.name for p in town.folder.iterdir()} - {"package.info", MAP_NAME} <= FILES
    assert left_beside(town.folder) == set()
    async with OfflineMap.open(town.folder) as map_:
        assert len(map_.geodatabases) == len(town.urls)
    assert await town.replicas() == len(town.urls)


@pytest.mark.parametrize("point", ["replica.answered", "rows.loaded", "geodatabase.generated"])
@pytest.mark.parametrize("number", [1, 2])
async def test_next_take_makes_no_replica_twice(
    town: Town, monkeypatch: pytest.MonkeyPatch, point: str, number: int
) -> None:
    await die(monkeypatch, town, point, number)

    await take(town)

    assert town.server.log.count("createReplica") == 2 - number
    await assert_whole(town)


@pytest.mark.parametrize("point", ["folder.written", "folder.renamed"])
async def test_next_take_of_a_map_that_was_nearly_there_succeeds_or_finds_it(
    town: Town, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    await die(monkeypatch, town, point, 1)

    if not town.folder.exists():
        await take(town)

    await assert_whole(town)


async def test_services_that_were_taken_stay_when_the_link_breaks(town: Town) -> None:
    fault = Fault(kind="drop-before-commit", operation="jobs", service="wells", times=0)
    town.server.faults.add(fault)
    with pytest.raises(LinkError):
        await take(town)
    town.server.faults.clear()
    town.server.log.clear()

    await take(town)

    assert "createReplica" not in town.server.log
    await assert_whole(town)


async def test_error_of_one_service_takes_back_what_was_gone_on_with(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die(monkeypatch, town, "geodatabase.generated", 1)
    town.server.faults.add(
        Fault(kind="status", operation="createReplica", service="wells", status=400)
    )

    with pytest.raises(EngineError):
        await take(town)

    assert await town.replicas() == 0
    assert left_beside(town.folder) == set()


async def test_what_was_left_of_another_map_is_taken_back(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die(monkeypatch, town, "rows.loaded", 2)
    dropped = town.urls.pop()
    assert await town.replicas() == 2

    await take(town)

    assert await town.replicas() == 1
    await assert_whole(town)
    assert dropped not in (town.folder / MAP_NAME).read_text()


async def test_map_without_updates_goes_on_and_leaves_no_replica(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await die(monkeypatch, town, "rows.loaded", 2, updates=False)
    assert await town.replicas() == 1

    await take(town, updates=False)

    assert "createReplica" not in town.server.log
    assert await town.replicas() == 0
    assert left_beside(town.folder) == set()
