"""Two services of two hosts: what ails one of them keeps the other from nothing, and is shown."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from device.api.status import Cause
from device.cli_status import status_lines
from device.model import Attention, FailureClass, Gesture, WaitReason
from device.state import FLAG_NAME
from engine import JobStatus
from engine.maps.package_info import MapService, PackageInfo
from tests.device.conftest import write_world
from tests.device.daemon.test_kept_map import damage
from tests.device.daemon.world import World, note_of, take, world_in
from tests.fakes.clock import VirtualClock
from tests.feature_service import FeatureServer, Profile
from tests.feature_service.fault import Fault

CITY_MAP = """
[[map]]
name = "city"
folder = "city"
"""


@pytest.fixture
async def city(tmp_path: Path) -> AsyncIterator[FeatureServer]:
    """A service on another host than that of ``park``."""
    write_world(tmp_path / "other")
    profile = Profile(supports_async=False)
    async with FeatureServer(tmp_path / "other", profile=profile, clock=None) as service:
        yield service


@pytest.fixture
async def world(tmp_path: Path, city: FeatureServer, clock: VirtualClock) -> AsyncIterator[World]:
    """A device with the maps ``park`` and ``city``."""
    async with world_in(tmp_path, clock, more=CITY_MAP) as made:
        await take(city.services["park"], tmp_path / "city")
        yield made


async def started(world: World) -> None:
    """With an edit of ``park`` that waits, and a link that has come."""
    world.edit(1, "from the field")
    await world.started()
    world.link_up()


async def arrives(world: World, row: int, note: str) -> None:
    """An edit that is made now, as soon as edits go up."""
    world.edit(row, note)
    end = world.clock.monotonic() + 60
    while await note_of(world.service, row) != note:
        assert world.clock.monotonic() < end, world.status
        await world.clock.sleep(5)


def attention(world: World) -> Attention:
    return world.daemon.governor.display.indication().attention


@pytest.mark.parametrize(
    ("fault", "reason", "shown"),
    [
        (Fault(kind="status", status=503, times=0), WaitReason.BACK_OFF, Attention.WILL_RETRY),
        pytest.param(
            Fault(kind="status", status=404, times=0),
            WaitReason.BACK_OFF,
            Attention.WILL_RETRY,
            marks=pytest.mark.slow,
        ),
        (Fault(kind="status", status=401, times=0), WaitReason.AUTHENTICATION, Attention.REFUSED),
        pytest.param(
            Fault(kind="status", status=503, retry_after_s=3000, times=0),
            WaitReason.RETRY_AFTER,
            Attention.WILL_RETRY,
            marks=pytest.mark.slow,
        ),
    ],
)
async def test_a_service_in_trouble_puts_no_edit_of_another_off_and_is_shown(
    world: World, city: FeatureServer, fault: Fault, reason: WaitReason, shown: Attention
) -> None:
    city.faults.add(fault)
    await started(world)
    await world.until(lambda: any(one.holds for one in world.status.maps))
    assert await note_of(world.service, 1) == "from the field"

    await arrives(world, 2, "at once")
    await world.clock.sleep(1200)
    await arrives(world, 3, "later")
    park, other = world.status.maps
    (hold,) = other.holds
    told, lamp = "\n".join(status_lines(world.status)), attention(world)
    city.faults.clear()
    if reason is WaitReason.AUTHENTICATION:
        world.daemon.governor.pressed(Gesture.SHORT)
    await world.clock.sleep(5000)

    assert world.status.maps[1].last_sync_at is not None
    assert park.holds == ()
    assert park.error is None
    assert hold.reason is reason
    assert hold.detail in told
    assert lamp is shown
    assert world.status.maps[1].holds == ()
    assert attention(world) is Attention.NONE


async def test_a_sync_that_is_asked_for_tells_of_the_service_that_was_left_alone(
    world: World, city: FeatureServer
) -> None:
    city.faults.add(Fault(kind="status", status=503, retry_after_s=5000, times=0))
    await started(world)
    await world.until(lambda: any(one.holds for one in world.status.maps))
    asked = dict(city.traffic)
    world.edit(2, "once more")
    await world.clock.sleep(1)

    world.daemon.governor.pressed(Gesture.SHORT)
    await world.until(
        lambda: world.jobs[0].cause.value == "button" and world.jobs[0].status.is_done
    )

    (job, *_) = world.jobs
    assert job.status is JobStatus.FAILED
    assert job.failure is not None
    assert job.failure.code == "service-busy"
    assert [one.map for one in job.results] == ["park"]
    assert await note_of(world.service, 2) == "once more"
    assert city.traffic == asked, "it was left alone"


async def test_a_sync_of_one_map_that_must_wait_does_not_keep_the_others_waiting(
    world: World, city: FeatureServer
) -> None:
    city.faults.add(Fault(kind="status", status=503, retry_after_s=5000, times=0))
    await started(world)
    await world.until(lambda: any(one.holds for one in world.status.maps))

    job = world.daemon.governor.ask(Cause.SOCKET, ["city"], is_expensive_allowed=False)
    await arrives(world, 2, "meanwhile")

    waiting = world.daemon.governor.jobs.get(job.id)
    assert waiting.status is JobStatus.NOT_STARTED
    assert waiting.reason is WaitReason.RETRY_AFTER


@asynccontextmanager
async def of_two_services(
    folder: Path, city: FeatureServer, clock: VirtualClock
) -> AsyncIterator[World]:
    """A device whose map has layers of two services: park.gpkg and city.gpkg."""
    async with world_in(folder, clock) as world:
        await take(city.services["park"], folder / "city")
        shutil.move(folder / "city" / "park.gpkg", world.map / "city.gpkg")
        info = PackageInfo.read(world.map)
        more = MapService(file="city.gpkg", url=city.services["park"])
        replace(info, services=(*info.services, more)).write(world.map)
        yield world


@pytest.mark.parametrize("is_large", [False, True])
async def test_a_damaged_geodatabase_of_a_map_is_left_alone_while_another_is_synced(
    tmp_path: Path,
    city: FeatureServer,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    is_large: bool,
) -> None:
    """The rows of a large one are looked at after an unclean stop alone, else at each opening."""
    if is_large:
        monkeypatch.setattr("engine.geodatabase.broken_file.SMALL_FILE_BYTES", 0)
    async with of_two_services(tmp_path, city, clock) as world:
        damaged = world.map / "city.gpkg"
        shutil.copy(damaged, tmp_path / "sound")
        damage(damaged)
        (tmp_path / "state").mkdir(mode=0o700)
        (tmp_path / "state" / FLAG_NAME).touch()
        asked = dict(city.traffic)
        await started(world)

        await arrives(world, 2, "meanwhile")
        (told,) = world.status.maps
        asked_meanwhile = dict(city.traffic)
        damaged.unlink()
        shutil.copy(tmp_path / "sound", damaged)
        await world.until(lambda: world.status.maps[0].error is None, within_s=400)

        assert told.error is not None
        assert told.error.code == "geodatabase-damaged"
        assert "repair" in told.error.remedy
        assert told.edits is None
        assert asked_meanwhile == asked


async def test_one_service_of_a_map_is_left_alone_while_another_is_synced(
    tmp_path: Path, city: FeatureServer, clock: VirtualClock
) -> None:
    async with of_two_services(tmp_path, city, clock) as world:
        city.faults.add(Fault(kind="status", status=503, retry_after_s=5000, times=0))
        await started(world)
        await world.until(lambda: bool(world.status.maps[0].holds))
        asked = dict(city.traffic)

        await arrives(world, 2, "meanwhile")

        assert city.traffic == asked
        assert [one.service for one in world.status.maps[0].holds] == [city.services["park"]]


async def test_a_map_that_is_broken_is_shown_and_keeps_no_other_from_being_synced(
    world: World,
) -> None:
    (world.folder / "city" / "park.gpkg").write_bytes(b"not a database" * 500)
    await started(world)
    await world.until(lambda: world.status.maps[0].edits == 0)
    await world.until(lambda: world.status.job is None)

    assert await note_of(world.service, 1) == "from the field"
    assert attention(world) is Attention.STORAGE
    assert world.status.maps[1].error is not None
    assert "city: " in "\n".join(status_lines(world.status))
    assert world.status.reason is WaitReason.NOTHING_TO_DO


async def test_when_all_maps_are_broken_that_is_the_reason_to_wait(world: World) -> None:
    for name in ("map", "city"):
        (world.folder / name / "park.gpkg").write_bytes(b"not a database" * 500)
    world.start()
    await world.until(lambda: world.status.reason is WaitReason.STORAGE)

    assert "park, city" in world.status.detail
    assert attention(world) is Attention.STORAGE


async def test_a_host_that_does_not_answer_is_not_taken_for_a_dead_link(
    world: World, city: FeatureServer
) -> None:
    await city.__aexit__(None, None, None)  # its port refuses connections now
    await started(world)
    await world.until(lambda: bool(world.status.maps[1].holds))
    reach = world.status.links[0].reach
    await arrives(world, 2, "meanwhile")

    assert reach.value == "service"
    waits = world.daemon.governor.policy.state().waits
    assert {(wait.failure, wait.target and wait.target.map) for wait in waits} == {
        (FailureClass.LINK, "city")
    }
    await city.__aenter__()
