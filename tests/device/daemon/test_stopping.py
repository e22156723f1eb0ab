"""SIGTERM at any await, and SIGKILL at any moment: a quick end in good order, or nothing lost.

``python -m tests.device.daemon.test_stopping FIRST LAST`` stops at each await between these.
"""

import asyncio
import os
import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from device.api.status import Cause
from tests.device.daemon.stepping import Steps, counted_steps
from tests.device.daemon.world import World, note_of, world_in
from tests.fakes.clock import VirtualClock, VirtualLoop

QUICK = "[links.wifi]\nsettle_s = 0"
STOP_WITHIN_S = 20
SEED = 7


async def stopped_at(world: World, steps: Steps, at: int) -> int:
    """Start, sync an edit, and be stopped at an await; how many awaits there were."""
    world.edit(1, f"stopped at {at}")
    world.link_up()
    world.start()
    task = world.daemon_task
    # Asked for, so that it does not wait after those that were stopped before.
    world.daemon.governor.ask(Cause.SOCKET, (), is_expensive_allowed=False)
    steps.stop_at(at, task.cancel)
    for _ in range(2000):
        if task.done() or any(job.status.is_done for job in world.jobs):
            break
        await world.clock.sleep(0.05)
    count = steps.count
    began = world.clock.monotonic()
    task.cancel()
    await asyncio.wait([task])
    assert world.clock.monotonic() - began < STOP_WITHIN_S
    if not task.cancelled():
        assert task.exception() is None
    world.link_down()
    check_order(world)
    return count


def check_order(world: World) -> None:
    """Nothing is left of a daemon that ended in good order."""
    left = {task.get_name() for task in asyncio.all_tasks()}
    assert not left & {part.name for part in world.daemon.parts.pulses}, left
    assert not (world.folder / "state/running").exists()
    assert not world.socket.exists()
    held = [
        os.readlink(fd) for fd in map(str, Path("/proc/self/fd").iterdir()) if Path(fd).exists()
    ]
    assert not [name for name in held if name.startswith(str(world.map))]
    with closing(sqlite3.connect(world.geopackage)) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def check_nothing_is_lost(world: World, note: str) -> None:
    """The next daemon brings the last edit up."""
    world.link_up()
    world.start()
    world.daemon.governor.ask(Cause.SOCKET, (), is_expensive_allowed=False)
    await world.until(lambda: world.status.maps[0].edits == 0)
    await world.until(lambda: world.status.job is None)
    await world.stop()
    assert await note_of(world.service, 1) == note


async def stop_at_each(world: World, points: list[int]) -> None:
    with counted_steps(asyncio.get_running_loop()) as steps:
        for at in points:
            try:
                await stopped_at(world, steps, at)
            except BaseException as error:
                error.add_note(f"stopped at await {at}")
                raise
        await check_nothing_is_lost(world, f"stopped at {points[-1]}")


async def test_a_stop_at_the_first_awaits_is_in_good_order(
    tmp_path: Path, clock: VirtualClock
) -> None:
    async with world_in(tmp_path, clock, more=QUICK) as world:
        await stop_at_each(world, [1, 2, 3, 5, 8, 13])


@pytest.mark.slow
async def test_a_stop_at_any_await_of_a_sync_is_in_good_order(
    tmp_path: Path, clock: VirtualClock
) -> None:
    async with world_in(tmp_path, clock, more=QUICK) as world:
        with counted_steps(asyncio.get_running_loop()) as steps:
            count = await stopped_at(world, steps, 0)
        assert count > 100
        points = sorted(random.Random(SEED).sample(range(1, count), 40))
        await stop_at_each(world, points)


async def main(first: int, last: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with world_in(Path(folder), VirtualClock(autojump=True), more=QUICK) as world:
            with counted_steps(asyncio.get_running_loop()) as steps:
                print("awaits of a sync:", await stopped_at(world, steps, 0))
            await stop_at_each(world, list(range(first, last + 1)))
    print(f"stopped at {first} to {last}: in good order, nothing lost")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2])))
