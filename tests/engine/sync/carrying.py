"""A device without a link, and the file that is carried to one that has it, for tests."""

from contextlib import suppress
from pathlib import Path

from engine.errors import EngineError
from engine.sync.delta_export import Exported
from engine.sync.delta_push import PushDeltaJob, PushDeltaResult
from engine.sync.deltas import export_delta, import_delta
from engine.sync.parameters import PushChannel
from engine.sync.results import SyncGeodatabaseResult
from tests.engine.sync.fleet import Device, Fleet, HastyClock


async def export(device: Device, path: Path) -> Exported:
    """The device's edits as a delta file."""
    async with device.open() as geodatabase:
        return await export_delta(geodatabase, path, clock=device.clock)


async def push(
    path: Path,
    acknowledgement: Path,
    *,
    url: str | None = None,
    channel: PushChannel = PushChannel.AUTO,
) -> PushDeltaResult:
    """Send a delta file from another machine."""
    job = PushDeltaJob(path, acknowledgement, url=url, push_channel=channel, clock=HastyClock())
    job.start()
    try:
        return await job.result()
    finally:
        assert not [m.text for m in job.messages if "fault in fieldsync" in m.text]


async def take_back(device: Device, path: Path) -> SyncGeodatabaseResult:
    """Import a delta file; the sums must match."""
    async with device.open() as geodatabase:
        result = await import_delta(
            geodatabase,
            path,
            conflict_policy=device.parameters.conflict_policy,
            clock=device.clock,
        )
    for layer in result.layer_results:
        for counts in (layer.uploaded, layer.attachments_uploaded):
            assert counts.found == counts.accounted, (layer.table_name, counts)
    return result


async def push_over_faults(
    world: Fleet, path: Path, acknowledgement: Path, channel: PushChannel
) -> PushDeltaResult:
    """Push until the faults that wait are used up or cleared; then once more."""
    for _ in range(3):
        with suppress(EngineError):
            await push(path, acknowledgement, channel=channel)
    world.server.faults.clear()
    return await push(path, acknowledgement, channel=channel)
