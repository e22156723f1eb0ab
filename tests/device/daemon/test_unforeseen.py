"""What nobody foresaw: it is told, ends what it was part of, and is not for ever."""

import pytest

from device.model import FailureClass, WaitReason
from device.runs import Runner
from engine import JobStatus
from tests.device.daemon.world import World, note_of


async def test_a_map_that_can_be_read_again_is_noticed_although_the_kernel_tells_nothing(
    world: World,
) -> None:
    """A file that is moved is not written."""
    world.edit(1, "before it was away")
    aside = world.folder / "aside.gpkg"
    world.geopackage.rename(aside)
    await world.started()
    before = world.status.maps[0]

    aside.rename(world.geopackage)
    await world.clock.sleep(301)
    await world.until(lambda: world.status.maps[0].edits == 1, within_s=5)

    assert before.edits is None
    assert before.error is not None
    assert world.status.maps[0].error is None


async def test_a_map_that_can_be_read_again_is_noticed_at_once_when_somebody_presses(
    world: World,
) -> None:
    aside = world.folder / "aside.gpkg"
    world.geopackage.rename(aside)
    await world.started()
    await world.clock.sleep(10)

    aside.rename(world.geopackage)
    await world.press()

    await world.until(lambda: world.status.maps[0].edits == 0, within_s=10)


async def test_a_fault_of_ours_in_a_sync_ends_its_job_and_is_tried_again_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("this cannot be")

    monkeypatch.setattr(Runner, "_run", fails)
    world.edit(1, "after a fault")
    world.link_up()
    world.start()
    await world.until(lambda: bool(world.jobs) and world.jobs[0].status.is_done)
    failed, told = world.jobs[0], world.status
    monkeypatch.undo()
    await world.until(lambda: world.status.maps[0].edits == 0)

    assert failed.status is JobStatus.FAILED
    assert failed.failure is not None
    assert "this cannot be" in failed.failure.message
    assert told.job is None
    assert told.reason is WaitReason.BACK_OFF
    assert told.last_run is not None
    assert told.last_run.failure_class is FailureClass.LOCAL
    assert await note_of(world.service, 1) == "after a fault"


async def test_a_part_that_has_nothing_to_do_is_no_dead_part(world: World) -> None:
    await world.started()
    await world.clock.sleep(5)

    health = world.daemon.appliance.health()

    assert health.is_healthy
    assert [part.name for part in health.parts if not part.is_alive] == []


async def test_edits_that_nobody_watches_for_are_found_all_the_same(world: World) -> None:
    """Over a link that is for edits alone, no other sync would count them."""
    world.more = """
        [sync]
        watch_edits = false
        [links.cellular]
        use = "edits"
        every_minutes = "never"
    """
    world.link_up("wwan0")
    world.start()
    await world.until(lambda: not world.daemon.governor.is_starting)
    await world.clock.sleep(100)

    world.edit(1, "nobody watched")
    await world.clock.sleep(400)
    await world.until(lambda: world.status.maps[0].edits == 0)

    assert await note_of(world.service, 1) == "nobody watched"
