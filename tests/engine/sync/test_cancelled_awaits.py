"""Work that is cancelled at any await leaves a whole state, and the next run ends well."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.geodatabase.geodatabase import Geodatabase
from engine.model import AttachmentSyncDirection, SyncModel
from engine.sync.geodatabase_sync import GeodatabaseSync
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.job import Narrator
from engine.sync.parameters import GenerateGeodatabaseParameters, SyncGeodatabaseParameters
from tests.cancelling import CancelledAt
from tests.engine.sync.fleet import Device
from tests.engine.sync.stories import Story, Sync, SyncAnswerLost, SyncReplica, Take

SEED = 5


async def _breathe() -> None:
    await asyncio.sleep(0)


def _narrator() -> Narrator:
    return Narrator(lambda percent: None, lambda text, severity, source: None, _breathe)


async def _sync(device: Device, wrap: Callable[[Awaitable[object]], Awaitable[object]]) -> None:
    async with await Geodatabase.open(device.path) as geodatabase:
        parameters = SyncGeodatabaseParameters(push_channel=device.parameters.push_channel)
        sync = GeodatabaseSync(geodatabase, parameters, clock=device.clock)
        await wrap(sync.run(_narrator()))


async def _take(device: Device, wrap: Callable[[Awaitable[object]], Awaitable[object]]) -> None:
    parameters = GenerateGeodatabaseParameters(
        attachment_sync_direction=AttachmentSyncDirection.BIDIRECTIONAL,
        sync_model=SyncModel.PER_REPLICA,
    )
    generator = GeodatabaseSyncTask(device.url, clock=device.clock).generator(
        parameters, device.path
    )
    await wrap(generator.run(_narrator()))


async def _cancelled_at(story: Story, folder: Path, at: int) -> int:
    """Run the story and cancel it at that await; how often it waited. 0: not at all."""
    async with story.fleet(folder):
        device = story.device(folder)
        works: list[CancelledAt[object]] = []

        def wrap(work: Awaitable[object]) -> Awaitable[object]:
            works.append(CancelledAt(work, at))
            return works[0]

        async def run() -> None:
            await (_take if isinstance(story, Take) else _sync)(device, wrap)

        task = asyncio.ensure_future(run())
        await asyncio.wait([task])
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return works[0].count


def _try(story: Story, folder: Path, at: int) -> int:
    folder.mkdir()
    story.prepare(folder)
    count = asyncio.run(_cancelled_at(story, folder, at))
    if at:
        story.check(folder, finished=False)
        story.act(folder)
    story.check(folder, finished=True)
    return count


def _cancel_at_some(story: Story, folder: Path, samples: int) -> None:
    """Cancel at ``samples`` of the awaits; a run that found its end first is no sample."""
    total = _try(story, folder / "0", 0)
    assert total > samples
    for at in sorted(random.Random(SEED).sample(range(1, total + 1), samples)):
        try:
            _try(story, folder / str(at), at)
        except BaseException as error:
            error.add_note(f"cancelled at await {at} of {total}")
            raise


@pytest.mark.parametrize("story", [Take, Sync])
def test_work_cancelled_at_an_await_then_next_run_ends_well(
    tmp_path: Path, story: type[Story]
) -> None:
    _cancel_at_some(story(), tmp_path, 3)


@pytest.mark.slow
@pytest.mark.parametrize("story", [Take, Sync, SyncReplica, SyncAnswerLost])
def test_work_cancelled_at_many_awaits_then_next_run_ends_well(
    tmp_path: Path, story: type[Story]
) -> None:
    _cancel_at_some(story(), tmp_path, 5)
