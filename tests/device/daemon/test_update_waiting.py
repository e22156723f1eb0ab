"""All rows must be fetched anew, and the link is too dear for that."""

from device.cli_status import status_lines
from device.model import Attention, LinkClass, Reach
from engine import GeodatabaseSyncTask, OfflineMap
from tests.device.daemon.world import World, note_of


async def register_anew(world: World) -> None:
    """What a new replica has missed nobody can tell."""
    async with OfflineMap.open(world.map) as map_:
        (geodatabase,) = map_.geodatabases
        async with GeodatabaseSyncTask(geodatabase.service_url) as task:
            await task.unregister_geodatabase(geodatabase)
            await task.register_sync_enabled_geodatabase(geodatabase)


async def test_a_full_download_waits_for_a_better_link_and_edits_do_not(world: World) -> None:
    await register_anew(world)
    world.edit(1, "over the mobile network")
    world.start()
    await world.until(lambda: not world.daemon.governor.is_starting)
    world.link_up("wwan0", 5)
    await world.until(lambda: bool(world.jobs) and world.jobs[0].status.is_done)
    first = world.jobs[0]
    await world.clock.sleep(3 * 3600)
    tried, waiting = len(world.jobs), world.status
    told, shown = "\n".join(status_lines(waiting)), world.daemon.governor.display.indication()

    world.link_up("wlan0", 2)
    await world.clock.sleep(1000)

    assert await note_of(world.service, 1) == "over the mobile network"
    assert first.failure is not None
    assert first.failure.code == "full-download-required"
    assert tried == 1, "to ask again over this link would only cost"
    assert waiting.links[0].reach is Reach.SERVICE
    assert waiting.maps[0].is_update_waiting
    assert "update waiting" in told
    assert shown.is_update_waiting
    assert shown.attention is Attention.NONE
    assert world.status.maps[0].last_sync_at is not None
    assert [one.sent_bytes for one in world.status.links] == [2_000_000, None]
    assert not world.status.maps[0].is_update_waiting
    assert {job.link for job in world.jobs} == {"wwan0", "wlan0"}
    assert waiting.budgets[2].link_class is LinkClass.CELLULAR
